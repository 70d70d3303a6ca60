"""Protocols that separate what wfe decides from the world it runs in. Production adapters and the simulator's fakes
implement the same ports; `bootstrap` and `sim` are the only rooms that choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol


class Clock(Protocol):
    """The wall's time, for what people and other hosts see. Leases and delays run on the time that comes in as an
    argument."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


class Random(Protocol):
    """A source of random bits (jitter, ids). Outcomes that matter to a run go into events."""

    def bits(self, count: int) -> int:
        """A uniformly random integer of ``count`` bits."""
        ...


class Copied(NamedTuple):
    """A copy on the disk: its size and the BLAKE2b digest (hex) of its bytes."""

    size_bytes: int
    digest: str


class Snapshot(Protocol):
    """What a log or store held when the snapshot began, whatever is written since. Close it soon: it keeps old pages.

    Used by one thread at a time, which may be another one than the writer's.
    """

    def copy_to(self, place: str) -> Copied:
        """Writes it compactly to ``place``, which must not exist; durable when it returns. `DataFull`, `DataError`."""
        ...

    def close(self) -> None:
        """Lets go of it. Idempotent."""
        ...


class Log(Protocol):
    """A shard's write-ahead log: an ordered map position -> record. Positions are consecutive.

    Every method may raise `DataFull`, `DataError` or `Fenced`; after any error of `append` the caller must stop.
    """

    def fence(self, epoch: int) -> None:
        """Durably become the only writer. Raises `Fenced` when a higher epoch is recorded."""
        ...

    def append(self, position: int, record: bytes) -> None:
        """Durable when it returns. Raises `Fenced` when another epoch took over."""
        ...

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Records with a position above ``after``, in order."""
        ...

    def trim(self, through: int) -> None:
        """Forget records up to and including this position (in bounded steps; need not be durable at once)."""
        ...

    def last(self) -> int:
        """The last position ever written; 0 when there is none. Survives trimming."""
        ...

    def size_bytes(self) -> int:
        """Bytes in use."""
        ...

    def snapshot(self) -> Snapshot:
        """All that is durable now. May be called from another thread than the writer's."""
        ...

    def close(self) -> None: ...


class Op(NamedTuple):
    """One change of a store: put ``value`` at (table, key), or delete the key when ``value`` is None."""

    table: int
    key: bytes
    value: bytes | None


class Store(Protocol):
    """A partition's store: ordered byte maps, one per table number (`journal.schema`)."""

    def get(self, table: int, key: bytes) -> bytes | None: ...

    def range(
        self, table: int, start: bytes, stop: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """At most ``limit`` rows with ``start <= key < stop`` (None: to the end), ascending, or descending."""
        ...

    def commit(self, ops: Sequence[Op]) -> None:
        """All or nothing, durable when it returns. Called from one thread only.

        An error, `DataFull` included, does not say which: who goes on after one reads what is there.
        """
        ...

    def count(self, table: int) -> int:
        """Rows of a table, without reading them."""
        ...

    def size_bytes(self) -> int: ...

    def table_bytes(self, table: int) -> int:
        """Pages that hold rows of one table."""
        ...

    def used_bytes(self) -> int:
        """Bytes that hold something: what was freed inside of the file is used again, and does not count."""
        ...

    def snapshot(self) -> Snapshot:
        """All that is durable now. May be called from another thread than the writer's."""
        ...

    def close(self) -> None: ...


Send = Callable[[bytes, list[bytes]], None]
"""``send(peer, parts)``: peer is an identity on a router, b"" on a dealer."""


class Transport(Protocol):
    """A socket with whole frames. Sends never block; a frame that cannot be sent is dropped and counted."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        """False when the peer is unknown or its queue is full (the peer asks again)."""
        ...


class TaskRunner(Protocol):
    """What a worker's logic needs to run tasks: start an attempt, cancel it; ends come back as results."""

    def start(self, spec: object) -> None: ...

    def cancel(self, ref: object) -> None: ...
