"""The state of one run: what evolve writes and decide reads. Its encoded form is the snapshot.

``array_like``: fields are only appended, with a default; other changes are another format of the data
directory (`journal.schema.FORMAT_VERSION`).

Keys. A place in a run is one integer, ``act * stride + node``: ``stride`` is the definition's node count plus one,
and the node number ``stride - 1`` stands for the frame itself. A timer's key is ``key * 2 + kind`` (`WAKE`,
`DEADLINE`), or `RUN_DEADLINE`.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.durable import DurableState
from wfe.model.marking import Marking
from wfe.model.policy import ErrorInfo
from wfe.model.tables import NO_ITEMS, NOTHING, Items, Table

NULL = Raw(b"\xc0")
WAKE, DEADLINE = 0, 1
RUN_DEADLINE = -1
HELD_FAULT = -(1 << 61)
"""In `RunState.held`, less a place's key: here this place failed. It is no place."""
HELD_SIGNAL = -(1 << 62)
"""In `RunState.held`: here the next of the signals in `RunState.heard` came."""
HELD_TIMER = HELD_SIGNAL - 2
"""In `RunState.held`, less a timer's key: here this timer fired. Whatever is not above `HELD_FAULT` is a mark."""

RUNNING, PAUSED, COMPLETED, FAILED, CANCELLED = "running", "paused", "completed", "failed", "cancelled"
ENDED = frozenset({COMPLETED, FAILED, CANCELLED})


class Frame(Struct, array_like=True):
    """One instance of a scope: the root, a map body with more than one node, or an iteration of a loop.

    ``remaining``: per node of the scope, the edges that have not fired yet. ``pending``: per open block (and for the
    frame itself), the last nodes that have not ended yet. ``values``: kept values by node. ``group``: the key of the
    map.
    """

    scope: int
    parent: int
    group: int
    index: int
    remaining: list[int]
    pending: dict[int, int]
    values: dict[int, Raw]


class Group(Struct, array_like=True):
    """An open map: ``next`` is the cursor of items begun, ``base`` the activation of item 0."""

    base: int
    items: list[Raw]
    next: int = 0
    results: dict[int, Raw] = {}
    errors: dict[int, ErrorInfo] = {}
    closed: bool = False
    """It grows no more."""
    left: bool = False
    """The map has ended; its items go on unheard."""
    count: int = 0
    """Of a paged map: its items, which are in ``pages`` (none: they are the numbers from 0) and not in ``items``."""
    pages: list[Raw] = []
    collected: dict[int, Raw] = {}
    """Pages of results by number, once all of a page's items have ended; ``results`` holds those of the others."""
    done: int = 0
    """Results in ``collected``."""
    waiting: dict[int, int] = {}
    """Of pages some of whose items have ended: how many have not."""


class LoopState(Struct, array_like=True):
    """An open loop: ``iteration`` counts those that began, ``act`` is the open one's activation (-1: none is).

    ``items`` None: it goes over none, or over ``count`` items in ``pages``, as a paged map does.
    """

    iteration: int = 0
    act: int = -1
    items: list[Raw] | None = None
    count: int = 0
    pages: list[Raw] = []


class Asked(Struct, array_like=True):
    """An open approval: who is asked, and how many escalations there were."""

    to: Raw = NULL
    level: int = 0


class Registered(Struct, array_like=True):
    """A compensation handler: the place of the node that registered it, and the task's input."""

    key: int
    input: Raw


class Compensating(Struct, array_like=True):
    """Handlers run: ``todo``, last first; ``current`` is the place of the open one (-1: none is).

    ``status`` empty: for the Compensate nodes at ``places``; else the run ends like that afterwards, with ``error``.
    ``failures``: handlers that failed for good.
    """

    places: list[int] = []
    todo: list[Registered] = []
    current: int = -1
    status: str = ""
    error: ErrorInfo | None = None
    failures: list[ErrorInfo] = []


