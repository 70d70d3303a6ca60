"""A collector in the test process: an HTTP server that takes OTLP, decodes it and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

WAIT_S = 30


@dataclass
class Received:
    """A span as it arrived. ``events``: names and attributes; ``resource``: of the process that sent it."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool
    message: str
    scope: str
    resource: dict[str, Any] = field(default_factory=dict)


class Collector:
    """``url``: what `--otel` takes. As a context manager."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.requests: list[dict[str, str]] = []
        """Headers of each."""
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces", self.path
                collector.take(ExportTraceServiceRequest.FromString(body), dict(self.headers))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        with self._came:
            self.requests.append({name.lower(): value for name, value in headers.items()})
            for resource in request.resource_spans:
                told = {a.key: _plain(a.value) for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self.spans.extend(_received(span, scope.scope.name, told) for span in scope.spans)
            self._came.notify_all()

    def wait_for(self, count: int, trace: str = "") -> list[Received]:
        """The spans (of a trace), once there are so many."""
        with self._came:
            enough = self._came.wait_for(lambda: len(self.of(trace)) >= count, WAIT_S)
            assert enough, f"{len(self.of(trace))} of {count} spans came: {[span.name for span in self.of(trace)]}"
            return self.of(trace)

    def of(self, trace: str = "") -> list[Received]:
        return [span for span in self.spans if trace in ("", span.trace)]


def _received(span: Any, scope: str, resource: dict[str, Any]) -> Received:
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes={a.key: _plain(a.value) for a in span.attributes},
        events=[(event.name, {a.key: _plain(a.value) for a in event.attributes}) for event in span.events],
        failed=span.status.code == 2,
        message=span.status.message,
        scope=scope,
        resource=resource,
    )


def _plain(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
