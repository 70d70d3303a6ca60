"""A simulated disk: fakes of the `Log` and `Store` ports with faults from one seed.

What is on the disk outlives its handles: `SimDisk.log` and `SimDisk.store` open a name, `SimDisk.crash` makes every
open handle unusable, and opening the name again shows what was durable. The fakes keep the promises of the LMDB
adapters and no more: a trim may come back after a crash, an error of a write says nothing about its effect, and after
one the handle refuses to write.

Invariants: pure of clocks and of other sources of chance: with the same seed and the same calls, the same faults.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from wfe.config import Durability
from wfe.errors import DataError, DataFull, Fenced
from wfe.ports import Op, Random, Snapshot
from wfe.sim.copies import SimSnapshot
from wfe.sim.files import ROW_OVERHEAD_BYTES, LogFile, StoreFile, row_bytes

Fault: TypeAlias = Literal["no_space", "no_space_after", "error_before", "error_after", "crash_before", "crash_after"]
"""What a write may meet: a full disk, an I/O error, or the end of the process, before or after the effect."""

TRIM_RECORDS: Final = 8
"""Records that one append deletes, as in the LMDB adapter."""
_CHANCE_BITS: Final = 32


class SimCrashed(BaseException):
    """The process of this handle has died. Not an `Exception`, so that no handler in the code under test takes it."""


class SimDisk:
    """All files of a simulated host, by name."""

    def __init__(
        self,
        random: Random,
        *,
        durability: Durability = "sync",
        capacity_bytes: int | None = None,
        rates: Mapping[Fault, float] | None = None,
    ) -> None:
        """``rates``: the probability of each fault per write. Below "sync", a crash with power loss undoes some of the
        latest writes.
        """
        self._random = random
        self._durability = durability
        self._logs: dict[str, LogFile] = {}
        self._stores: dict[str, StoreFile] = {}
        self._planned: dict[str, deque[Fault]] = {}
        self._countdown: tuple[int, Fault] | None = None
        self._generations: dict[str, int] = {}
        self.rates: dict[Fault, float] = dict(rates or {})
        self.capacity_bytes = capacity_bytes
        self.writes = 0
        """Writes that were tried since the start."""

    def log(self, name: str) -> SimLog:
        """Opens a log; an unknown name is a new one."""
        return SimLog(self, name, self._logs.setdefault(name, LogFile()))

    def store(self, name: str, *, independent: bool = False) -> SimStore:
        """Opens a store; an unknown name is a new one. ``independent``: its commits do not build on each other."""
        return SimStore(self, name, self._stores.setdefault(name, StoreFile()), independent=independent)

    def names(self) -> frozenset[str]:
        """Logs and stores that were ever opened."""
        return frozenset((*self._logs, *self._stores))

    def log_file(self, name: str) -> LogFile:
        """What a log has on the disk."""
        return self._logs[name]

    def file(self, name: str) -> LogFile | StoreFile:
        """What a log or store has on the disk."""
        return self._file(name)

    def put_file(self, name: str, file: LogFile | StoreFile) -> None:
        """A file appears under a new name (a copy)."""
        if isinstance(file, LogFile):
            self._logs[name] = file
        else:
            self._stores[name] = file

    def remove_file(self, name: str) -> None:
        self._logs.pop(name, None)
        self._stores.pop(name, None)

    def plan(self, name: str, fault: Fault) -> None:
        """The next write to this file meets the fault (several are met in order)."""
        self._planned.setdefault(name, deque()).append(fault)

    def calm(self) -> None:
        """No more faults: those that are planned are dropped."""
        self._planned.clear()
        self._countdown = None
        self.rates.clear()

    def plan_after(self, writes: int, fault: Fault) -> None:
        """After so many more writes to any file, the next one meets the fault."""
        self._countdown = (writes, fault)

    def crash(self, *names: str, power_loss: bool = True) -> None:
        """The processes that have these files open die (none named: all); their handles are unusable from now on.

        ``power_loss``: what was not synced may be lost, the latest writes first.
        """
        for name in names or (*self._logs, *self._stores):
            self._generations[name] = self.generation(name) + 1
            file = self._file(name)
            if power_loss and file.undo:
                for _ in range(self._below(len(file.undo) + 1)):
                    file.undo.pop()()
            file.undo.clear()

    def flip_bit(self, name: str) -> str:
        """Damages one bit of one record or row, as a dying disk does; returns which one, "" when there is nothing."""
        file = self._file(name)
        places = file.places()
        if not places:
            return ""
        place = places[self._below(len(places))]
        value = bytearray(file.read_place(place))
        bit = self._below(len(value) * 8)
        value[bit // 8] ^= 1 << (bit % 8)
        file.write_place(place, bytes(value))
        return str(place)

    def tear(self, name: str) -> int:
        """Leaves only a part of a log's last record, as a torn write does; returns its position, 0 for an empty log."""
        file = self._logs[name]
        if not file.records:
            return 0
        last = max(file.records)
        file.records[last] = file.records[last][: self._below(len(file.records[last]))]
        return last

    def twin(self) -> SimDisk:
        """The same files, apart from these: what somebody does to one is not seen on the other."""
        other = SimDisk(self._random)
        other._logs = {name: file.twin() for name, file in self._logs.items()}
        other._stores = {name: file.twin() for name, file in self._stores.items()}
        return other

    def used_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self._logs.values()) + sum(file.size for file in self._stores.values())

    def generation(self, name: str) -> int:
        """How often the processes that had this file open have died; handles of an earlier generation are dead."""
        return self._generations.get(name, 0)

    def write(self, name: str, grows_bytes: int, effect: Callable[[], Callable[[], None]]) -> None:
        """One write of a handle: ``effect`` changes the file and returns what undoes the change."""
        self.writes += 1
        fault = self._next_fault(name)
        if fault == "crash_before":
            raise SimCrashed(f"crashed before a write to {name}")
        if fault == "error_before":
            raise DataError(f"cannot write to {name}: Input/output error (simulated)")
        full = self.capacity_bytes is not None and self.used_bytes() + grows_bytes > self.capacity_bytes
        if fault == "no_space" or full:
            raise DataFull(f"cannot write to {name}: no space left on its disk (simulated)")
        undo = effect()
        if self._durability != "sync":
            self._file(name).undo.append(undo)
        if fault == "crash_after":
            raise SimCrashed(f"crashed after a write to {name}")
        if fault == "error_after":
            raise DataError(f"cannot write to {name}: Input/output error (simulated)")
        if fault == "no_space_after":
            raise DataFull(f"cannot write to {name}: no space left on its disk (simulated)")

    def _next_fault(self, name: str) -> Fault | None:
        if planned := self._planned.get(name):
            return planned.popleft()
        if self._countdown is not None:
            left, fault = self._countdown
            self._countdown = (left - 1, fault) if left else None
            if not left:
                return fault
        for fault, rate in self.rates.items():
            if rate and self._random.bits(_CHANCE_BITS) < rate * (1 << _CHANCE_BITS):
                return fault
        return None

    def _file(self, name: str) -> LogFile | StoreFile:
        return self._logs[name] if name in self._logs else self._stores[name]

    def _below(self, bound: int) -> int:
        return self._random.bits(_CHANCE_BITS) % bound


