"""What simulated files hold: a log's records by position, a store's rows by table and key. Pure data."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Final

ROW_OVERHEAD_BYTES: Final = 16


class LogFile:
    """What a log has on the disk."""

    def __init__(self) -> None:
        self.epoch = 0
        self.records: dict[int, bytes] = {}
        self.size = 0
        self.undo: list[Callable[[], None]] = []

    def twin(self) -> LogFile:
        """The same content, and nothing to undo."""
        other = LogFile()
        other.epoch, other.records, other.size = self.epoch, dict(self.records), self.size
        return other

    def places(self) -> list[int]:
        return sorted(self.records)

    def read_place(self, place: object) -> bytes:
        assert isinstance(place, int)
        return self.records[place]

    def write_place(self, place: object, value: bytes) -> None:
        assert isinstance(place, int)
        self.records[place] = value


class StoreFile:
    """What a store has on the disk: per table its rows, and their keys in order."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[bytes, bytes]] = {}
        self.keys: dict[int, list[bytes]] = {}
        self.size = 0
        self.undo: list[Callable[[], None]] = []

    def twin(self) -> StoreFile:
        """The same content, and nothing to undo."""
        other = StoreFile()
        other.rows = {table: dict(rows) for table, rows in self.rows.items()}
        other.keys = {table: list(keys) for table, keys in self.keys.items()}
        other.size = self.size
        return other

    def put(self, table: int, key: bytes, value: bytes | None) -> bytes | None:
        """Changes a row and returns its old value."""
        rows = self.rows.setdefault(table, {})
        keys = self.keys.setdefault(table, [])
        old = rows.get(key)
        if value is not None:
            if old is None:
                insort(keys, key)
            rows[key] = value
        elif old is not None:
            del rows[key]
            del keys[bisect_left(keys, key)]
        self.size += row_bytes(key, value) - row_bytes(key, old)
        return old

    def places(self) -> list[tuple[int, bytes]]:
        return [(table, key) for table, keys in sorted(self.keys.items()) for key in keys]

    def read_place(self, place: object) -> bytes:
        assert isinstance(place, tuple)
        return self.rows[place[0]][place[1]]

    def write_place(self, place: object, value: bytes) -> None:
        assert isinstance(place, tuple)
        self.rows[place[0]][place[1]] = value


def row_bytes(key: bytes, value: bytes | None) -> int:
    """Bytes that a row takes; 0 for no row."""
    return 0 if value is None else len(key) + len(value) + ROW_OVERHEAD_BYTES
