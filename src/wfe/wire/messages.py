"""Bodies of frames. All are ``array_like``: fields are only ever appended, with a default, never removed or reordered.

Payloads are `msgspec.Raw` msgpack and stay encoded all the way: only a worker, or an expression that names them,
decodes them. Text that names a task is ``name`` plus an integer version. Times are ms since 1970, durations ms.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.policy import ErrorInfo

NULL = Raw(b"\xc0")
"""The encoded null."""


# ---- hello ----------------------------------------------------------------------------------------------------------


class Hello(Struct, array_like=True):
    """First message of a client or worker to the coordinator. ``role``: "client" or "worker"."""

    token: str
    role: str = "client"
    software: str = ""
    peer: str = ""
    """For a worker: its worker id (fresh per process start)."""


class ShardEndpoint(Struct, array_like=True):
    """Where workers reach a shard. ``ipc`` is usable only on the same host; ``epoch`` changes with each shard start."""

    index: int
    epoch: int
    ipc: str
    tcp: str
    up: bool = True


class Welcome(Struct, array_like=True):
    """Answer to `Hello`. ``time_ms``: the server's clock, by which clients mint run ids."""

    server: str
    partitions: int
    time_ms: int
    shards: list[ShardEndpoint] = []
    payload_bytes_max: int = 0
    lease_ms: int = 0


class ErrorReply(Struct, array_like=True):
    """A typed error: ``code`` is `WfeError.code`; ``path`` for InvalidInput, ``retry_after_ms`` for Busy."""

    code: str
    message: str
    path: str = ""
    retry_after_ms: int = 0


# ---- definitions ----------------------------------------------------------------------------------------------------


class Deploy(Struct, array_like=True):
    """Definitions to register, each in canonical JSON. ``check``: only say what would happen.

    ``replace``: development mode (`wfe dev`): a changed graph may take over an explicit version.
    """

    definitions: list[bytes]
    check: bool = False
    replace: bool = False


class Deployed(Struct, array_like=True):
    """What a definition became. ``changed`` false: this graph was registered already."""

    workflow: str
    version: int
    hash: str
    changed: bool


class DeployOutcome(Struct, array_like=True):
    deployed: list[Deployed]


class DefinitionQuery(Struct, array_like=True):
    """One definition by name and version (0: the current one); an empty name lists all."""

    workflow: str = ""
    version: int = 0
    hash: str = ""


class DefinitionFound(Struct, array_like=True):
    """``definition`` is canonical JSON, empty in a list. ``current``: starts without a version use it."""

    workflow: str
    version: int
    hash: str
    definition: bytes = b""
    current: bool = True
    deployed_at: int = 0


# ---- runs: client -> shard ------------------------------------------------------------------------------------------


class StartRun(Struct, array_like=True):
    """Starts a run; idempotent by ``run_id`` and by (namespace, workflow, key). The frame's header names the workflow.

    ``watch``: send a `RunOutcome` to this client when the run has ended. ``resent``: may have arrived before.
    """

    run_id: str
    input: Raw
    key: str = ""
    priority: int = 0
    tags: dict[str, str] = {}
    watch: bool = False
    resent: bool = False
    namespace: str = "default"


class StartOutcome(Struct, array_like=True):
    """``run_id`` may be another one than asked for, when the key names an earlier run. ``error`` None: accepted."""

    run_id: str
    created: bool = True
    error: ErrorReply | None = None


class RunOutcome(Struct, array_like=True):
    """The end of a run. ``status``: completed, failed or cancelled."""

    run_id: str
    status: str
    output: Raw = NULL
    error: ErrorInfo | None = None


class GetRun(Struct, array_like=True):
    run_id: str


class FindRun(Struct, array_like=True):
    workflow: str
    key: str
    namespace: str = "default"


class Waiting(Struct, array_like=True):
    """What a run waits for. ``kind``: task, retry, timer, signal, run, worker, paused ..."""

    kind: str
    node: str = ""
    detail: str = ""
    since_ms: int = 0
    due_ms: int = 0
    attempt: int = 0


class RunView(Struct, array_like=True):
    """A run as people see it. ``status``: pending running waiting paused completed failed cancelled."""

    id: str
    workflow: str
    version: int
    status: str
    key: str = ""
    input: Raw = NULL
    output: Raw = NULL
    error: ErrorInfo | None = None
    waiting_for: list[Waiting] = []
    started_at: int = 0
    ended_at: int = 0
    tags: dict[str, str] = {}
    priority: int = 0
    parent: str = ""
    events: int = 0
    definition: str = ""
    namespace: str = "default"


class ListRuns(Struct, array_like=True):
    """Runs of the header's partition. Newest first unless ``after`` (a run id) pages on. Empty filter: any."""

    status: str = ""
    workflow: str = ""
    key: str = ""
    tags: dict[str, str] = {}
    limit: int = 100
    after: str = ""


class RunPage(Struct, array_like=True):
    """``more``: there are further runs after the last one. Views in a list carry no payloads."""

    runs: list[RunView]
    more: bool = False


class HistoryQuery(Struct, array_like=True):
    """Events from sequence number ``after`` (exclusive) on; ``wait``: answer only when there are any, or the run
    ended."""

    run_id: str
    after: int = 0
    limit: int = 1000
    wait: bool = False


class HistoryEvent(Struct, array_like=True):
    """One event as people read it. ``type`` is the event's name, ``data`` its other fields by name."""

    seq: int
    time_ms: int
    type: str
    node: str = ""
    activation: int = 0
    attempt: int = 0
    data: Raw = NULL


class HistoryPage(Struct, array_like=True):
    events: list[HistoryEvent]
    ended: bool = False


class SignalRun(Struct, array_like=True):
    """A signal to a run. ``event_id`` deduplicates."""

    run_id: str
    name: str
    payload: Raw
    event_id: str


class ControlRun(Struct, array_like=True):
    """``action``: cancel, pause or resume. ``command_id`` deduplicates."""

    run_id: str
    action: str
    command_id: str
    compensate: bool = True


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
    heartbeat left. ``durable`` and ``recorded`` are reserved for durable functions: recorded results with a dispatch.
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


class TaskResult(Struct, array_like=True, gc=False):
    """The end of an attempt. ``status`` 0: done, 1: failed, 2: cancelled by the engine, 3: suspended (reserved).

    A suspended result (durable functions) carries the recorded calls that it asks for in ``value``.
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


class Dispatch(Struct, array_like=True):
    """Tasks for a worker; ``seq`` counts the dispatch frames of this link since its hello, from 1."""

    seq: int
    tasks: list[TaskSpec]


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


class WorkerWelcome(Struct, array_like=True):
    epoch: int
    lease_ms: int
    error: ErrorReply | None = None


class Credit(Struct, array_like=True):
    """Room for so many further tasks and bytes of input, on top of what was lent before."""

    tasks: int
    bytes: int


class TaskBeat(Struct, array_like=True):
    """A running task's own heartbeat with what the next attempt shall find in ``previous``.

    ``progress``: 0 to 1, below 0 when the task did not say.
    """

    ref: TaskRef
    details: Raw = NULL
    progress: float = -1.0


class WorkerHeartbeat(Struct, array_like=True):
    """Every `HEARTBEAT_MS`, from outside the user's threads. ``dispatch_seq``: the last dispatch frame seen."""

    dispatch_seq: int
    running: int
    beats: list[TaskBeat] = []


class ShardLoad(Struct, array_like=True):
    """``ready``: tasks that wait for credit and that this worker could run. ``dispatch_seq``: the last frame sent."""

    ready: int
    dispatch_seq: int = 0