class Handle:
    """What open logs and stores share: they die in a crash, and refuse to write after an error (``independent``: of
    which a full disk is none)."""

    def __init__(self, disk: SimDisk, name: str, *, independent: bool = False) -> None:
        self._independent = independent
        self._disk = disk
        self._name = name
        self._generation = disk.generation(name)
        self._failed = False
        self._closed = False

    @property
    def failed(self) -> bool:
        """Whether a write failed, so that it refuses to write."""
        return self._failed

    def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._generation != self._disk.generation(self._name):
            raise SimCrashed(f"the process that had {self._name} open has crashed")
        if self._closed:
            raise ValueError(f"{self._name} is closed: a bug in wfe")

    def _write(self, grows_bytes: int, effect: Callable[[], Callable[[], None]]) -> None:
        if self._failed:
            raise DataError(f"an earlier write to {self._name} failed; this process must stop and recover from disk")
        self._failed = True
        try:
            self._disk.write(self._name, grows_bytes, effect)
        except DataFull:
            self._failed = not self._independent
            raise
        self._failed = False


class SimLog(Handle):
    """The `Log` port on a `SimDisk`."""

    def __init__(self, disk: SimDisk, name: str, file: LogFile) -> None:
        super().__init__(disk, name)
        self._file = file
        self._epoch = 0
        self._trimmed = 0
        self._last = max(file.records, default=0)

    def fence(self, epoch: int) -> None:
        self._check()
        if self._file.epoch > epoch:
            raise self._fenced()

        def effect() -> Callable[[], None]:
            old, self._file.epoch = self._file.epoch, epoch
            return lambda: setattr(self._file, "epoch", old)

        self._write(0, effect)
        self._epoch = epoch
        self._last = max(self._file.records, default=0)

    def append(self, position: int, record: bytes) -> None:
        self._check()
        if self._file.epoch != self._epoch:
            self._failed = True
            raise self._fenced()
        if not self._epoch or position != self._last + 1:
            raise ValueError(f"append at {position} without a fence, or not behind {self._last}: a bug in wfe")

        def effect() -> Callable[[], None]:
            records = self._file.records
            removed = {p: records.pop(p) for p in sorted(records)[:TRIM_RECORDS] if p <= self._trimmed}
            records[position] = record
            delta = _records_bytes({position: record}) - _records_bytes(removed)
            self._file.size += delta

            def undo() -> None:
                records.pop(position, None)
                records.update(removed)
                self._file.size -= delta

            return undo

        self._write(len(record), effect)
        self._last = position

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        self._check()
        records = self._file.records
        for position in sorted(p for p in records if p > max(after, self._trimmed)):
            yield position, records[position]

    def trim(self, through: int) -> None:
        self._check()
        self._trimmed = max(self._trimmed, min(through, self._last))

    def last(self) -> int:
        return self._last

    def size_bytes(self) -> int:
        return self._file.size

    def snapshot(self) -> Snapshot:
        self._check()
        return SimSnapshot(self._disk, self._file)

    def _fenced(self) -> Fenced:
        return Fenced(f"epoch {self._file.epoch} has taken over the log {self._name}; this process must stop")


