"""What a shard knows of one worker."""

from __future__ import annotations

from msgspec import structs

from wfe.model.command import TaskEnded, TaskLost
from wfe.model.needs import Needs, label_texts
from wfe.model.policy import ErrorInfo
from wfe.model.state import NULL
from wfe.partition.entry import Entry, Lease
from wfe.partition.ready import Kind
from wfe.shard.durable import home_kind, lease_timeout_ms, near_kind
from wfe.wire.blobs import BlobWindow
from wfe.wire.lending import Credit
from wfe.wire.messages import TaskRef, TaskResult, WorkerHello

NOWHERE = -1
"""No place of a run."""
_CREDIT_MAX = 1 << 40
"""Far above what workers lend (`CREDIT_BYTES_MAX`), far below what a frame can say."""


class Link:
    """One worker. ``held``: its leases, in the order of dispatch. ``unconfirmed``: those it did not name in its last
    hello."""

    __slots__ = (
        "blobs",
        "credit_bytes",
        "credit_tasks",
        "dispatch_seq",
        "grants",
        "grants_seq",
        "heard_ms",
        "held",
        "kinds",
        "labels",
        "late",
        "local",
        "peer",
        "rationed",
        "resources",
        "results_seq",
        "slots",
        "stale",
        "tasks",
        "told_ready",
        "told_wants",
        "unconfirmed",
        "unused_seq",
        "worker",
    )  # fmt: skip

    def __init__(self, peer: bytes, hello: WorkerHello, now_ms: int) -> None:
        self.peer = peer
        self.worker = hello.worker
        self.tasks = frozenset((name, version) for name, version in hello.tasks)
        self.kinds: frozenset[Kind] = self.tasks | {home_kind(hello.worker), near_kind(hello.worker)}
        """What it may be given on credit: tasks that ask for labels join when they are met, see `pools`."""
        self.labels = label_texts(hello.labels)
        self.resources = hello.resources
        self.rationed: dict[Kind, None] = {}
        """Kinds of tasks that need resources, and that it has the labels and in all the resources for."""
        self.grants: dict[Needs, int] = {}
        """For how many tasks it has set its resources aside; used or given back within a turn."""
        self.grants_seq = self.unused_seq = 0
        """The last frame of grants that came, and of those that were given back."""
        self.told_wants: set[Needs] = set()
        """It knows that tasks with these needs wait here."""
        self.slots = hello.slots
        self.stale = False
        """A partition came after its hello: it may hold tasks of it that it did not name."""
        self.local = hello.local
        self.held: dict[Lease, None] = {}
        self.unconfirmed: dict[Lease, None] = {}
        self.credit_tasks = 0
        self.credit_bytes = 0
        self.dispatch_seq = 0
        self.results_seq = 0
        self.late: dict[int, int] = {}
        """Result frames with results whose runs are being loaded, and how many: they are not acknowledged yet."""
        self.heard_ms = now_ms
        self.blobs: BlobWindow[None] = BlobWindow()
        """Names of the large values that it has got."""
        self.told_ready = False
        """It knows that tasks wait here for credit."""

    def booked_seq(self) -> int:
        """The last result frame up to which every result has been decided."""
        return min(self.late) - 1 if self.late else self.results_seq


def detached(result: TaskResult) -> TaskResult:
    """The result for longer than the frame that it came in."""
    return structs.replace(result, value=result.value.copy(), turn=result.turn.copy())


def loss_of(lease: Lease, now_ms: int, *, spent: bool) -> TaskEnded | TaskLost:
    """What an attempt comes to that was lost with its worker; one that had used up its time counts as timed out."""
    timeout_ms = lease_timeout_ms(lease)
    previous = NULL if lease.previous is None else lease.previous
    if spent and timeout_ms and now_ms - lease.dispatched_ms > timeout_ms:
        message = f"took longer than {timeout_ms} ms; its process was stuck and was replaced"
        error = ErrorInfo("TimedOut", message, types=("TimedOut",))
        return TaskEnded(lease.key, lease.attempt, 1, NULL, error, previous)
    return TaskLost(lease.key, lease.attempt, spent, previous)


def place_of(entry: Entry, ref: TaskRef) -> int:
    """The place that a worker names: a node number that there is not must never mean a node of the next activation."""
    stride = entry.plan.stride
    return ref.activation * stride + ref.node if 0 <= ref.node < stride - 1 else NOWHERE


def believable(credit: Credit) -> bool:
    """Whether anybody would lend as much."""
    return 0 <= credit.tasks <= _CREDIT_MAX and 0 <= credit.bytes <= _CREDIT_MAX


def nothing(_body: bytes) -> None:
    """The decoder of kinds whose body says nothing: it may be empty, or null."""
