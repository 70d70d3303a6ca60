"""Traces of a real server, as a collector receives them over OTLP."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import wfe
from conftest import WFE, Server, environment_in
from support.otlp import Collector, Received
from wfe.client.views import run_document
from wfe.model.trace import attempt_span, own_trace, run_span, trace_id

APP = Path(__file__).with_name("traced_app.py")
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(start_server: Callable[..., Server], collector: Collector) -> Server:
    options = ["--shards", "2", "--workers", "1", "--app", str(APP), "--http", "127.0.0.1:0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")  # a standard variable: spans come sooner
        return start_server(*options, "--otel", collector.url)


@pytest.fixture(scope="module")
def client(traced: Server) -> Iterator[wfe.Client]:
    with wfe.connect(traced.address, (traced.data / "token").read_text().strip()) as client:
        yield client


def client_view(client: wfe.Client, run_id: str) -> dict[str, Any]:
    """A run as `wfe get --json` shows it."""
    info = client.get(run_id).info
    assert info is not None
    assert info.view is not None
    return run_document(info.view)


def named(spans: list[Received], name: str) -> list[Received]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_ns)


def test_one_trace_has_the_run_its_attempts_its_sub_workflows_and_the_spans_of_the_tasks_own_code(
    client: wfe.Client, collector: Collector
) -> None:
    run = client.start("everything", "x")
    contexts = run.result(timeout_s=60)
    spans = collector.wait_for(13, trace_id(own_trace(run.id, 1.0)))

    [top] = named(spans, "workflow everything")
    assert top.trace == client_view(client, run.id)["trace_id"]
    assert (top.id, top.parent) == (run_span(run.id), "")
    assert top.attributes["wfe.run.id"] == run.id
    assert top.attributes["wfe.run.status"] == "completed"
    assert not top.failed

    [below] = named(spans, "workflow marked")
    assert below.parent == top.id
    marks = named(spans, "task mark")
    assert [mark.parent for mark in marks] == [top.id, below.id]
    assert all(top.start_ns <= span.start_ns <= span.end_ns for span in spans)
    assert marks[0].attributes["app.name"] == "x", "the attempt's span is the current one: code may add to it"

    by_id = {span.id: span.name for span in spans}
    assert [by_id[context[36:52]] for context in contexts if context.startswith("00-")] == [
        *("task mark", "task amark", "task apart", "task mark")
    ]
    own = {span.name: by_id[span.parent] for span in spans if span.scope == "the-app"}
    assert own == {"inner work": "task mark", "inner async work": "task amark", "inner work apart": "task apart"}
    assert {span.resource["service.name"] for span in spans} == {"wfe"}
    assert {span.resource["wfe.process"] for span in spans} == {"worker", "task", "tracer"}


def test_each_attempt_is_a_span_with_its_error_and_its_wait(client: wfe.Client, collector: Collector) -> None:
    run = client.start("everything", "y")
    run.result(timeout_s=60)
    spans = collector.wait_for(13, trace_id(own_trace(run.id, 1.0)))

    first, second, third = named(spans, "task flaky")
    assert [span.attributes["wfe.attempt"] for span in (first, second, third)] == [1, 2, 3]
    assert [span.failed for span in (first, second, third)] == [True, True, False]
    assert first.message == "ConnectionError: y is not there yet"
    names = [name for name, _ in first.events]
    assert names == ["ready", "exception"]
    assert first.events[1][1]["exception.type"] == "ConnectionError"
    assert "flaky" in first.events[1][1]["exception.stacktrace"]
    assert third.attributes["wfe.failures"] == 2
    assert all(span.attributes["wfe.queued_ms"] >= 0 for span in (first, second, third))
    [node] = [event.node for event in run.history() if event.type == "TaskDone" and event.node == "flaky"]
    assert third.attributes["wfe.node"] == node
    assert first.id in {attempt_span(run.id, position, 0, 1) for position in range(10)}


def test_a_run_that_failed_says_so_in_its_span(client: wfe.Client, collector: Collector) -> None:
    run = client.start("doomed", "z")
    with pytest.raises(wfe.RunFailed):
        run.result(timeout_s=60)
    spans = collector.wait_for(2, trace_id(own_trace(run.id, 1.0)))
    [top] = named(spans, "workflow doomed")
    assert top.failed
    assert top.message == "ValueError: z is wrong"
    assert top.attributes["wfe.run.status"] == "failed"
    assert top.attributes["error.type"] == "ValueError"


def test_an_attempt_whose_worker_died_is_a_span_too(client: wfe.Client, collector: Collector) -> None:
    run = client.start("survivor", "s")
    assert run.result(timeout_s=60) == "s"
    spans = collector.wait_for(3, trace_id(own_trace(run.id, 1.0)))
    first, second = named(spans, "task deadly")
    assert (first.attributes["wfe.attempt"], first.message) == (1, "WorkerLost: the attempt was lost with its worker")
    assert (second.attributes["wfe.attempt"], second.failed) == (2, False)
    assert first.attributes["wfe.worker"] != second.attributes["wfe.worker"]


def test_calls_of_a_durable_function_are_in_its_trace(client: wfe.Client, collector: Collector) -> None:
    run = client.start("durable", "d")
    run.result(timeout_s=60)
    spans = collector.wait_for(6, trace_id(own_trace(run.id, 1.0)))
    [top], [call] = named(spans, "workflow durable"), named(spans, "task amark")
    assert call.parent == top.id
    assert named(spans, "workflow marked")[0].parent == top.id


def test_a_run_is_below_the_span_that_is_current_where_it_is_started(client: wfe.Client, collector: Collector) -> None:
    tracer = TracerProvider().get_tracer("a caller")
    with tracer.start_as_current_span("request") as request:
        run = client.start("marked", "called")
        many = client.start_many("marked", ["a", "b"])
    context = request.get_span_context()
    run.result(timeout_s=60)
    for other in many:
        other.result(timeout_s=60)
    spans = collector.wait_for(9, f"{context.trace_id:032x}")
    assert [span.parent for span in named(spans, "workflow marked")] == [f"{context.span_id:016x}"] * 3


def test_a_run_that_a_command_starts_is_below_the_span_in_its_environment(traced: Server, collector: Collector) -> None:
    caller = CALLER.replace("4bf9", "6bf9")
    traced.environment["TRACEPARENT"] = caller
    try:
        assert traced.wfe("start", "marked", "-i", '"x"', "--wait").returncode == 0
    finally:
        del traced.environment["TRACEPARENT"]
    [top] = named(collector.wait_for(3, trace_id(caller)), "workflow marked")
    assert top.parent == caller[36:52]


def test_a_caller_that_does_not_sample_is_followed_and_nothing_is_exported(
    client: wfe.Client, traced: Server, collector: Collector
) -> None:
    silent = CALLER.replace("4bf9", "5bf9").removesuffix("01") + "00"
    started = ask(traced, "marked", "quiet", silent)
    given = client.get(started["id"]).result(timeout_s=60)
    assert given.startswith(silent[:36])
    assert given.endswith("-00")
    last = client.start("marked", "after it")
    last.result(timeout_s=60)
    collector.wait_for(3, trace_id(own_trace(last.id, 1.0)))
    assert collector.of(trace_id(silent)) == []


def test_a_request_hands_its_context_on_through_the_run_to_what_the_run_calls(
    client: wfe.Client, traced: Server, collector: Collector
) -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("traceparent", ""))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as service:
        Thread(target=service.serve_forever, daemon=True).start()
        started = ask(traced, "called", f"http://127.0.0.1:{service.server_address[1]}/", CALLER)
        assert client.get(started["id"]).result(timeout_s=60) == 204
        service.shutdown()
    spans = collector.wait_for(2, trace_id(CALLER))
    [top], [call] = named(spans, "workflow called"), named(spans, "task wfe.http")
    assert top.parent == CALLER[36:52]
    assert seen == [f"00-{trace_id(CALLER)}-{call.id}-01"]


def ask(server: Server, workflow: str, value: str, traceparent: str) -> Any:
    """A start over REST with a trace context."""
    url = json.loads((server.data / "server.json").read_text())["http"]
    token = (server.data / "token").read_text().strip()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "traceparent": traceparent}
    body = json.dumps({"workflow": workflow, "input": value}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/runs", body, headers), timeout=30) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--otel", "127.0.0.1:4318"], "write the URL of a collector"),
        (["--otel", "http://127.0.0.1:4318", "--otel-sample", "7"], "--otel-sample"),
    ],
)
def test_a_collector_that_cannot_be_one_is_refused_at_the_start(option: list[str], reason: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*WFE, "serve", "--data", str(tmp_path / "data"), "--listen", "tcp://127.0.0.1:0", *option],
        env=environment_in(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert reason in done.stderr
