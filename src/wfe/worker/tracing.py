"""Spans of attempts: current while the task's function runs, ended and exported with its result.

May touch `wfe.otel`. A worker that exports nothing still hands contexts on: user code that has OpenTelemetry sees the
attempt's as its current span. Invariants: an attempt that is not traced costs nothing here; an attempt's span has the
id that everybody derives (`model.trace`), and ends once, whichever way the attempt does.
"""

from __future__ import annotations

import time
from contextvars import Token
from typing import TYPE_CHECKING, Any

from wfe import observe, otel
from wfe.model.trace import attempt_span, below, is_sampled, of_child
from wfe.wire.messages import TaskResult, TaskSpec
from wfe.worker.job import FAILED, Job

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_logger = observe.get_logger("wfe.worker")


class AttemptTracing:
    """``endpoint``: where spans go (`otel.endpoint_of`), "" for nowhere; ``worker``: its id.

    Any thread may call `enter`, the loop's the rest.
    """

    def __init__(self, endpoint: str = "", worker: str = "") -> None:
        self.endpoint, self._worker = endpoint, worker
        self._tracing = otel.open_tracing(endpoint, "worker", shared=True) if endpoint else None

    def close(self) -> None:
        """Sends what waits; takes as long as the collector does."""
        if self._tracing is not None:
            self._tracing.close()

    def enter(self, job: Job) -> Token[Any] | None:
        """The attempt begins in this thread or asyncio task: its span is current from here on, until `otel.leave`."""
        spec = job.spec
        assert spec.trace is not None, "only traced attempts are entered"
        try:
            if is_sampled(spec.trace.context):
                job.span = self._begun(job, time.time_ns())
            return otel.enter(traceparent_of(spec), job.span)
        except Exception as error:
            # Whatever an OpenTelemetry of the app does: being watched must not cost an attempt.
            _logger.warning("an attempt cannot be traced", run=spec.run_id, node=spec.node_id, exc_info=error)
            return None

    def ended(self, job: Job, result: TaskResult) -> None:
        """The attempt has ended, here or in a process of its own."""
        if self._tracing is None or job.spec.trace is None or not job.started_ns:
            return
        elapsed_ns = result.started_us * 1_000
        if job.span is None and is_sampled(job.spec.trace.context):
            began_ns = time.time_ns() - (time.monotonic_ns() - job.started_ns)
            job.span = self._begun(job, began_ns)
        span, job.span = job.span, None
        if span is None:
            return
        end_ns = _start_of(span) + elapsed_ns
        if result.status == FAILED and result.error is not None:
            error = result.error
            otel.fail(span, error.type, error.message, error.traceback, end_ns)
        elif result.status != FAILED and result.status:
            span.set_attribute("wfe.cancelled", True)
        span.end(end_ns)

    def _begun(self, job: Job, start_ns: int) -> Span | None:
        if self._tracing is None:
            return None
        spec = job.spec
        assert spec.trace is not None
        queued_ms = spec.trace.queued_ms + (job.started_ns - job.received_ns) // 1_000_000
        attributes: otel.Attributes = {
            "wfe.run.id": spec.run_id,
            "wfe.node": spec.node_id,
            "wfe.activation": spec.activation,
            "wfe.attempt": spec.attempt,
            "wfe.task": spec.task,
            "wfe.task.version": spec.task_version,
            "wfe.failures": spec.failures,
            "wfe.queued_ms": queued_ms,
            "wfe.worker": self._worker,
        }
        span_id = attempt_span(spec.run_id, spec.node, spec.activation, spec.attempt)
        span = self._tracing.start(
            f"task {spec.task}", of_child(spec.trace.context, spec.run_id), span_id, start_ns, attributes
        )
        span.add_event("ready", timestamp=start_ns - queued_ms * 1_000_000)
        return span


def traceparent_of(spec: TaskSpec) -> str:
    """The context of what an attempt calls; "" when its run is not traced."""
    if spec.trace is None:
        return ""
    return below(spec.trace.context, attempt_span(spec.run_id, spec.node, spec.activation, spec.attempt))


def _start_of(span: Span) -> int:
    start_ns: int = span.start_time  # type: ignore[attr-defined]  # of the SDK's spans, which are the only ones here
    return start_ns
