"""Bodies of frames. All are ``array_like``: fields are only ever appended, with a default, never removed or reordered.

Payloads are `msgspec.Raw` msgpack and stay encoded all the way: only a worker, or an expression that names them,
decodes them. Text that names a task is ``name`` plus an integer version. Times are ms since 1970, durations ms.
"""

from __future__ import annotations

from msgspec import Raw, Struct

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
from wfe.wire.tasks import (
    Ack,
    Dispatch,
    Results,
    TaskBeat,
    TaskRef,
    TaskResult,
    TaskSpec,
    WorkerHeartbeat,
    WorkerHello,
    WorkerWelcome,
)

# This module is the index: what it only passes on is named here, what it defines is public anyway.
__all__ = [
    "NULL",
    "Ack",
    "ControlRun",
    "Credit",
    "Dispatch",
    "ErrorReply",
    "FindRun",
    "GetRun",
    "HistoryEvent",
    "HistoryPage",
    "HistoryQuery",
    "ListRuns",
    "Results",
    "RunOutcome",
    "RunPage",
    "RunView",
    "ShardLoad",
    "SignalRun",
    "StartOutcome",
    "StartRun",
    "TaskBeat",
    "TaskRef",
    "TaskResult",
    "TaskSpec",
    "Waiting",
    "WorkerHeartbeat",
    "WorkerHello",
    "WorkerWelcome",
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

    ``replace``: development mode (`wfe dev`): a changed graph may take over an explicit version. ``command_id``: as
    that of a `DefinitionCommand`.
    """

    definitions: list[bytes]
    check: bool = False
    replace: bool = False
    command_id: str = ""


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
