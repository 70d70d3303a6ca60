"""Recovery: stores plus the log's tail give the state back; then open tasks are claimed by workers or given out again.

The tail is bounded (`LOG_TAIL_BYTES_MAX`); `shard/tail.py` replays it. Open runs that the tail does not mention stay in
the store: a page at a time, while the shard already serves, those with timers are armed and those with open tasks are
loaded.
"""

from __future__ import annotations

from collections import deque

from wfe.journal.schema import OpenRow
from wfe.model.command import TaskLost
from wfe.partition.entry import Entry
from wfe.partition.mailbox import decode_record
from wfe.partition.partition import Partition
from wfe.partition.timers import SOME
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.shard.tail import Tail
from wfe.shard.turns import Turns
from wfe.shard.workers import Workers

SLICE = 500
"""Runs that one turn loads or gives out again."""
PAGE_RUNS = 1_000
"""Open runs of a store that are looked at together."""


class Recovery:
    def __init__(
        self, core: ShardCore, loader: Loader, turns: Turns, workers: Workers, checkpoints: Checkpoints
    ) -> None:
        self._core = core
        self._loader = loader
        self._turns = turns
        self._workers = workers
        self._unclaimed: deque[Entry] = deque()
        self._backlog: deque[tuple[int, str]] = deque()
        self._grace_until_ms = 0
        self._expected: set[str] = set()
        self._unread: deque[tuple[Partition, str]] = deque()
        """Partitions whose open runs are not all known to memory, with the one that was looked at last."""
        self._is_reading = False
        self.tail = Tail(core, loader, checkpoints, self._arm)
        self.recovered_runs = 0

    # ---- reading the disk -------------------------------------------------------------------------------------------

    def recover(self, now_ms: int) -> None:
        """State from disk. DataCorrupt stops the shard: a bad record is never skipped."""
        core = self._core
        for partition in core.partitions.values():
            store = core.disk.stores[partition.number]
            record = store.record()
            if record is not None:
                partition.record = decode_record(record[1])
            partition.stored_definitions.update(store.definitions())
            if open_runs := store.open_count():
                core.open_runs += open_runs
                self._unread.append((partition, ""))
        self.tail.read(core.partitions.values())
        self.recovered_runs = core.open_runs + self.tail.begun()
        self._grace_until_ms = now_ms + core.settings.recovery_grace_ms

    def _arm(self, entry: Entry) -> None:
        """The tail has brought a run into memory."""
        if entry.ended:
            return
        for timer, due_ms in entry.run.timers.items():
            self._core.timers.arm(due_ms, entry.run.id, timer)
        if entry.run.open:
            entry.unclaimed = dict(entry.run.open)
            self._unclaimed.append(entry)

    def _read_on(self) -> None:
        """Look at a further page of the runs that the stores hold open."""
        if self._is_reading or not self._unread or self.tail.left:
            return
        partition, after = self._unread.popleft()
        store = self._core.disk.stores[partition.number]
        self._is_reading = True

        def found(rows: list[OpenRow], now_ms: int) -> None:
            self._is_reading = False
            if self._core.partitions.get(partition.number) is not partition:
                return  # it has left for another shard
            for row in rows:
                self._note(partition, row)
            if len(rows) == PAGE_RUNS:
                self._unread.appendleft((partition, rows[-1].run_id))
            self._read_on()

        self._loader.read(lambda: store.open_page(after, PAGE_RUNS), found)

    def _note(self, partition: Partition, row: OpenRow) -> None:
        """An open run as its store had it just now; what is in memory is newer."""
        if row.run_id in partition.entries or row.run_id in partition.recent:
            return
        if row.next_due_ms:
            self._core.timers.arm(row.next_due_ms, row.run_id, SOME)
            partition.asleep.add(row.run_id)
        if row.has_tasks:
            self._backlog.append((partition.number, row.run_id))

    # ---- partitions that come and go ---------------------------------------------------------------------------------

    def adopt(self, partition: Partition, open_runs: int, now_ms: int) -> None:
        """A partition comes from another shard. Its tasks are not given out before every worker that is connected has
        said hello again, with what it holds of them, or its lease is over.
        """
        core = self._core
        core.open_runs += open_runs
        self._unread.append((partition, ""))
        links = self._workers.links.values()
        for link in links:
            link.stale = True
        self._workers.hellos.clear()
        patience_ms = core.settings.lease_ms if links else core.settings.recovery_grace_ms
        self._grace_until_ms = max(self._grace_until_ms, now_ms + patience_ms)

    def forget(self, number: int) -> None:
        """A partition leaves: its tasks are given out elsewhere."""
        self._unclaimed = deque(entry for entry in self._unclaimed if entry.partition != number)
        self._backlog = deque(item for item in self._backlog if item[0] != number)
        self._unread = deque(item for item in self._unread if item[0].number != number)

    # ---- afterwards -------------------------------------------------------------------------------------------------

    def installed(self, entry: Entry, now_ms: int) -> None:
        """A run came back from the store: its timers count again, its open tasks have no worker."""
        self._core.partitions[entry.partition].asleep.discard(entry.run.id)
        for timer, due_ms in entry.run.timers.items():
            self._core.timers.arm(due_ms, entry.run.id, timer)
        if entry.run.open:
            entry.unclaimed = dict(entry.run.open)
            self._unclaimed.append(entry)

    def expect(self, workers: list[str]) -> None:
        """The workers that the coordinator knows: once all presented what they hold, nobody else can claim anything."""
        self._expected = set(workers)

    @property
    def pending(self) -> bool:
        """Whether there are open tasks that nobody has yet."""
        return bool(self._unclaimed or self._backlog or self.is_reading)

    @property
    def is_reading(self) -> bool:
        """Whether there are open runs whose timers and tasks are not known yet."""
        return bool(self._unread or self._is_reading or self.tail.left)

    def on_tick(self, now_ms: int) -> None:
        """Replay a slice of the log's tail, then look at further open runs of the stores.

        Load a slice of the runs with open tasks; after the grace give out what no worker claimed."""
        self.tail.on_tick(now_ms)
        self._read_on()
        if self._backlog and self._loader.waiting < SLICE:
            for _ in range(min(SLICE, len(self._backlog))):
                number, run_id = self._backlog.popleft()
                self._loader.run(self._core.partitions[number], run_id, _nothing, now_ms)
        if not self._unclaimed or not self._grace_is_over(now_ms):
            return
        for _ in range(min(SLICE, len(self._unclaimed))):
            self._give_out(self._unclaimed.popleft(), now_ms)

    def _grace_is_over(self, now_ms: int) -> bool:
        if now_ms >= self._grace_until_ms:
            return True
        # A coordinator that knows no worker has just started itself: those of other hosts are still to come back.
        return bool(self._expected) and self._expected <= self._workers.hellos

    def _give_out(self, entry: Entry, now_ms: int) -> None:
        """Open the tasks that no worker claimed under new attempt numbers, which count nowhere.

        One that must not run twice and may have begun is lost with its worker.
        """
        unclaimed, entry.unclaimed = entry.unclaimed, {}
        for key, attempt in unclaimed.items():
            if entry.run.open.get(key) == attempt and key not in entry.leases:
                self._reopen(entry, key, attempt, now_ms)

    def _reopen(self, entry: Entry, key: int, attempt: int, now_ms: int) -> None:
        begun = entry.run.handed_out.get(key) == attempt
        self._turns.apply(entry, now_ms, TaskLost(key, attempt, spent=begun))


def _nothing(found: object, now_ms: int) -> None:
    """The install itself is what was wanted."""
