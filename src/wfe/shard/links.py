"""What a shard knows of one worker."""

from __future__ import annotations

from msgspec import structs

from wfe.partition.entry import Entry, Lease
from wfe.shard.durable import home_kind
from wfe.wire.blobs import BlobWindow
from wfe.wire.messages import TaskRef, TaskResult, WorkerHello

NOWHERE = -1
"""No place of a run."""


class Link:
    """One worker. ``held``: its leases, in the order of dispatch. ``unconfirmed``: those it did not name in its last
    hello."""

    __slots__ = (
        "blobs",
        "credit_bytes",
        "credit_tasks",
        "dispatch_seq",
        "heard_ms",
        "held",
        "kinds",
        "late",
        "local",
        "peer",
        "results_seq",
        "slots",
        "told_ready",
        "unconfirmed",
        "worker",
    )  # fmt: skip

    def __init__(self, peer: bytes, hello: WorkerHello, now_ms: int) -> None:
        self.peer = peer
        self.worker = hello.worker
        self.kinds = frozenset([*((name, version) for name, version in hello.tasks), home_kind(hello.worker)])
        self.slots = hello.slots
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


def place_of(entry: Entry, ref: TaskRef) -> int:
    """The place that a worker names: a node number that there is not must never mean a node of the next activation."""
    stride = entry.plan.stride
    return ref.activation * stride + ref.node if 0 <= ref.node < stride - 1 else NOWHERE
