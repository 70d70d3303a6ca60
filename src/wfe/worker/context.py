"""`wfe.context()`: what a task may know about the attempt that runs it, and how it says that it is alive.

May touch the current job and the clocks; imports neither asyncio nor zmq, since `import wfe` reaches it. Invariants:
outside a worker there is always a context, a local dummy that is never cancelled and whose heartbeats go nowhere;
`heartbeat` raises `TaskCancelled` in synchronous code once the attempt no longer counts, and in asynchronous code never
(there a CancelledError comes at the next await).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.typing import FilteringBoundLogger

from wfe import observe
from wfe.errors import TaskCancelled
from wfe.model.ids import task_key
from wfe.model.registered import RegisteredTask
from wfe.wire import payload
from wfe.wire.messages import NULL, TaskSpec
from wfe.worker.functions import TaskFunction
from wfe.worker.job import CURRENT, Job, fields_of
from wfe.worker.tracing import traceparent_of


class TaskContext:
    """The attempt that the calling code belongs to. Cheap to get; keep it, or call `context` again."""

    __slots__ = ("_job",)

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def run_id(self) -> str:
        return self._job.spec.run_id

    @property
    def node(self) -> str:
        """The id of the node in the workflow."""
        return self._job.spec.node_id

    @property
    def attempt(self) -> int:
        """Counts from 1; a task that was lost with its worker comes back under a higher number."""
        return self._job.spec.attempt

    @property
    def key(self) -> str:
        """The same for every attempt of this activation: hand it to services that deduplicate."""
        spec = self._job.spec
        return task_key(spec.run_id, spec.node_id, spec.activation)

    @property
    def deadline(self) -> datetime | None:
        """When the time limit ends (UTC); None without one."""
        if not self._job.limit_ns:
            return None
        return datetime.now(UTC) + timedelta(microseconds=(self._job.limit_ns - time.monotonic_ns()) // 1_000)

    @property
    def logger(self) -> FilteringBoundLogger:
        """A structured logger whose lines carry run, node, attempt and, in a traced run, trace_id."""
        logger: FilteringBoundLogger = observe.get_logger("wfe.task").bind(**fields_of(self._job))
        return logger

    @property
    def traceparent(self) -> str:
        """The W3C trace context of this attempt, to hand on to what it calls; "" when its run is not traced."""
        return traceparent_of(self._job.spec)

    @property
    def previous(self) -> Any:
        """The details of the last heartbeat of the attempt before this one; None when there is none."""
        raw = self._job.spec.previous
        return None if raw == NULL else payload.decode_any(raw)

    @property
    def cancelled(self) -> bool:
        """True once the attempt was cancelled, timed out, or given to another worker: clean up and return."""
        return self._job.cancelled

    def heartbeat(self, details: Any = None, *, progress: float | None = None) -> None:
        """Says that the attempt is alive, and leaves ``details`` for the next one. ``progress``: 0 to 1.

        Raises TaskCancelled in a synchronous task that was cancelled, InvalidInput for details that are no payload.
        """
        if progress is not None and not 0 <= progress <= 1:
            raise ValueError(f"progress is a share from 0 to 1, not {progress!r}")
        job = self._job
        if job.cancelled and not job.function.registered.is_async:
            raise TaskCancelled("the attempt no longer counts: clean up and return")
        if job.function.beat is not None:
            raw = NULL if details is None else payload.encode_value(details)
            job.function.beat(job, raw, -1.0 if progress is None else progress)


def _local() -> TaskContext:
    """What code outside a worker sees, so that a task is a plain function in a unit test."""
    place = {"module": __name__, "qualname": "context", "file": __file__, "line": 0}
    function = TaskFunction(RegisteredTask("local", 1, function=context, is_async=False, **place))  # type: ignore[arg-type]
    return TaskContext(Job(TaskSpec("local", 0, 0, 1, "local", 1, "local", NULL), function))


def context() -> TaskContext:
    """The context of the running task; outside a worker a local dummy: never cancelled, heartbeats go nowhere."""
    job = CURRENT.get()
    return _LOCAL if job is None else TaskContext(job)


_LOCAL = _local()
