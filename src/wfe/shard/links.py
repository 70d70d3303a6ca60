"""What a shard knows of one worker."""

from __future__ import annotations

from wfe.partition.entry import Lease
from wfe.wire.messages import WorkerHello


class Link:
    """One worker. ``held``: its leases, in the order of dispatch. ``unconfirmed``: those it did not name in its last
    hello."""

    __slots__ = (
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
        self.kinds = frozenset((name, version) for name, version in hello.tasks)
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
        self.told_ready = False
        """It knows that tasks wait here for credit."""

    def booked_seq(self) -> int:
        """The last result frame up to which every result has been decided."""
        return min(self.late) - 1 if self.late else self.results_seq
