"""OpenTelemetry: spans of this process, exported over OTLP/HTTP; which span is current. All that knows its packages.

The SDK comes with the extra ``[otel]`` and is imported only where something is exported; the API is looked at only
when somebody else has imported it. Endpoint, headers, queues and resource can be set by the standard OTEL_* variables.
Invariants: ids of wfe's own spans are given by whoever starts them (`model.trace` derives them); spans of users' code
are exported here when they are below one of wfe's, unless the app has a tracer provider of its own.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from wfe.errors import ConfigError
from wfe.model.trace import parse

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Span, SpanContext

MISSING = "traces need further packages: pip install 'wfe[otel]'"
BY_ENVIRONMENT = "env"
"""As an endpoint: what the variables OTEL_* say."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_RATIO_SAMPLERS = ("traceidratio", "parentbased_traceidratio")
_OFF_SAMPLERS = ("always_off", "parentbased_always_off")

CLOSE_S = 1.5
QUEUE_SPANS = 16_384
"""OpenTelemetry's own default, 2,048, is full within a second of a busy worker."""
_log = logging.getLogger("wfe.otel")
_inherited: ContextVar[str] = ContextVar("wfe_traceparent", default="")
Attributes = dict[str, str | int | float]


def is_installed() -> bool:
    """Whether the extra ``[otel]`` is there."""
    names = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http")
    try:
        return all(find_spec(name) is not None for name in names)
    except ModuleNotFoundError:
        return False


def endpoint_of(given: str, environ: Mapping[str, str] = os.environ) -> str:
    """Where spans go: the ``given`` URL of a collector, `BY_ENVIRONMENT`, or "" for nowhere.

    ConfigError when somewhere was given and the extra is missing, or it is no URL.
    """
    if given in ("", "off"):
        wanted = any(environ.get(name) for name in _ENDPOINTS) and environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
        disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        return BY_ENVIRONMENT if wanted and not disabled and not given and is_installed() else ""
    if given != BY_ENVIRONMENT and not given.startswith(("http://", "https://")):
        raise ConfigError(f"--otel {given}: write the URL of a collector that takes OTLP, e.g. http://127.0.0.1:4318")
    if not is_installed():
        raise ConfigError(MISSING)
    return given


def share_of(given: float, environ: Mapping[str, str] = os.environ) -> float:
    """Which share of the runs without a caller's trace is traced: as given (0 to 1), else (below 0) as OTEL_* says."""
    if given >= 0:
        if given > 1:
            raise ConfigError(f"--otel-sample {given:g}: a share is from 0 to 1")
        return given
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler in _OFF_SAMPLERS:
        return 0.0
    if sampler not in _RATIO_SAMPLERS:
        return 1.0
    text = environ.get("OTEL_TRACES_SAMPLER_ARG", "1")
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        raise ConfigError(f"OTEL_TRACES_SAMPLER_ARG is {text!r}: a share is a number from 0 to 1") from None


# ---- the current span -----------------------------------------------------------------------------------------------


