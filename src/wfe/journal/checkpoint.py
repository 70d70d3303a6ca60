"""The seam between a shard's checkpointing and the thread that commits to the stores.

A shard plans a step (which partition, which ops), submits it, goes on deciding, and hears later that it is durable, or
that it failed. Production uses `lmdb.writer.WriterThread`, the simulator `sim.disk.SimWriter`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from wfe.ports import Op

Token: TypeAlias = object
"""Whatever the submitter wants to see again with the outcome."""
Done: TypeAlias = Callable[[Token, Exception | None], None]
"""``done(token, error)``: the step is durable, or failed. Perhaps on another thread: pass it on to the loop."""
ReadDone: TypeAlias = Callable[[Token, object, Exception | None], None]
"""``done(token, result, error)`` of a read. Perhaps on another thread."""


class CheckpointWriter(Protocol):
    """Commits steps in the order of their submission, each in one transaction of its partition's store.

    After a failed step every later one fails too, with the same error: the shard must stop and recover from disk.
    """

    def submit(self, partition: int, ops: Sequence[Op], token: Token) -> None:
        """Never blocks. The outcome arrives by the `Done` callback, in the order of submission."""
        ...

    def pending(self) -> int:
        """Steps that were submitted and not reported."""
        ...

    def close(self) -> None:
        """Finishes what was submitted, then stops."""
        ...


class StoreReader(Protocol):
    """Runs reads off the loop, since a read transaction may wait for the disk."""

    def submit(self, read: Callable[[], object], token: Token) -> None:
        """Never blocks. The result arrives by the `ReadDone` callback."""
        ...

    def close(self) -> None:
        """Finishes what was submitted, then stops."""
        ...
