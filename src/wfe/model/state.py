"""The state of one run: what evolve writes and decide reads. Its encoded form is the snapshot.

``array_like``: fields are only appended, with a default; the journal keeps the snapshot's version beside it.

Keys. A place in a run is one integer, ``act * stride + node``: ``stride`` is the definition's node count plus one,
and the node number ``stride - 1`` stands for the frame itself. A timer's key is ``key * 2 + kind`` (`WAKE`,
`DEADLINE`), or `RUN_DEADLINE`.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.policy import ErrorInfo

NULL = Raw(b"\xc0")
SNAPSHOT_VERSION = 1
WAKE, DEADLINE = 0, 1
RUN_DEADLINE = -1

RUNNING, PAUSED, COMPLETED, FAILED, CANCELLED = "running", "paused", "completed", "failed", "cancelled"
ENDED = frozenset({COMPLETED, FAILED, CANCELLED})


class Frame(Struct, array_like=True):
    """One instance of a scope: the root, or a map body with more than one node.

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


class RunState(Struct, array_like=True):
    """One run. ``seq`` counts its events. Maps keyed by place hold only what is open now."""

    id: str
    workflow: str
    version: int
    definition: str
    input: Raw
    started_ms: int
    namespace: str = "default"
    key: str = ""
    priority: int = 0
    tags: dict[str, str] = {}
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
    groups: dict[int, Group] = {}
    homes: dict[int, int] = {}
    """Activation -> key of its map, for items without a frame whose map is not in the root frame."""
    open: dict[int, int] = {}
    """Place of a task -> number of its open attempt: ready, or with a worker."""
    inputs: dict[int, Raw] = {}
    """Inputs that expressions made."""
    failures: dict[int, int] = {}
    losses: dict[int, int] = {}
    retrying: dict[int, int] = {}
    """Place -> attempt number to open when its timer fires."""
    previous: dict[int, Raw] = {}
    timers: dict[int, int] = {}
    """Timer key -> due time, ms."""
    waits: dict[int, str] = {}
    """Place -> name of the awaited signal."""
    signals: dict[str, list[tuple[str, Raw]]] = {}
    """Buffered signals by name: (event id, payload), oldest first."""
    children: dict[int, str] = {}
    faults: list[tuple[int, ErrorInfo]] = []
    """Faults that wait to be handled (only while paused for longer than a turn)."""
    held: list[int] = []
    """What became enabled while the run is paused, in order."""
    expired: list[int] = []
    """Timers that fired while the run is paused."""
    commands: list[tuple[str, str]] = []
    """Recent command ids and the code each was answered with."""
    incident: str = ""
    """Why the run was quarantined; empty: it was not."""
