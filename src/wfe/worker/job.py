"""One attempt inside a worker, and the context variable that says which one the current code belongs to.

Pure state; shared between the loop and the thread that runs the attempt. Invariants: `started_ns` and `deadline_ns` are
written before the job is visible as running; `settled` is written only by the loop, and whoever sets it first owns the
one result that leaves. Times are of the monotonic clock, in nanoseconds.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from wfe.errors import TimedOut
from wfe.model.policy import ErrorInfo
from wfe.model.trace import trace_id
from wfe.wire.messages import NULL, TaskRef, TaskResult, TaskSpec
from wfe.worker.failure import failure
from wfe.worker.functions import TaskFunction

if TYPE_CHECKING:
    from wfe.worker.tracing import AttemptTracing

JobKey = tuple[str, int, int, int]
DONE, FAILED, CANCELLED = 0, 1, 2
"""`TaskResult.status`."""


class Job:
    """An attempt that was dispatched to this worker. Class attributes are the defaults: most jobs never change them."""

    started_ns = 0
    deadline_ns = 0
    """0: none. The earlier of the time limit and the next heartbeat that is due."""
    limit_ns = 0
    """The time limit alone; 0: none."""
    cancelled = False
    """Cancelled, timed out or lost: user code sees it as ``context().cancelled``."""
    cancelled_ns = 0
    settled = False
    printed = ""
    """An unfinished line that the attempt printed."""
    tracing: AttemptTracing | None = None
    """Set for attempts of traced runs, with when they came (``received_ns``)."""
    received_ns = 0
    span: Any = None
    """The attempt's span, while it is recorded."""

    def __init__(self, spec: TaskSpec, function: TaskFunction) -> None:
        self.spec = spec
        self.function = function

    @property
    def key(self) -> JobKey:
        spec = self.spec
        return (spec.run_id, spec.node, spec.activation, spec.attempt)

    def start(self, now_ns: int) -> None:
        """The attempt begins: its time limit counts from here."""
        spec = self.spec
        if spec.timeout_ms:
            self.limit_ns = self.deadline_ns = now_ns + spec.timeout_ms * 1_000_000
        if spec.heartbeat_ms:
            self.extend(now_ns)
        self.started_ns = now_ns

    def extend(self, now_ns: int) -> None:
        """A heartbeat of the attempt: the next one is due ``heartbeat_ms`` from now."""
        if self.spec.heartbeat_ms:
            due_ns = now_ns + self.spec.heartbeat_ms * 1_000_000
            self.deadline_ns = min(due_ns, self.limit_ns) if self.limit_ns else due_ns

    def elapsed_us(self, now_ns: int) -> int:
        return (now_ns - self.started_ns) // 1_000 if self.started_ns else 0

    def done(self, value: Raw, now_ns: int) -> TaskResult:
        spec = self.spec
        elapsed_us = (now_ns - self.started_ns) // 1_000
        return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, DONE, value, None, elapsed_us)

    def failed(self, error: ErrorInfo, now_ns: int) -> TaskResult:
        return self._ended(FAILED, error, now_ns)

    def withdrawn(self, now_ns: int) -> TaskResult:
        """Cancelled by the engine."""
        return self._ended(CANCELLED, None, now_ns)

    def overran(self, now_ns: int) -> TaskResult:
        """Failed by its time limit, or for want of a heartbeat."""
        spec = self.spec
        if self.limit_ns and now_ns >= self.limit_ns:
            reason = f"the task ran longer than its time limit of {spec.timeout_ms} ms"
        else:
            reason = f"the task sent no heartbeat for {spec.heartbeat_ms} ms"
        return self.failed(failure(TimedOut, reason, spec.node_id), now_ns)

    def ref(self) -> TaskRef:
        spec = self.spec
        return TaskRef(spec.run_id, spec.node, spec.activation, spec.attempt)

    def _ended(self, status: int, error: ErrorInfo | None, now_ns: int) -> TaskResult:
        spec = self.spec
        elapsed_us = self.elapsed_us(now_ns)
        return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, status, NULL, error, elapsed_us)


CURRENT: ContextVar[Job | None] = ContextVar("wfe_job", default=None)
"""The attempt that this thread or asyncio task executes."""


def fields_of(job: Job) -> dict[str, Any]:
    """What log lines of an attempt carry."""
    spec = job.spec
    fields = {"run": spec.run_id, "node": spec.node_id, "attempt": spec.attempt}
    return fields if spec.trace is None else fields | {"trace_id": trace_id(spec.trace.context)}


def current_fields() -> dict[str, Any] | None:
    """Fields for log lines of the code that runs now; None outside a task."""
    job = CURRENT.get()
    return None if job is None else fields_of(job)
