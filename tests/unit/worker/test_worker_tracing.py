"""The attempt's context where user code runs, with and without OpenTelemetry's exporter; what it costs nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from runs import Runs, value

from wfe import otel
from wfe.model.trace import attempt_span, below
from wfe.wire.traces import TaskTrace
from wfe.worker.context import context
from wfe.worker.http import _with_trace
from wfe.worker.job import current_fields

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACED = {"trace": TaskTrace(CALLER, 5)}


@pytest.fixture
async def runs() -> AsyncIterator[Runs]:
    made = Runs()
    yield made
    made.runner.close()


def seen() -> list[Any]:
    fields = current_fields()
    assert fields is not None
    return [context().traceparent, otel.current_traceparent(), fields.get("trace_id")]


async def seen_by_coroutine() -> list[Any]:
    await asyncio.sleep(0)
    return seen()


@pytest.mark.parametrize("function", [seen, seen_by_coroutine])
async def test_code_of_a_traced_attempt_sees_its_context_and_other_code_sees_none(runs: Runs, function: Any) -> None:
    run = runs.start(function, TRACED)
    own = below(CALLER, attempt_span(run, 0, 0, 1))
    assert value(await runs.ended(run)) == [own, own, CALLER[3:35]]
    assert value(await runs(function)) == ["", "", None], "the same thread or loop runs the next attempt"
    assert context().traceparent == ""


async def test_an_opentelemetry_that_is_broken_costs_no_attempt(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no context today")

    monkeypatch.setattr(trace, "set_span_in_context", broken)
    result = value(await runs(seen, TRACED))
    assert result[0].startswith("00-")
    assert result[1] == ""


async def test_http_nodes_send_the_context_unless_they_set_one_themselves(runs: Runs) -> None:
    def headers() -> list[dict[str, str]]:
        return [_with_trace({"accept": "*/*"}), _with_trace({"TraceParent": "mine"})]

    added, own = value(await runs(headers, TRACED))
    assert added["traceparent"].startswith(CALLER[:36])
    assert own == {"TraceParent": "mine"}
    assert value(await runs(headers))[0] == {"accept": "*/*"}


class Recorded:
    """A `Tracing` that keeps its spans."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.spans, ids = InMemorySpanExporter(), otel._Ids()
        provider = TracerProvider(id_generator=ids)
        processor = SimpleSpanProcessor(self.spans)
        provider.add_span_processor(processor)
        self.tracing = otel.Tracing(provider, ids, processor, self.spans)


async def test_each_end_of_an_attempt_ends_its_span_once(runs: Runs) -> None:
    recorded = Recorded()
    runs.runner._tracing._tracing = recorded.tracing

    began = asyncio.Event()

    async def sleeps() -> None:
        began.set()
        trace.get_current_span().set_attribute("mine", 1)
        await asyncio.sleep(60)

    def fails() -> None:
        raise ValueError("wrong")

    cancelled = runs.start(sleeps, TRACED)
    await began.wait()
    runs.cancel(cancelled)
    await runs.ended(cancelled)
    late = await runs(sleeps, {**TRACED, "timeout_ms": 20})
    failed = await runs(fails, TRACED)
    assert late.error is not None
    assert failed.error is not None
    quiet = {"trace": TaskTrace(CALLER[:-1] + "0")}
    await runs(seen, quiet)
    spans = {span.name: span for span in recorded.spans.get_finished_spans()}
    assert len(recorded.spans.get_finished_spans()) == 3, "those that are not sampled have none"
    ended = [span.attributes or {} for span in recorded.spans.get_finished_spans() if span.name == "task sleeps"]
    assert [attributes.get("wfe.cancelled") for attributes in ended] == [True, None]
    assert all(attributes["mine"] == 1 and attributes["wfe.queued_ms"] >= 5 for attributes in ended)
    assert spans["task sleeps"].status.description.startswith("TimedOut: ")
    assert spans["task fails"].status.description == "ValueError: wrong"