class SimStore(Handle):
    """The `Store` port on a `SimDisk`."""

    def __init__(self, disk: SimDisk, name: str, file: StoreFile, *, independent: bool = False) -> None:
        super().__init__(disk, name, independent=independent)
        self._file = file

    def get(self, table: int, key: bytes) -> bytes | None:
        self._check()
        return self._file.rows.get(table, {}).get(key)

    def range(
        self, table: int, start: bytes, stop: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        self._check()
        keys = self._file.keys.get(table, [])
        low = bisect_left(keys, start)
        high = len(keys) if stop is None else max(low, bisect_left(keys, stop))
        chosen = keys[low:high][::-1][:limit] if reverse else keys[low : min(high, low + limit)]
        rows = self._file.rows.get(table, {})
        return [(key, rows[key]) for key in chosen]

    def commit(self, ops: Sequence[Op]) -> None:
        self._check()

        def effect() -> Callable[[], None]:
            old = [(table, key, self._file.put(table, key, value)) for table, key, value in ops]

            def undo() -> None:
                for table, key, value in reversed(old):
                    self._file.put(table, key, value)

            return undo

        self._write(sum(row_bytes(key, value) for _, key, value in ops), effect)

    def count(self, table: int) -> int:
        self._check()
        return len(self._file.rows.get(table, {}))

    def size_bytes(self) -> int:
        return self._file.size

    def table_bytes(self, table: int) -> int:
        return sum(len(key) + len(value) for key, value in self._file.rows.get(table, {}).items())

    def used_bytes(self) -> int:
        return sum(len(key) + len(value) for rows in self._file.rows.values() for key, value in rows.items())

    def snapshot(self) -> Snapshot:
        self._check()
        return SimSnapshot(self._disk, self._file)


def _records_bytes(records: Mapping[int, bytes]) -> int:
    return sum(len(record) + ROW_OVERHEAD_BYTES for record in records.values())
