"""Tasks and their results on the way between shard and worker, and how a worker introduces itself: bodies of frames.

``array_like``, as all of `messages`: fields are only ever appended, with a default, never removed or reordered.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.needs import Needs
from wfe.model.policy import ErrorInfo
from wfe.wire.runs import NULL, ErrorReply
from wfe.wire.traces import TaskTrace


class TaskRef(Struct, array_like=True):
    """A task's identity."""

    run_id: str
    node: int
    activation: int
    attempt: int


class TaskSpec(Struct, array_like=True, gc=False):
    """One attempt, handed to a worker. ``input`` is a msgpack map of arguments by name.

    ``key`` is not sent: it is `ids.task_key(run_id, node_id, activation)`. ``previous``: what the last attempt's
    heartbeat left. ``durable`` and ``recorded``: a turn of a durable function (`wire.durable`).
    """

    run_id: str
    node: int
    activation: int
    attempt: int
    task: str
    task_version: int
    node_id: str
    input: Raw
    timeout_ms: int = 0
    heartbeat_ms: int = 0
    failures: int = 0
    previous: Raw = NULL
    durable: int = 0
    recorded: Raw = NULL
    blobs: dict[bytes, Raw] | None = None
    """Filled in by the worker: what its input refers to."""
    trace: TaskTrace | None = None


class TaskResult(Struct, array_like=True, gc=False):
    """The end of an attempt. ``status`` 0: done, 1: failed, 2: cancelled by the engine, 3 to 5: of a turn of a durable
    function (`wire.durable`), whose ``turn`` says what the function did.
    """

    run_id: str
    node: int
    activation: int
    attempt: int
    status: int
    value: Raw = NULL
    error: ErrorInfo | None = None
    started_us: int = 0
    """Time in execution, microseconds."""
    turn: Raw = NULL


class Dispatch(Struct, array_like=True):
    """Tasks for a worker; ``seq`` counts the dispatch frames of this link since its hello, from 1.

    ``alone``: one task that workers died of: nothing may run beside it, and credit that was lent before is void.
    """

    seq: int
    tasks: list[TaskSpec]
    alone: bool = False
    blobs: list[tuple[bytes, Raw]] = []
    """Large values that inputs refer to by name (`model.blob`), but for those that the worker has (`wire.blobs`)."""
    needs: Needs | None = None
    """What each of these tasks uses of what was granted for it; None: they use credit."""
    acked: int = 0
    """The number of the results that are durable now, as RESULTS_ACK says it without tasks; 0: nothing is said."""


class Results(Struct, array_like=True):
    """Results of a worker; ``seq`` counts the result frames of this link since its hello, from 1.

    The worker keeps them until the shard acknowledges the number (committed), and presents them anew after a hello.
    """

    seq: int
    results: list[TaskResult]


class Ack(Struct, array_like=True):
    seq: int


class WorkerHello(Struct, array_like=True):
    """First message to each shard, and again after REJECT, a reconnect, or a new shard epoch.

    ``tasks``: [name, version] pairs that this worker runs. ``held``: attempts of this shard that it has not finished;
    whatever the shard believes it holds and is not named here is given out again. Unacknowledged results follow.
    """

    token: str
    worker: str
    tasks: list[tuple[str, int]]
    slots: int
    held: list[TaskRef] = []
    local: bool = False
    pid: int = 0
    labels: dict[str, str] = {}
    resources: dict[str, int] = {}


class WorkerWelcome(Struct, array_like=True):
    epoch: int
    lease_ms: int
    error: ErrorReply | None = None


class TaskBeat(Struct, array_like=True):
    """A running task's heartbeat: what the next attempt finds in ``previous``; progress 0 to 1, below 0: unknown."""

    ref: TaskRef
    details: Raw = NULL
    progress: float = -1.0


class WorkerHeartbeat(Struct, array_like=True):
    """Every `HEARTBEAT_MS`, from outside the user's threads. ``dispatch_seq``: the last dispatch frame seen."""

    dispatch_seq: int
    running: int
    beats: list[TaskBeat] = []
