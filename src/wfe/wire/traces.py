"""Messages about traces: what a worker is told of a task's, and the ends of traced runs. See `messages`."""

from __future__ import annotations

from msgspec import Struct

from wfe.model.policy import ErrorInfo


class TaskTrace(Struct, array_like=True, gc=False):
    """The context of the run (`model.trace`), and how long the task was ready before it left for a worker."""

    context: str
    queued_ms: int = 0


class TracesQuery(Struct, array_like=True):
    """Traced runs that have ended, behind ``cursor`` of ``epoch``: what is not behind it need not be kept any more.

    Answered once there are any. One reader per server: it gets each of them once, unless the shard starts anew.
    """

    cursor: int = -1
    epoch: int = 0


class RunTrace(Struct, array_like=True):
    """The end of a traced run, without its payloads."""

    run_id: str
    workflow: str
    version: int
    context: str
    started_ms: int
    ended_ms: int
    status: str
    error: ErrorInfo | None = None
    key: str = ""
    parent: str = ""
    round: int = 0


class LostTrace(Struct, array_like=True):
    """An attempt whose worker is gone, so that nobody else can tell of it."""

    run_id: str
    context: str
    node: int
    activation: int
    attempt: int
    node_id: str
    task: str
    task_version: int
    worker: str
    dispatched_ms: int
    lost_ms: int


class TracesPage(Struct, array_like=True):
    """``missed``: so many were thrown out, for nobody took them in time. ``lost`` are given once."""

    shard: int
    epoch: int
    cursor: int
    runs: list[RunTrace] = []
    missed: int = 0
    lost: list[LostTrace] = []