class RunState(Struct, array_like=True):
    """One run. ``seq`` counts its events. Maps keyed by place hold only what is open now.

    Most runs use few of the tables: those that are empty are one (`model.tables`), and are written with `put` and
    `add`. Those that every run uses, or that change with each task, are dicts of its own.
    """

    id: str
    workflow: str
    version: int
    definition: str
    input: Raw
    started_ms: int
    namespace: str = "default"
    key: str = ""
    priority: int = 0
    tags: dict[str, str] = NOTHING
    principal: str = ""
    parent: str = ""
    parent_node: int = 0
    parent_act: int = 0
    depth: int = 0
    seq: int = 0
    status: str = RUNNING
    ended_ms: int = 0
    output: Raw = NULL
    error: ErrorInfo | None = None
    next_act: int = 1
    frames: dict[int, Frame] = {}
    groups: Table[int, Group] = NOTHING
    homes: Table[int, int] = NOTHING
    """Activation -> key of its map, for items without a frame whose map is not in the root frame."""
    open: dict[int, int] = {}
    """Place of a task -> number of its open attempt: ready, or with a worker."""
    inputs: Table[int, Raw] = NOTHING
    """Inputs that expressions made."""
    failures: Table[int, int] = NOTHING
    losses: Table[int, int] = NOTHING
    retrying: Table[int, int] = NOTHING
    """Place -> attempt number to open when its timer fires."""
    previous: Table[int, Raw] = NOTHING
    timers: Table[int, int] = NOTHING
    """Timer key -> due time, ms."""
    waits: Table[int, str] = NOTHING
    """Place -> channel of the awaited signal, see `channel_of`."""
    signals: Table[str, list[tuple[str, Raw]]] = NOTHING
    """Buffered signals by channel: (event id, payload), oldest first."""
    children: Table[int, str] = NOTHING
    faults: Items[tuple[int, ErrorInfo]] = NO_ITEMS
    """Faults that wait to be handled (only while paused for longer than a turn)."""
    held: list[int] = NO_ITEMS
    """What became enabled while the run is paused, in order; between it marks (`HELD_FAULT`...)."""
    expired: Items[int] = NO_ITEMS
    """Timers that fired while the run is paused."""
    commands: Items[tuple[str, str]] = NO_ITEMS
    """Recent command ids and the code each was answered with."""
    incident: str = ""
    """Why the run was quarantined; empty: it was not."""
    loops: Table[int, LoopState] = NOTHING
    approvals: Table[int, Asked] = NOTHING
    locks: Table[int, bool] = NOTHING
    """Place of a lock block -> whether it holds its locks; those that wait are in the order in which they asked."""
    shared_locks: Table[int, str] = NOTHING
    """Place -> the lock of all runs that it holds or wants."""
    compensations: Items[Registered] = NO_ITEMS
    """Handlers in the order in which they were registered."""
    compensating: Compensating | None = None
    deferred: Items[Raw] = NO_ITEMS
    """Commands that met a defect, encoded; applied again at resume."""
    handed_out: Table[int, int] = NOTHING
    """Place of a task that must not run twice -> the attempt that a worker may have begun."""
    nets: Table[int, Marking] = NOTHING
    """Place of a block (or of a frame itself) that is a net -> its marking, while it is open."""
    round: int = 0
    """How often the run went on after it had failed."""
    durable: DurableState | None = None
    """What a durable function has called and got; None: the run is a graph."""
    blobs: dict[bytes, Raw] = NOTHING
    """Large values by name (`model.blob`). They are no part of the snapshot, but have rows of their own."""
    trace: str = ""
    """The trace context that it started with (`model.trace`)."""
    heard: Items[str] = NO_ITEMS
    """Channels of signals that came while the run is paused, after something that comes first; in order."""


def channel_of(name: str, correlation: str) -> str:
    """Signals and waits meet by name and correlation (rule R11): this text holds both."""
    return f"{name}\x1f{correlation}" if correlation else name


def channel_name(channel: str) -> str:
    """The signal's name in a channel."""
    return channel.partition("\x1f")[0]
