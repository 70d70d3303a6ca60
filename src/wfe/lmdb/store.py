"""`Store` on one LMDB environment: one named database per table number.

Reads open short transactions of their own and may run in any thread; commits must come from one thread at a time.

Invariants: after a failed commit a partition's store takes none any more, since the steps of a checkpoint build on each
other; the catalogue's, whose commits stand for themselves, goes on when all that was missing is room. A store that was
opened with an epoch notes it with its first commit, and takes none once a higher one is noted: a process that was
believed dead writes nothing into what another one has taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lmdb

from wfe.config import Durability
from wfe.errors import DataError, DataFull, Fenced
from wfe.journal.schema import PARTITION_TABLES
from wfe.limits import STORE_MAP_BYTES
from wfe.lmdb.environment import open_environment, translated
from wfe.lmdb.snapshots import EnvironmentSnapshot
from wfe.ports import Op

EPOCH_KEY: Final = b"\0epoch"
"""In the unnamed database, beside the names of the tables."""
_ALONE: Final = bytes(8)


class LmdbStore:
    """A partition's store, or the catalogue's (``tables`` says which tables it has)."""

    def __init__(
        self,
        path: Path,
        *,
        tables: Sequence[int] = PARTITION_TABLES,
        durability: Durability = "sync",
        map_bytes: int = STORE_MAP_BYTES,
        readonly: bool = False,
        independent: bool = False,
        epoch: int = 0,
    ) -> None:
        """``independent``: commits do not build on each other. ``epoch`` 0: whoever opens it is alone."""
        self._path = path
        self._independent = independent
        self._epoch = epoch.to_bytes(8, "big")
        self._env = open_environment(
            path, map_bytes=map_bytes, tables=len(tables), durability=durability, readonly=readonly
        )
        self._failed = False
        with translated(path, "open"):
            self._tables = self._open_tables(tables, readonly)

    def get(self, table: int, key: bytes) -> bytes | None:
        if table not in self._tables:
            return None
        with translated(self._path, "read"), self._env.begin(db=self._tables[table]) as txn:
            value: bytes | None = txn.get(key)
            return value

    def range(
        self, table: int, start: bytes, stop: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """At most ``limit`` rows with ``start <= key < stop``, ascending, or descending when reverse."""
        if table not in self._tables:
            return []
        with (
            translated(self._path, "read"),
            self._env.begin(db=self._tables[table]) as txn,
            txn.cursor() as cursor,
        ):
            return _descending(cursor, start, stop, limit) if reverse else _ascending(cursor, start, stop, limit)

    def commit(self, ops: Sequence[Op]) -> None:
        """One transaction, durable when it returns. After an error this object refuses further commits.

        An independent one takes them again after `DataFull`: that transaction was rolled back, or whoever made it
        reads that it was not.
        """
        if self._failed:
            raise DataError(f"an earlier write to {self._path} failed; this process must stop and recover from disk")
        self._failed = True
        try:
            self._write(ops)
        except DataFull:
            self._failed = not self._independent
            raise
        self._failed = False

    def _write(self, ops: Sequence[Op]) -> None:
        with translated(self._path, "write to"), self._env.begin(write=True) as txn:
            self._check_epoch(txn)
            for table, key, value in ops:
                if value is None:
                    txn.delete(key, db=self._tables[table])
                else:
                    txn.put(key, value, db=self._tables[table])

    def _check_epoch(self, txn: lmdb.Transaction) -> None:
        if self._epoch == _ALONE:
            return
        found = bytes(txn.get(EPOCH_KEY) or b"")
        if found > self._epoch:
            epoch = int.from_bytes(found, "big")
            raise Fenced(f"epoch {epoch} has taken over the store {self._path}; this process must stop")
        if found != self._epoch:
            txn.put(EPOCH_KEY, self._epoch)

    def count(self, table: int) -> int:
        if table not in self._tables:
            return 0
        with translated(self._path, "read"), self._env.begin() as txn:
            return int(txn.stat(self._tables[table])["entries"])

    def size_bytes(self) -> int:
        """Bytes of the file up to its last page, free pages inside included."""
        with translated(self._path, "read"):
            return (int(self._env.info()["last_pgno"]) + 1) * int(self._env.stat()["psize"])

    def table_bytes(self, table: int) -> int:
        """Pages that hold rows of one table."""
        if table not in self._tables:
            return 0
        with translated(self._path, "read"), self._env.begin() as txn:
            stat = txn.stat(self._tables[table])
        return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * int(stat["psize"])

    def used_bytes(self) -> int:
        """Pages that hold rows of any table."""
        with translated(self._path, "read"), self._env.begin() as txn:
            stats = [txn.stat(table) for table in self._tables.values()]
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        return int(pages) * int(self._env.stat()["psize"])

    def snapshot(self) -> EnvironmentSnapshot:
        """All that is durable now; any thread may ask for it."""
        return EnvironmentSnapshot(self._env, self._path)

    def close(self) -> None:
        self._env.close()

    def _open_tables(self, tables: Sequence[int], readonly: bool) -> dict[int, lmdb._Database]:
        if readonly:  # a directory may be older than some table: then it has no rows of it
            with self._env.begin() as txn:
                known = [table for table in tables if txn.get(_name(table)) is not None]
            return {table: self._env.open_db(_name(table), create=False) for table in known}
        with self._env.begin(write=True) as txn:
            return {table: self._env.open_db(_name(table), txn=txn) for table in tables}


def _name(table: int) -> bytes:
    return b"t%03d" % table


def _ascending(cursor: lmdb.Cursor, start: bytes, stop: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
    rows: list[tuple[bytes, bytes]] = []
    found = cursor.set_range(start) if start else cursor.first()
    while found and len(rows) < limit:
        key, value = bytes(cursor.key()), bytes(cursor.value())
        if stop is not None and key >= stop:
            break
        rows.append((key, value))
        found = cursor.next()
    return rows


def _descending(cursor: lmdb.Cursor, start: bytes, stop: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
    rows: list[tuple[bytes, bytes]] = []
    if stop is not None and cursor.set_range(stop):
        found = cursor.prev()
    else:
        found = cursor.last()
    while found and len(rows) < limit:
        key, value = bytes(cursor.key()), bytes(cursor.value())
        if key < start:
            break
        rows.append((key, value))
        found = cursor.prev()
    return rows
