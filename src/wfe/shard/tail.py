"""The log's tail at recovery: what the stores do not hold yet, replayed run by run.

Reading and checking all records, and booking what partitions themselves did, takes a tenth of the time that replaying
the runs takes. So with many runs in the tail the shard serves after that; whoever asks for a run has it replayed at
once (`partition.to_come`), and the others follow a slice per turn, those first of whose partition somebody wants all (a
list). Until all have, no checkpoint step is made and nothing is trimmed. A run that does not replay stops the shard, as
a bad record does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice

from wfe.core.evolve import replay
from wfe.core.plan import Plan
from wfe.errors import DataCorrupt
from wfe.journal.log import Chunk
from wfe.journal.store import PartitionStore
from wfe.partition.entry import Entry, decode_events, decode_state, reopened
from wfe.partition.mailbox import decode_record_events
from wfe.partition.partition import Partition
from wfe.partition.to_come import EntriesToCome
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader

Piece = tuple[int, Chunk]
"""A chunk with the position of its record."""


class Tail:
    """``replayed`` hears of every run that the tail brings into memory."""

    def __init__(
        self, core: ShardCore, loader: Loader, checkpoints: Checkpoints, replayed: Callable[[Entry], None]
    ) -> None:
        self._core = core
        self._loader = loader
        self._checkpoints = checkpoints
        self._replayed = replayed
        self._partitions: dict[int, Partition] = {}
        self._waiting: dict[int, dict[str, list[Piece]]] = {}
        self._from: dict[int, int] = {}
        """By partition that has moved: up to where on this log nothing of it counts."""
        self._swept: dict[int, int] = {}
        """Epoch in which runs were last removed from each store."""
        self._newest: dict[int, str] = {}
        """The greatest run id in each store: most runs that the tail alone knows are younger."""
        self._failed: Exception | None = None

    @property
    def left(self) -> int:
        """Runs that are not replayed yet."""
        return sum(map(len, self._waiting.values()))

    def begun(self) -> int:
        """Runs not replayed yet that began in the tail, whether or not they ended in it."""
        return sum(pieces[0][1].first_seq == 1 for waiting in self._waiting.values() for pieces in waiting.values())

    # ---- reading ----------------------------------------------------------------------------------------------------

    def read(self, partitions: Iterable[Partition]) -> None:
        """Everything that the log has of these partitions. DataCorrupt stops the shard: a bad record is never
        skipped. Runs are replayed when there are few of them."""
        core = self._core
        for partition in partitions:
            store = core.disk.stores[partition.number]
            self._partitions[partition.number] = partition
            self._newest[partition.number] = store.newest()
            self._swept[partition.number] = store.swept()
            self._waiting[partition.number] = {}
            self._take_over(partition.number, store)
        for position, chunks in core.disk.log.replay():
            for chunk in chunks:
                self._take(chunk, position)
            self._checkpoints.on_commit(position, sum([len(chunk.events) for chunk in chunks]), [])
        if self.left <= core.settings.replayed_at_once:
            self.finish()
            return
        self._checkpoints.replaying = True
        for number, waiting in self._waiting.items():
            if waiting:
                partition = self._partitions[number]
                one, whole = partial(self.replay, partition), partial(self._replay_all, partition)
                partition.entries = EntriesToCome(partition.entries, waiting, one, whole)

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

    def _take(self, chunk: Chunk, position: int) -> None:
        partition = self._partitions.get(chunk.partition)
        if partition is None or position <= self._from.get(chunk.partition, 0):
            return  # moved away; its store took everything with it
        if chunk.epoch > partition.epoch:
            raise DataCorrupt(f"epoch {chunk.epoch} of partition {chunk.partition} is yet to come", f"log/{position}")
        if chunk.entity:
            waiting = self._waiting[chunk.partition]
            pieces = waiting.get(chunk.entity)
            if pieces is None:
                waiting[chunk.entity] = [(position, chunk)]
            else:
                pieces.append((position, chunk))
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

    # ---- replaying --------------------------------------------------------------------------------------------------

    def on_tick(self, now_ms: int) -> None:
        """Replay a slice; after the last one everything is as if it had been done at once."""
        if self._failed is not None:
            raise self._failed  # whoever met it may have taken it for an error of his own
        if not self._checkpoints.replaying:
            return
        room = self._core.settings.replayed_per_turn
        for number in sorted(self._waiting, key=self._is_awaited, reverse=True):
            waiting, partition = self._waiting[number], self._partitions[number]
            for run_id in list(islice(waiting, room)):  # its first one, again and again, would be behind all gaps
                self.replay(partition, run_id)
                room -= 1
            if not waiting:
                self._is_whole(partition, now_ms)
        if room:
            self.finish(now_ms)

    def finish(self, now_ms: int = 0) -> None:
        """Replay what is left. Without a time: before the shard serves, nobody waits for it."""
        for number, waiting in self._waiting.items():
            partition = self._partitions[number]
            for run_id in list(waiting):
                self.replay(partition, run_id)
            self._is_whole(partition, now_ms)
        self._waiting.clear()
        self._checkpoints.replayed()

    def _is_awaited(self, number: int) -> bool:
        entries = self._partitions[number].entries
        return isinstance(entries, EntriesToCome) and entries.is_awaited

    def _is_whole(self, partition: Partition, now_ms: int) -> None:
        """Every run of the partition is in memory: whoever waited for that goes on."""
        entries = partition.entries
        if isinstance(entries, EntriesToCome):
            partition.entries = entries.replayed()
            for then in entries.take_awaiting():
                then(now_ms)

    def _replay_all(self, partition: Partition) -> None:
        for run_id in list(self._waiting[partition.number]):
            self.replay(partition, run_id)

    def replay(self, partition: Partition, run_id: str) -> None:
        """Replay one run that is still to come."""
        pieces = self._waiting[partition.number].pop(run_id)
        try:
            self._replay(partition, run_id, pieces)
        except Exception as error:
            self._failed = error
            raise

    def _replay(self, partition: Partition, run_id: str, pieces: list[Piece]) -> None:
        store = self._core.disk.stores[partition.number]
        if run_id > self._newest[partition.number]:
            entry = known = None
        else:
            known = store.seq_of(run_id)
            last = pieces[-1][1]
            if known is not None and last.first_seq + last.count - 1 <= known:
                return  # the store has all of it
            entry = self._stored(partition, store, run_id) if known is not None else None
        was_open = entry is not None and not entry.ended
        for position, chunk in pieces:
            if entry is None:
                if chunk.first_seq > 1:
                    if chunk.epoch <= self._swept[partition.number]:
                        continue  # it has ended and expired
                    raise DataCorrupt(f"the first events of run {run_id} are missing", f"log/{position}")
                events = decode_events(chunk.events).events
                plan = self._plan(partition, getattr(events[0], "definition", ""))
                entry = Entry(partition.number, replay(None, plan, events), plan)
            elif chunk.first_seq <= entry.run.seq:
                continue
            else:
                if chunk.first_seq != entry.run.seq + 1:
                    raise DataCorrupt(f"events of run {run_id} are missing", f"log/{position}")
                if entry.ended and entry.dirty_at == 0 and not was_open:
                    entry = self._reopened(store, entry)
                replay(entry.run, entry.plan, decode_events(chunk.events).events)
            entry.chunks.append((chunk.first_seq, chunk.events))
            self._checkpoints.mark(entry, position)
        if entry is not None:
            # One text for all runs of a definition, as when they are started: decoded, each has its own.
            entry.run.workflow, entry.run.definition = entry.plan.definition.workflow, entry.plan.hash
            partition.entries[run_id] = entry
            self._core.live_runs += 1
            self._core.open_runs += (not entry.ended) - was_open
            self._replayed(entry)

    def _stored(self, partition: Partition, store: PartitionStore, run_id: str) -> Entry:
        """The run as the store has it, open or ended."""
        found = store.snapshot(run_id) if store.open_run(run_id) is not None else None
        if found is not None:
            state = decode_state(found[1], store.blobs(run_id))
        else:
            ended = store.ended(run_id)
            assert ended is not None, "a run with a sequence number is open or ended"
            state = decode_state(ended.snapshot, store.blobs(run_id))
        return Entry(partition.number, state, self._plan(partition, state.definition), stored=True)

    def _reopened(self, store: PartitionStore, ended: Entry) -> Entry:
        """A run whose end is in the store went on afterwards."""
        run = ended.run
        row = store.ended(run.id)
        assert row is not None, "its state was read from that row"
        return reopened(ended.partition, run, ended.plan, row.history, spilled=row.spilled)

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