def current_traceparent() -> str:
    """The context of the caller's current span; where there is none, or no OpenTelemetry, what `inherit` was told."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return _inherited.get()
    context: SpanContext = api.get_current_span().get_span_context()
    if not context.is_valid:
        return _inherited.get()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags) & 3:02x}"


def inherit(environ: Mapping[str, str] = os.environ) -> None:
    """What is started from here on is below the span in TRACEPARENT, by which programs hand a context to commands."""
    _inherited.set(parse(environ.get("TRACEPARENT", "")))


def enter(traceparent: str, span: Span | None = None) -> Token[Any] | None:
    """Makes a span current for the code that runs from here on, given itself or by its context; see `leave`.

    None, and nothing happens, when nobody uses OpenTelemetry here.
    """
    if span is None and "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import context, trace

    return context.attach(trace.set_span_in_context(span or trace.NonRecordingSpan(_context_of(traceparent))))


def leave(token: Token[Any]) -> None:
    """What was current before is current again."""
    from opentelemetry import context

    context.detach(token)


def _context_of(traceparent: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))


# ---- exporting ------------------------------------------------------------------------------------------------------


class _Ids:
    """An IdGenerator that gives the ids that were asked for. Per thread: a span is made where it is asked for."""

    def __init__(self) -> None:
        self._local = threading.local()

    def give(self, trace_id: int, span_id: int) -> None:
        self._local.trace_id, self._local.span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        trace_id: int = self._local.trace_id
        return trace_id

    def generate_span_id(self) -> int:
        span_id: int = self._local.span_id
        return span_id

    def is_trace_id_random(self) -> bool:
        return False


class _Telling:
    """A SpanExporter that says when spans cannot be sent, once, and when they can be again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter, self._endpoint = exporter, endpoint
        self._dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result.name != "SUCCESS":
            if not self._dropped:
                _log.warning("no spans can be sent to %s: they are dropped until it answers", self._endpoint)
            self._dropped += len(spans)
        elif self._dropped:
            _log.warning("spans are sent to %s again; %d were dropped", self._endpoint, self._dropped)
            self._dropped = 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class Tracing:
    """The spans of a process, and their way to the collector. Any thread may use it."""

    def __init__(self, provider: TracerProvider, ids: _Ids, processor: SpanProcessor, exporter: SpanExporter) -> None:
        self._ids, self._processor, self._exporter = ids, processor, exporter
        self._tracer = provider.get_tracer("wfe")

    def start(self, name: str, traceparent: str, span_id: str, start_ns: int, attributes: Attributes) -> Span:
        """A span with this id below the one that ``traceparent`` names; if that is itself, the first of its trace."""
        from opentelemetry import context, trace

        parent = _context_of(traceparent)
        self._ids.give(parent.trace_id, int(span_id, 16))
        above = context.Context()
        if f"{parent.span_id:016x}" != span_id:
            above = trace.set_span_in_context(trace.NonRecordingSpan(parent), above)
        return self._tracer.start_span(name, above, attributes=attributes, start_time=start_ns)

    def flush(self) -> None:
        """Sends what waits."""
        self._processor.force_flush()

    def close(self) -> None:
        """Sends what waits, and ends; a collector that does not answer gets `CLOSE_S`."""
        closing = threading.Thread(target=self._processor.shutdown, name="wfe-traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            self._exporter.shutdown()  # it repeats nothing any more
            closing.join(CLOSE_S)


def fail(span: Span, error_type: str, message: str, stacktrace: str, at_ns: int) -> None:
    """Records an error as OpenTelemetry's conventions have it: an event ``exception``, and the status."""
    from opentelemetry.trace import Status, StatusCode

    details = {"exception.type": error_type, "exception.message": message}
    if stacktrace:
        details["exception.stacktrace"] = stacktrace
    span.add_event("exception", details, timestamp=at_ns)
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, f"{error_type}: {message}"))


def open_tracing(endpoint: str, process: str, *, shared: bool = False) -> Tracing:
    """Exports to a collector (`endpoint_of`). ``shared``: for users' code, too, if it has no provider of its own."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

    where = None if endpoint == BY_ENVIRONMENT else endpoint.rstrip("/") + "/v1/traces"
    logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.CRITICAL)  # a line for every try
    exporter = cast("SpanExporter", _Telling(OTLPSpanExporter(where), endpoint))
    queue = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE_SPANS
    processor = BatchSpanProcessor(exporter, max_queue_size=queue)
    resource = Resource.create({"wfe.process": process, "process.pid": os.getpid()})
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "wfe"}))
    ids = _Ids()
    # Both are told to end by the processor alone, which has what they made.
    own = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=cast("IdGenerator", ids))
    own.add_span_processor(processor)
    if shared and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        theirs = TracerProvider(ParentBased(ALWAYS_OFF), resource, shutdown_on_exit=False)
        theirs.add_span_processor(processor)
        trace.set_tracer_provider(theirs)
    return Tracing(own, ids, processor, exporter)
