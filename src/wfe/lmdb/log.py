"""`Log` on one LMDB environment: the unnamed database maps 8-byte big-endian positions to records.

One database, and no row that every append would have to rewrite, keeps a commit at the fewest dirty pages. The row of
the fence has a one-byte key that sorts before every position, so appends still go to the right edge (``append=True``).

Invariants: every append checks the fence in its own transaction, since two processes can write one environment in turn
without noticing. Trimming deletes a few records inside later appends, which costs no sync of its own, and never deletes
the last record, so that positions go on after any restart. After a failed append nothing is accepted any more: on a
full disk the next small commit might succeed, and the log would have a hole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import lmdb

from wfe.config import Durability
from wfe.errors import DataError, Fenced
from wfe.limits import LOG_MAP_BYTES, MIB
from wfe.lmdb.environment import open_environment, translated
from wfe.lmdb.snapshots import EnvironmentSnapshot

FENCE_KEY: Final = b"\0"
FIRST_KEY: Final = bytes(8)
TRIM_RECORDS: Final = 8
"""Records that one append deletes; each append adds one, so trimming is eight times as fast as growth."""
TRIM_IDLE_RECORDS: Final = 512
"""Records that a trim deletes in a transaction of its own, when no append came since the last one."""
READ_BYTES: Final = 4 * MIB
"""Records that a read takes at a time, so that no read transaction stays open between them."""


class LmdbLog:
    """A shard's log. Use it from one thread."""

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "sync",
        map_bytes: int = LOG_MAP_BYTES,
        readonly: bool = False,
        grown_bytes: int = 0,
    ) -> None:
        self._path = path
        self._env = open_environment(
            path,
            map_bytes=map_bytes,
            tables=0,
            durability=durability,
            readonly=readonly,
            grown_bytes=grown_bytes,
        )
        self._fence: bytes | None = None
        self._failed = False
        self._trimmed = 0
        self._idle = False
        self._last = self._read_last()

    def fence(self, epoch: int) -> None:
        """Durably become the only writer. `Fenced` when a higher epoch is recorded."""
        own = epoch.to_bytes(8, "big")
        with translated(self._path, "write to"), self._env.begin(write=True) as txn:
            found = txn.get(FENCE_KEY)
            if found is not None and found > own:
                raise self._fenced(found)
            txn.put(FENCE_KEY, own)
        self._fence = own
        self._last = self._read_last()

    def append(self, position: int, record: bytes) -> None:
        """Durable when it returns. After any error this object refuses further appends."""
        if self._failed:
            raise DataError(f"an earlier write to {self._path} failed; this process must stop and recover from disk")
        if self._fence is None or position != self._last + 1:
            raise ValueError(f"append at {position} without a fence, or not behind {self._last}: a bug in wfe")
        self._failed = True
        with translated(self._path, "write to"), self._env.begin(write=True) as txn:
            found = txn.get(FENCE_KEY)
            if found != self._fence:
                raise self._fenced(found)
            if not txn.put(position.to_bytes(8, "big"), record, append=True):
                raise DataError(f"{self._path} holds a record at or behind position {position}: somebody else wrote it")
            if self._trimmed:
                self._delete_front(txn, TRIM_RECORDS)
        self._failed = False
        self._last = position
        self._idle = False

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Records with a position above ``after``, in order; trimmed ones are gone even if still on disk."""
        after = max(after, self._trimmed)
        while page := self._read_page(after):
            yield from page
            after = page[-1][0]

    def trim(self, through: int) -> None:
        """Forget records up to and including this position: a few in each later append, or some here when idle."""
        self._trimmed = max(self._trimmed, min(through, self._last))
        if self._idle and self._trimmed and not self._failed:
            with translated(self._path, "write to"), self._env.begin(write=True) as txn:
                if txn.get(FENCE_KEY) != self._fence:
                    raise self._fenced(txn.get(FENCE_KEY))
                self._delete_front(txn, TRIM_IDLE_RECORDS)
        self._idle = True

    def last(self) -> int:
        """The last position ever written; 0 when there is none."""
        return self._last

    def size_bytes(self) -> int:
        """Bytes of pages in use, free pages inside the file not counted."""
        with translated(self._path, "read"):
            stat = self._env.stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages) * int(stat["psize"])

    def snapshot(self) -> EnvironmentSnapshot:
        """All that is durable now; any thread may ask for it."""
        return EnvironmentSnapshot(self._env, self._path)

    def close(self) -> None:
        self._env.close()

    def _delete_front(self, txn: lmdb.Transaction, limit: int) -> None:
        """Deletes up to ``limit`` trimmed records, never the last one."""
        through = min(self._trimmed, self._last - 1 if self._idle else self._last)
        with txn.cursor() as cursor:
            found = cursor.set_range(FIRST_KEY)
            while found and limit and int.from_bytes(cursor.key(), "big") <= through:
                found = cursor.delete()
                limit -= 1

    def _read_page(self, after: int) -> list[tuple[int, bytes]]:
        page: list[tuple[int, bytes]] = []
        size = 0
        with translated(self._path, "read"), self._env.begin() as txn, txn.cursor() as cursor:
            found = cursor.set_range((after + 1).to_bytes(8, "big"))
            while found and size < READ_BYTES:
                key, record = cursor.item()
                page.append((int.from_bytes(key, "big"), record))
                size += len(record)
                found = cursor.next()
        return page

    def _read_last(self) -> int:
        with translated(self._path, "read"), self._env.begin() as txn, txn.cursor() as cursor:
            return int.from_bytes(cursor.key(), "big") if cursor.last() and len(cursor.key()) == 8 else 0

    def _fenced(self, found: bytes | None) -> Fenced:
        epoch = int.from_bytes(found or b"", "big")
        return Fenced(f"epoch {epoch} has taken over the log {self._path}; this process must stop")
