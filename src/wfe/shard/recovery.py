"""Recovery: stores plus the log's tail give the state back; then open tasks are claimed by workers or given out again.

Replaying the tail is bounded (`LOG_TAIL_BYTES_MAX`). Open runs that the tail does not mention stay in the store:
those with timers are armed, those with open tasks are loaded bit by bit while the shard already serves.
"""

from __future__ import annotations

from collections import deque

from wfe.core.evolve import replay
from wfe.core.plan import Plan
from wfe.errors import DataCorrupt
from wfe.journal.log import Chunk
from wfe.journal.schema import OpenRow
from wfe.journal.store import PartitionStore
from wfe.model.command import TaskLost
from wfe.partition.entry import Entry, decode_events, decode_state, reopened
from wfe.partition.mailbox import decode_record, decode_record_events
from wfe.partition.partition import Partition
from wfe.partition.timers import SOME
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.shard.turns import Turns
from wfe.shard.workers import Workers

SLICE = 500
"""Runs that one turn loads or gives out again."""


class Recovery:
    def __init__(
        self, core: ShardCore, loader: Loader, turns: Turns, workers: Workers, checkpoints: Checkpoints
    ) -> None:
        self._core = core
        self._loader = loader
        self._turns = turns
        self._workers = workers
        self._checkpoints = checkpoints
        self._unclaimed: deque[Entry] = deque()
        self._backlog: deque[tuple[int, str]] = deque()
        self._grace_until_ms = 0
        self._expected: set[str] = set()
        self._ended: dict[str, int] = {}
        """Last event of runs that the tail mentions and whose end is in the store."""
        self._swept: dict[int, int] = {}
        """Epoch in which runs were last removed from each store."""
        self._newest: dict[int, str] = {}
        """The greatest run id in each store: most runs that the tail alone knows are younger."""
        self._from: dict[int, int] = {}
        """By partition that has moved: up to where on this log nothing of it counts."""
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
            self._newest[partition.number] = store.newest()
            self._swept[partition.number] = store.swept()
            self._take_over(partition.number, store)
        for position, chunks in core.disk.log.replay():
            for chunk in chunks:
                self._replay(chunk, position)
            self._checkpoints.on_commit(position, sum(len(chunk.events) for chunk in chunks), [])
        self._ended.clear()
        self._index(now_ms)
        self._grace_until_ms = now_ms + core.settings.recovery_grace_ms

    def _take_over(self, number: int, store: PartitionStore) -> None:
        """What this log holds of a partition from before it came here (again) is in its store, or has expired."""
        tenure, settings = store.tenure(), self._core.settings
        if tenure is None:
            return
        if tenure.shard != settings.index or tenure.epoch > settings.epoch:
            store.take_over(settings.index, self._core.disk.log.position, settings.epoch)
            self._from[number] = self._core.disk.log.position
        else:
            self._from[number] = tenure.position

    def _replay(self, chunk: Chunk, position: int) -> None:
        partition = self._core.partitions.get(chunk.partition)
        if partition is None or position <= self._from.get(chunk.partition, 0):
            return  # moved away; its store took everything with it
        if chunk.epoch > partition.epoch:
            raise DataCorrupt(f"epoch {chunk.epoch} of partition {chunk.partition} is yet to come", f"log/{position}")
        if chunk.entity:
            self._replay_run(partition, chunk, position)
            return
        if chunk.first_seq <= partition.record.seq:
            if chunk.first_seq + chunk.count - 1 > partition.record.seq:
                raise DataCorrupt(f"the store of partition {partition.number} is ahead of the log", f"log/{position}")
            return  # definitions and keys are in the store, too: a step writes them with the record
        if chunk.first_seq != partition.record.seq + 1:
            raise DataCorrupt(f"events of partition {partition.number} are missing", f"log/{position}")
        for event in decode_record_events(chunk.events).events:
            partition.book(event)
        if not partition.dirty_at:
            partition.dirty_at = position

    def _replay_run(self, partition: Partition, chunk: Chunk, position: int) -> None:
        ended = self._ended.get(chunk.entity)
        if ended is not None and chunk.first_seq <= ended:
            return
        entry = partition.entries.get(chunk.entity)
        if entry is None:
            entry = self._stored(partition, chunk)
            if entry is None and chunk.first_seq > 1:
                if chunk.epoch <= self._swept[partition.number]:
                    return  # it has ended and expired
                raise DataCorrupt(f"the first events of run {chunk.entity} are missing", f"log/{position}")
        if entry is not None and chunk.first_seq <= entry.run.seq:
            return
        events = decode_events(chunk.events).events
        if entry is None:
            started = events[0]
            plan = self._plan(partition, getattr(started, "definition", ""))
            entry = Entry(partition.number, replay(None, plan, events), plan)
            partition.entries[chunk.entity] = entry
            self._core.live_runs += 1
        else:
            if chunk.first_seq != entry.run.seq + 1:
                raise DataCorrupt(f"events of run {chunk.entity} are missing", f"log/{position}")
            if entry.ended and entry.run.id not in partition.entries:
                entry = self._reopened(partition, entry)
            replay(entry.run, entry.plan, events)
        entry.chunks.append((chunk.first_seq, chunk.events))
        self._checkpoints.mark(entry, position)

    def _stored(self, partition: Partition, chunk: Chunk) -> Entry | None:
        """The run as the store has it; an ended one only counts as seen."""
        store = self._core.disk.stores[partition.number]
        if chunk.entity > self._newest[partition.number] or store.seq_of(chunk.entity) is None:
            return None
        found = store.snapshot(chunk.entity) if store.open_run(chunk.entity) is not None else None
        stored = found[1] if found is not None else None
        if stored is None:
            ended = store.ended(chunk.entity)
            assert ended is not None, "a run with a sequence number is open or ended"
            state = decode_state(ended.snapshot, store.blobs(chunk.entity))
            self._ended[chunk.entity] = state.seq
            return Entry(partition.number, state, self._plan(partition, state.definition), stored=True)
        state = decode_state(stored, store.blobs(chunk.entity))
        entry = Entry(partition.number, state, self._plan(partition, state.definition), stored=True)
        partition.entries[chunk.entity] = entry
        self._core.live_runs += 1
        return entry

    def _reopened(self, partition: Partition, ended: Entry) -> Entry:
        """A run whose end is in the store went on afterwards."""
        store, run = self._core.disk.stores[partition.number], ended.run
        row = store.ended(run.id)
        assert row is not None, "its state was read from that row"
        entry = partition.entries[run.id] = reopened(
            partition.number, run, ended.plan, row.history, spilled=row.spilled
        )
        self._ended.pop(run.id, None)
        self._core.live_runs += 1
        return entry

    def _plan(self, partition: Partition, digest: str) -> Plan:
        known = self._loader.definitions.get(digest)
        if known is None:
            body = partition.new_definitions.get(digest)
            if body is None:
                body = self._core.disk.stores[partition.number].definition(digest)
            if body is None:
                raise DataCorrupt("the definition of a run is in no store", f"definitions/{digest}")
            known = self._loader.compile(digest, body)
        return known.plan

    def _index(self, now_ms: int) -> None:
        """Timers and open tasks of every open run, from memory or from the store's rows."""
        core = self._core
        for partition in core.partitions.values():
            for entry in partition.entries.values():
                self._arm(entry)
            for row in core.disk.stores[partition.number].open_runs():
                if row.run_id in partition.entries:
                    continue
                self.recovered_runs += 1
                self._note(partition, row)
        core.open_runs = self.recovered_runs

    def _note(self, partition: Partition, row: OpenRow) -> None:
        if row.next_due_ms:
            self._core.timers.arm(row.next_due_ms, row.run_id, SOME)
            partition.asleep.add(row.run_id)
        if row.has_tasks:
            self._backlog.append((partition.number, row.run_id))

    def _arm(self, entry: Entry) -> None:
        if entry.ended:
            return
        self.recovered_runs += 1
        for timer, due_ms in entry.run.timers.items():
            self._core.timers.arm(due_ms, entry.run.id, timer)
        if entry.run.open:
            entry.unclaimed = dict(entry.run.open)
            self._unclaimed.append(entry)

    # ---- partitions that come and go ---------------------------------------------------------------------------------

    def adopt(self, partition: Partition, rows: list[OpenRow], now_ms: int) -> None:
        """A partition comes from another shard. Its tasks are not given out before every worker that is connected has
        said hello again, with what it holds of them, or its lease is over.
        """
        core = self._core
        for row in rows:
            self._note(partition, row)
        core.open_runs += len(rows)
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
        return bool(self._unclaimed or self._backlog)

    def on_tick(self, now_ms: int) -> None:
        """Load a slice of the runs with open tasks; after the grace give out what no worker claimed."""
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
