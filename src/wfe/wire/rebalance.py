"""Bodies of the frames that move partitions between running shards; `docs/ARCHITECTURE.md` says the protocol.

``number`` counts a coordinator's orders to shards. A number never comes back: an order with an older number than the
last one that a shard saw for the same partition is late and changes nothing; the same number again asks for the answer
again.
"""

from __future__ import annotations

from msgspec import Struct

from wfe.wire.runs import ErrorReply


class Rebalance(Struct, array_like=True):
    """Move partitions. ``moves``: (partition, shard); none: whatever evens out the load.

    ``id`` is the client's: the same id again asks how that goes, and never begins anything else. ``dry_run``: only say
    what would be moved.
    """

    id: str
    moves: list[tuple[int, int]] = []
    dry_run: bool = False


class Move(Struct, array_like=True):
    """One partition's way. ``state``: planned, leaving (the source writes all of it down), arriving, moved, failed (it
    is served where it was), unserved (the target owns it now, and will serve it once it answers again).

    ``held_ms``: for how long nobody served it. ``error``: why it was not moved, or is not served.
    """

    partition: int
    source: int
    target: int
    state: str = "planned"
    held_ms: int = 0
    error: ErrorReply | None = None


class RebalanceReport(Struct, array_like=True):
    """How a rebalance goes. ``phase``: planned (of a dry run), moving, done (then no move is under way any more)."""

    id: str
    phase: str
    moves: list[Move] = []
    took_ms: int = 0


class Yield(Struct, array_like=True):
    """To the shard that owns the partition: write all of it into its store, close that, say HANDED."""

    number: int
    partition: int


class Handed(Struct, array_like=True):
    """The store holds all of the partition and is closed; this process serves it no more."""

    number: int
    partition: int


class Adopt(Struct, array_like=True):
    """To the shard that owns the partition from now on: open its store under this epoch, serve it, say ADOPTED."""

    number: int
    partition: int
    epoch: int


class Adopted(Struct, array_like=True):
    """The partition is served here."""

    number: int
    partition: int


class PartitionLoad(Struct, array_like=True):
    """What one partition is to its shard: runs in memory, and bytes that it writes per second, of late."""

    partition: int
    runs: int = 0
    bytes_per_s: int = 0
