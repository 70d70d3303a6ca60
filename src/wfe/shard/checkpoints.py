"""Checkpointing, a little at a time: dirty runs of one partition per step, oldest first; then the log is trimmed.

A step is due when the log's tail has grown beyond what it should be, when there is nothing else to do, when one run has
made many commits since it was written (they are written, and would be replayed, at once), or when runs that ended fill
memory for long: those leave alone. A run that ended since the last step gets a single row, so that waiting longer would
save nothing; an open one gets its snapshot and its new history.

A step is made in slices, one after each commit and as large as what that commit took in: made at once, it would hold up
whoever has little to do for several milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from wfe.journal.rows import definition_ops, key_ops, record_ops, reopened_run_op
from wfe.limits import CHECKPOINT_BYTES, CHECKPOINT_RUNS, EVICT_LOOK_RUNS, LOG_TAIL_BYTES_MAX, RUN_CHUNKS_MAX
from wfe.partition.entry import Entry
from wfe.partition.mailbox import encode_record
from wfe.partition.partition import Partition
from wfe.ports import Op
from wfe.shard.core import ShardCore
from wfe.shard.run_rows import ended_ops, open_ops

STEPS_MAX = 2
"""Steps in flight."""
BEHIND = 8
"""Times as much goes into a step while the log is twice as long as it should be: for bulks of runs that end at once."""
LOOK_MS = 1_000
SLICE_RUNS_MIN = 8
"""Runs that are written down after each commit while a step is made, or twice as many as the commit took in."""


class Making:
    """A step that is being made, of the dirty runs of ``queue``. ``entries``: those in it, with how many chunks."""

    __slots__ = ("ended", "entries", "oldest", "ops", "partition", "queue", "scale", "size_bytes")

    def __init__(self, partition: int, oldest: int, queue: dict[Entry, None], scale: int) -> None:
        self.partition, self.oldest, self.queue, self.scale = partition, oldest, queue, scale
        self.ops: list[Op] = []
        self.entries: dict[Entry, int] = {}
        self.ended: list[str] = []
        self.size_bytes = 0


class Step(NamedTuple):
    """A step in flight. ``oldest``: the log position that must be kept until it is durable."""

    partition: int
    oldest: int
    position: int
    entries: list[tuple[Entry, int]]
    ended: list[str]
    keys: list[tuple[str, str, str]]


class Checkpoints:
    def __init__(self, core: ShardCore) -> None:
        self._core = core
        self._dirty: dict[int, dict[Entry, None]] = {number: {} for number in core.partitions}
        self._ended: dict[int, dict[Entry, None]] = {}
        """Those of the dirty runs that have ended (since then perhaps gone on)."""
        self._look_ms = 0
        """When it is looked again for how long they have waited."""
        self._in_flight: list[Step] = []
        self._making: Making | None = None
        self._long: int | None = None
        self._taken_in = 0
        """Runs that the last commit touched."""
        self._tail: deque[tuple[int, int]] = deque()
        self._trimmed = 0
        self._loaded: list[Entry] = []
        self._evict_from = 0
        """The partition that is looked through next for runs that only wait."""
        self.tail_bytes = 0
        self.held = False
        """A backup's snapshots are about to begin: no step is submitted."""
        self.replaying = False
        """Runs of the log's tail are not all in memory: nothing is written or trimmed before."""

    # ---- partitions that come and go ----

    def leave(self, number: int) -> None:
        """A partition leaves: what is not in its store yet comes first now."""
        self._loaded = [entry for entry in self._loaded if entry.partition != number]

    def holds_all_of(self, number: int) -> bool:
        """Whether a partition that leaves is in its store, durably."""
        making = self._making is not None and self._making.partition == number
        flying = any(step.partition == number for step in self._in_flight)
        return not making and not flying and not self._oldest_of(self._core.leaving[number])

    def left(self, number: int) -> None:
        """It is gone."""
        del self._dirty[number]
        self._ended.pop(number, None)

    def arrive(self, number: int) -> None:
        """A partition comes, all of it in its store."""
        self._dirty[number] = {}

    def _partition(self, number: int) -> Partition:
        found = self._core.partitions.get(number)
        return self._core.leaving[number] if found is None else found

    def _partitions(self) -> Iterable[Partition]:
        """Those that leave first: somebody waits for them."""
        return (*self._core.leaving.values(), *self._core.partitions.values())

    @property
    def in_flight(self) -> int:
        """Steps that were submitted and are not known to be durable."""
        return len(self._in_flight)

    def on_commit(self, position: int, size_bytes: int, entries: list[Entry]) -> None:
        """A batch is durable in the log: its runs are dirty."""
        self._taken_in = len(entries)
        self._tail.append((position, size_bytes))
        self.tail_bytes += size_bytes
        dirty = self._dirty
        for entry in entries:
            if not entry.dirty_at:
                entry.dirty_at = position
                dirty.setdefault(entry.partition, {})[entry] = None
            elif len(entry.chunks) >= RUN_CHUNKS_MAX:
                self._long = entry.partition
        if self._core.ended:
            self._note_ended(self._core.ended)
            self._core.ended = []

    def _note_ended(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.dirty_at:
                self._ended.setdefault(entry.partition, {})[entry] = None

    def mark(self, entry: Entry, position: int) -> None:
        """A run has events from this log position on that its store does not hold."""
        if not entry.dirty_at:
            entry.dirty_at = position
            self._dirty.setdefault(entry.partition, {})[entry] = None

    def replayed(self) -> None:
        """The log's tail is in memory; its runs were marked in whatever order somebody asked for them."""
        self.replaying = False
        for number, dirty in self._dirty.items():
            self._dirty[number] = dict.fromkeys(sorted(dirty, key=lambda entry: entry.dirty_at))
            self._note_ended([entry for entry in dirty if entry.ended])

    def tail_full(self) -> bool:
        """Whether recovery would take too long if more were admitted, or memory would fill with runs to be written."""
        crowded = self._core.live_runs > self._core.settings.live_runs_max and self._is_behind
        return crowded or self.tail_bytes >= LOG_TAIL_BYTES_MAX

    @property
    def _is_behind(self) -> bool:
        return self.tail_bytes >= 2 * self._core.settings.tail_bytes

    @property
    def clean(self) -> bool:
        """Everything is in the stores."""
        idle = not self._in_flight and self._making is None and not self.replaying
        return idle and self._oldest_partition() is None

    def step(self, *, idle: bool, now_ms: int) -> bool:
        """Go on with the step that is being made, or begin one if one is due; submit it when it is complete."""
        if self.held or self.replaying:
            return False
        making = self._making
        if making is None:
            if len(self._in_flight) >= (1 if idle else STEPS_MAX):
                return False
            queues = self._dirty
            if idle or self._core.leaving or self.tail_bytes >= self._core.settings.tail_bytes:
                number = self._oldest_partition()
                if number is None:
                    self._trim()
            elif (number := self._long_partition()) is None and now_ms >= self._look_ms:
                queues, number = self._ended, self._patient_partition(now_ms)
            if number is None:
                return False
            scale = BEHIND if self._is_behind else 1
            making = self._making = Making(number, self._oldest_of(self._partition(number)), queues[number], scale)
        hurry = idle or self._is_behind or bool(self._core.leaving)
        slice_runs = max(CHECKPOINT_RUNS if hurry else SLICE_RUNS_MIN, 2 * self._taken_in)
        partition = self._partition(making.partition)
        if self._add(making, partition, slice_runs):
            self._making = None
            self._submit(making, partition)
            return True
        return False

    @property
    def _busy(self) -> set[int]:
        """Partitions with a step under way."""
        busy = {step.partition for step in self._in_flight}
        if self._making is not None:
            busy.add(self._making.partition)
        return busy

    def _long_partition(self) -> int | None:
        """The partition of a run with so many chunks that writing or replaying them would hold up others."""
        number, self._long = self._long, None
        return number if number in self._core.partitions and number not in self._busy else None

    def _patient_partition(self, now_ms: int) -> int | None:
        """The partition whose ended runs have waited for longest, and long enough."""
        busy = self._busy
        heads = {n: next(iter(runs)).run.ended_ms for n, runs in self._ended.items() if runs and n not in busy}
        number = min(heads, key=heads.__getitem__, default=None)
        if number is not None and now_ms - heads[number] >= self._core.settings.ended_wait_ms:
            return number
        self._look_ms = now_ms + LOOK_MS
        return None

    def _oldest_partition(self) -> int | None:
        """The partition that keeps the log from being trimmed."""
        oldest, found = 0, None
        busy = self._busy
        for partition in self._partitions():
            number = partition.number
            if number in busy:
                continue
            position = self._oldest_of(partition)
            if position and (found is None or position < oldest):
                if partition.gone:
                    return number
                oldest, found = position, number
        return found

    def _oldest_of(self, partition: Partition) -> int:
        """The oldest log position that this partition still needs; 0: none."""
        queue = self._dirty.get(partition.number)
        head = next(iter(queue)).dirty_at if queue else 0
        if partition.dirty_at and (not head or partition.dirty_at < head):
            return partition.dirty_at
        return head

    def _add(self, making: Making, partition: Partition, runs: int) -> bool:
        """Write down so many further runs; whether the step is complete."""
        assert not partition.events, "a store never holds what is not in the log"
        queue, dirty, ended = making.queue, self._dirty[partition.number], self._ended.get(partition.number, {})
        runs_max, bytes_max = CHECKPOINT_RUNS * making.scale, CHECKPOINT_BYTES * making.scale
        until = min(runs_max, len(making.entries) + runs)
        while queue and len(making.entries) < until and making.size_bytes < bytes_max:
            entry = next(iter(queue))
            if entry in making.entries:
                return True  # it has moved on since: its rows of this step must be there before its next ones
            del dirty[entry]
            ended.pop(entry, None)
            entry.dirty_at = 0
            made = ended_ops(entry) if entry.ended else open_ops(entry)
            if entry.ended:
                making.ended.append(entry.run.id)
            elif entry.reopened:
                made.append(reopened_run_op(entry.run.id))
            entry.reopened = False
            making.ops.extend(made)
            making.size_bytes += sum([len(op.value) for op in made if op.value is not None])
            making.entries[entry] = len(entry.chunks)
        return not queue or len(making.entries) >= runs_max or making.size_bytes >= bytes_max

    def _submit(self, making: Making, partition: Partition) -> None:
        ops = making.ops
        keys = list(partition.new_keys)
        for name, (run_id, digest) in partition.new_keys.items():
            ops.extend(key_ops(*name, run_id, digest))
        for digest_hex, body in partition.new_definitions.items():
            ops.extend(definition_ops(digest_hex, body))
        if partition.dirty_at:
            ops.extend(record_ops(partition.record.seq, encode_record(partition.record)))
        partition.new_keys.clear()
        partition.new_definitions.clear()
        partition.dirty_at = 0
        partition.written_bytes += making.size_bytes
        entries = list(making.entries.items())
        step = Step(partition.number, making.oldest, self._core.disk.log.position, entries, making.ended, keys)
        self._in_flight.append(step)
        self._core.counters["checkpoint_steps"] += 1
        self._core.disk.writer.submit(partition.number, ops, step)

    def on_written(self, token: object, error: Exception | None, now_ms: int) -> None:
        """A step is durable in its store; an error stops the shard."""
        if error is not None:
            raise error
        assert isinstance(token, Step)
        self._in_flight.remove(token)
        partition = self._partition(token.partition)
        for entry, count in token.entries:
            del entry.chunks[:count]
            entry.stored = True
            if entry.dirty_at or entry.events or partition.gone:
                continue  # it has moved on since, perhaps in this very batch; or with its partition
            if entry.ended:
                partition.entries.pop(entry.run.id, None)
                partition.remember_ended(entry.run.id, now_ms)
                self._core.live_runs -= 1
            else:
                self._evict(partition, entry, now_ms)
        for name in token.keys:
            if name not in partition.new_keys:
                partition.keys.pop(name, None)
        self._trim()

    def loaded(self, entry: Entry) -> None:
        """A run came back into memory, perhaps only to be looked at."""
        self._loaded.append(entry)

    def evict_idle(self, now_ms: int) -> None:
        """Runs that came back and did not change since leave again; those that did change leave with their step."""
        core = self._core
        if core.memory_full:
            self._evict_waiting(now_ms)
        if not self._crowded and len(self._loaded) <= core.live_runs + CHECKPOINT_RUNS:
            return
        loaded, self._loaded = self._loaded, []
        for entry in loaded:
            partition = self._core.partitions[entry.partition]
            if entry.chunks or entry.events or partition.entries.get(entry.run.id) is not entry:
                continue
            if not self._evict(partition, entry, now_ms):
                self._loaded.append(entry)

    @property
    def _crowded(self) -> bool:
        return self._core.memory_full or self._core.live_runs > self._core.settings.live_runs_max

    def _evict_waiting(self, now_ms: int) -> None:
        """Memory is short: runs that were written while it was not leave it too, a few partitions at a time."""
        looked, busy = 0, self._busy
        numbers = sorted(self._core.partitions)
        behind = bisect_left(numbers, self._evict_from)
        for number in numbers[behind:] + numbers[:behind]:
            partition = self._core.partitions[number]
            for entry in list(partition.entries.values()) if number not in busy else ():
                if entry.stored and not (entry.ended or entry.dirty_at or entry.chunks or entry.events):
                    self._evict(partition, entry, now_ms)
                looked += 1
            self._evict_from = number + 1
            if looked >= EVICT_LOOK_RUNS:
                return

    def _evict(self, partition: Partition, entry: Entry, now_ms: int) -> bool:
        """A run that only waits leaves memory when there are too many; its timers bring it back."""
        if not self._crowded or entry.run.open or entry.leases:
            return False
        del partition.entries[entry.run.id]
        partition.remember_evicted(entry.run.id, now_ms)
        self._core.live_runs -= 1
        if entry.run.timers:
            partition.asleep.add(entry.run.id)
        return True

    def _trim(self) -> None:
        """Forget the part of the log that all stores hold."""
        needed = [step.oldest for step in self._in_flight if step.oldest]
        if self._making is not None:
            needed.append(self._making.oldest)
        needed += [oldest for partition in self._partitions() if (oldest := self._oldest_of(partition))]
        through = min(needed) - 1 if needed else self._core.disk.log.position
        if through <= self._trimmed:
            return
        self._core.disk.log.trim(through)
        self._trimmed = through
        while self._tail and self._tail[0][0] <= through:
            self.tail_bytes -= self._tail.popleft()[1]
