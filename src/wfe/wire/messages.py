"""Bodies of frames. All are ``array_like``: fields are only ever appended, with a default, never removed or reordered.

Payloads are `msgspec.Raw` msgpack and stay encoded all the way: only a worker, or an expression that names them,
decodes them. Text that names a task is ``name`` plus an integer version. Times are ms since 1970, durations ms.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.needs import Needs
from wfe.model.policy import ErrorInfo
from wfe.wire.lending import Credit, ShardLoad
from wfe.wire.rebalance import PartitionLoad
from wfe.wire.runs import (
    NULL,
    ControlRun,
    ErrorReply,
    FindRun,
    GetRun,
    HistoryEvent,
    HistoryPage,
    HistoryQuery,
    ListRuns,
    RunOutcome,
    RunPage,
    RunView,
    SignalRun,
    StartOutcome,
    StartRun,
    Waiting,
)
from wfe.wire.stats import RunTally, TaskTally
from wfe.wire.traces import TaskTrace

# This module is the index: what it only passes on is named here, what it defines is public anyway.
__all__ = [
    "NULL",
    "ControlRun",
    "Credit",
    "ErrorReply",
    "FindRun",
    "GetRun",
    "HistoryEvent",
    "HistoryPage",
    "HistoryQuery",
    "ListRuns",
    "RunOutcome",
    "RunPage",
    "RunView",
    "ShardLoad",
    "SignalRun",
    "StartOutcome",
    "StartRun",
    "Waiting",
]

# ---- hello ----------------------------------------------------------------------------------------------------------


class Hello(Struct, array_like=True):
    """First message of a client or worker to the coordinator. ``role``: "client" or "worker"."""

    token: str
    role: str = "client"
    software: str = ""
    peer: str = ""
    """For a worker: its worker id (fresh per process start). For a gateway that listens: ``gateway-`` and its pid."""


class ShardEndpoint(Struct, array_like=True):
    """Where workers reach a shard. ``ipc`` is usable only on the same host; ``epoch`` changes with each shard start.

    ``partitions``: those that it owns, for what a worker got from a former owner.
    """

    index: int
    epoch: int
    ipc: str
    tcp: str
    up: bool = True
    partitions: list[int] = []


class Welcome(Struct, array_like=True):
    """Answer to `Hello`. ``time_ms``: the server's clock, by which clients mint run ids."""

    server: str
    partitions: int
    time_ms: int
    shards: list[ShardEndpoint] = []
    payload_bytes_max: int = 0
    lease_ms: int = 0


# ---- definitions ----------------------------------------------------------------------------------------------------


class Deploy(Struct, array_like=True):
    """Definitions to register, each in canonical JSON. ``check``: only say what would happen.

    ``replace``: development mode (`wfe dev`): a changed graph may take over an explicit version.
    """

    definitions: list[bytes]
    check: bool = False
    replace: bool = False


class Deployed(Struct, array_like=True):
    """What a definition became. ``changed`` false: this graph was registered already; ``new``: no such workflow was."""

    workflow: str
    version: int
    hash: str
    changed: bool
    new: bool = False


class DeployOutcome(Struct, array_like=True):
    deployed: list[Deployed]


class DefinitionQuery(Struct, array_like=True):
    """One definition by name and version (0: the current one); an empty name lists all."""

    workflow: str = ""
    version: int = 0
    hash: str = ""


class DefinitionFound(Struct, array_like=True):
    """``definition`` is canonical JSON, empty in a list. ``current``: starts without a version use it.

    ``deprecated_at``: it takes no new runs since then (0: it does), and ``note`` says why. ``tags``: names that stand
    for it. ``triggers``: what starts it, as ``manual``, ``api`` or ``webhook:NAME``.
    """

    workflow: str
    version: int
    hash: str
    definition: bytes = b""
    current: bool = True
    deployed_at: int = 0
    deprecated_at: int = 0
    note: str = ""
    tags: list[str] = []
    triggers: list[str] = []


# ---- shard <-> coordinator ------------------------------------------------------------------------------------------


class ShardHello(Struct, array_like=True):
    """A recovered shard serves. ``tcp`` is the bound endpoint, ``partitions`` what it owns."""

    index: int
    epoch: int
    pid: int
    ipc: str
    tcp: str
    partitions: list[int]
    recovered_runs: int = 0
    recovery_ms: int = 0


class Latency(Struct, array_like=True):
    """Percentiles over the recent window, in microseconds."""

    count: int = 0
    p50_us: int = 0
    p99_us: int = 0
    max_us: int = 0


class ShardStats(Struct, array_like=True):
    """Counters since the shard's start, gauges, and latencies of the recent window."""

    index: int
    epoch: int
    time_ms: int
    counters: dict[str, int] = {}
    gauges: dict[str, int] = {}
    latencies: dict[str, Latency] = {}
    tasks: list[TaskTally] = []
    runs: list[RunTally] = []
    partitions: list[PartitionLoad] = []


class Mail(Struct, array_like=True):
    """A durable message between partitions, numbered per (sender, receiver). ``body`` is an encoded `MailBody`."""

    sender: int
    receiver: int
    epoch: int
    seq: int
    body: Raw


class MailAck(Struct, array_like=True):
    """Everything from ``sender`` to ``receiver`` up to ``seq`` is durable at the receiver."""

    sender: int
    receiver: int
    seq: int


class Resolve(Struct, array_like=True):
    """A shard asks for a definition: by hash, or by name and version (0: current)."""

    workflow: str = ""
    version: int = 0
    hash: str = ""


class Resolved(Struct, array_like=True):
    """The question repeated, and the answer; an empty ``found_hash``: there is none."""

    workflow: str
    version: int
    hash: str
    found_hash: str = ""
    found_version: int = 0
    definition: bytes = b""


class KnownWorkers(Struct, array_like=True):
    """Workers that said hello to the coordinator and did not leave; ``gone``: processes that are known to have
    ended."""

    workers: list[str]
    gone: list[str] = []


class ShardStatus(Struct, array_like=True):
    """``state``: starting, serving, stalled, restarting, down."""

    index: int
    state: str
    pid: int = 0
    epoch: int = 0
    restarts: int = 0
    partitions: list[int] = []
    stats: ShardStats | None = None
    recovery_ms: int = 0


class WorkerStatus(Struct, array_like=True):
    id: str
    local: bool
    pid: int = 0
    state: str = "connected"
    restarts: int = 0


class ServerStatus(Struct, array_like=True):
    """``state``: starting, serving, degraded (some shard is not serving), draining."""

    server: str
    state: str
    version: str
    data: str
    durability: str
    partitions: int
    started_at: int
    shards: list[ShardStatus] = []
    workers: list[WorkerStatus] = []
    workflows: int = 0
    address: str = ""
    http: str = ""
    moving: list[int] = []
    """Partitions that are on their way from one shard to another."""
    busiest_percent: int = 100
    """What the shard with most to do has, of what a shard has on average."""


# ---- worker <-> shard -----------------------------------------------------------------------------------------------


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
