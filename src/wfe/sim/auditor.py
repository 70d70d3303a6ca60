"""The auditor: knows what was acknowledged, what is durable, what was executed and what was seen, and compares.

It hears of commits from the log's wrapper, of executions from workers, of answers from clients. Numbers in comments are
the invariants of docs/reliability.md. Whatever contradicts them is a `Violation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from msgspec import Raw, msgpack

from wfe.core.canonical import decode as decode_definition
from wfe.journal.log import Chunk
from wfe.journal.verify import verify_store
from wfe.model import event as ev
from wfe.model.durable import NEED_ALL
from wfe.model.event import EventChunk, PartitionChunk, RunStarted
from wfe.model.event_kinds import LockGranted
from wfe.model.ids import lock_address, partition_of
from wfe.sim.answers import Answers
from wfe.sim.contents import state_of
from wfe.sim.cuts import Cuts
from wfe.sim.interpreter import check_run
from wfe.sim.ledger import ENDS, RunBook, Shape
from wfe.sim.ledger_partitions import PartitionBook
from wfe.sim.node import Violation
from wfe.sim.owners import Owners
from wfe.wire.blobs import input_of
from wfe.wire.messages import TaskResult, TaskSpec

if TYPE_CHECKING:
    from wfe.sim.shards import ShardNode
    from wfe.sim.workers import WorkerNode
    from wfe.sim.world import World

SWIFT_US = 50_000
"""With a disk that is never slower than this, timers are punctual."""
_decode_events = msgpack.Decoder(EventChunk).decode
_decode_partition = msgpack.Decoder(PartitionChunk).decode


class Auditor:
    """One per world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._may_be_gone = world.expiry.may_be_gone
        self.runs: dict[str, RunBook] = {}
        self.partitions = {number: PartitionBook(number, self._may_be_gone) for number in range(world.partitions)}
        self._shapes: dict[str, Shape] = {}
        self.owners = Owners(self, self._may_be_gone)
        self.answers = Answers(self, world)
        self._digests: dict[str, tuple[int, int]] = {}
        self.counts: dict[str, int] = {}
        self.executions = 0
        self.cuts = Cuts()
        self.hard: set[str] = set()
        """Commands that cancel without compensation."""
        self.open_runs = 0
        """Runs that are durable and have not ended."""

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    # ---- shards -----------------------------------------------------------------------------------------------------

    def committing(self, node: ShardNode, chunks: Sequence[Chunk]) -> None:
        """A batch is about to be written: how the runs look that it touches."""
        shard = node.shard
        assert shard is not None
        for chunk in chunks:
            if chunk.entity:
                run = shard.core.partitions[chunk.partition].entries[chunk.entity].run
                self._digests[chunk.entity] = (run.seq, crc32(state_of(run)))

    def committed(self, node: ShardNode, chunks: Sequence[Chunk]) -> None:
        """A batch is durable."""
        partitions = self.partitions
        for chunk in chunks:
            book = partitions[chunk.partition]
            self.owners.writes(node, chunk.partition)
            if not chunk.entity:
                events = _decode_partition(chunk.events).events
                book.book(chunk.first_seq, events, partitions)
                self._locks_left(events)
        for chunk in chunks:
            if chunk.entity:
                self._book_run(node, chunk)

    def _locks_left(self, events: Sequence[ev.PartitionEvent]) -> None:
        """A lock of all runs leaves its holder no earlier than that has let it go."""
        for event in events:
            if isinstance(event, ev.LockLeft):
                run = self.runs.get(event.run_id)
                if run is None or (event.node, event.act) in run.asked:
                    raise Violation(f"{event}, but the run holds or wants it")

    def _book_run(self, node: ShardNode, chunk: Chunk) -> None:
        events = _decode_events(chunk.events)
        book = self.runs.get(chunk.entity)
        if book is None:
            started = events.events[0]
            if not isinstance(started, RunStarted):
                raise Violation(f"run {chunk.entity} begins with {started}")
            book = self.runs[chunk.entity] = RunBook(
                chunk.entity, self._shape(chunk.partition, started.definition), started, self.runs
            )
            self.open_runs += 1
            if started.definition in self._world.catalogue.deleted:
                raise book.fail("begins, though its definition is deleted")
            # What a look found in this very turn may have let it in.
            if (
                node.refuses_starts
                and node.shard
                and node.shard.core.budget_spent
                and chunk.entity in self.answers.asked
            ):
                raise book.fail(f"begins, though {node.name}'s disk budget was used up before the start came")
        # A run that left memory is read before its timer has an effect, and its definition perhaps.
        awake_ms = node.acts_since_ms(chunk.partition) if self._world.disk_worst_us <= SWIFT_US else events.time_ms
        self.open_runs += book.status in ENDS  # it goes on
        book.book(chunk.first_seq, events.time_ms, events.events, awake_ms)
        node.tally.take(events.events)
        seq, digest = self._digests[chunk.entity]
        if seq != book.seq:
            raise book.fail(f"the state has {seq} events, its history {book.seq}")
        book.digest = digest
        self._check_granted(book, events.events)
        if book.status in ENDS:
            self.count(book.status)
            self.open_runs -= 1
            if book.status != "completed" and book.registered_uncalled and not self._is_hard(book):
                raise book.fail(f"ends as {book.status}, {book.registered_uncalled} have not been called")
            check_run(book, self.runs)

    def _check_granted(self, book: RunBook, events: Sequence[ev.RunEvent]) -> None:
        """A lock of all runs is given to the first who wants it."""
        for event in events:
            if isinstance(event, LockGranted) and (lock := book.shared_by.get((event.node, event.act))):
                owner = self.partitions[partition_of(lock_address(lock, self._world.partitions))]
                queue = owner.locks.get(lock, [])
                if queue[:1] != [(book.id, event.node, event.act)]:
                    raise book.fail(f"{event} of {lock}, which is wanted by {queue}")

    def _is_hard(self, book: RunBook) -> bool:
        """Whether the run, or one that it is a part of, was cancelled without compensation."""
        above: RunBook | None = book
        while above is not None:
            if above.commands & self.hard:
                return True
            above = self.runs.get(above.started.parent)
        return False

    def _shape(self, partition: int, digest: str) -> Shape:
        shape = self._shapes.get(digest)
        if shape is None:
            body = self.partitions[partition].definitions.get(digest)
            if body is None:
                raise Violation(f"partition {partition} starts a run of a definition that it does not hold: {digest}")
            shape = self._shapes[digest] = Shape(decode_definition(body))
        return shape

    def recovering(self, node: ShardNode) -> None:
        """A shard opens its files."""
        self.owners.opens(node, node.options.partitions)

    def recovered(self, node: ShardNode) -> None:
        """A shard has recovered."""
        self.count("recoveries")
        assert node.shard is not None
        self.owners.recovered(node, node.shard.core.partitions.keys() & set(node.options.partitions))

    def turned(self, node: ShardNode) -> None:
        """A turn is over: nothing may have met a defect of wfe."""
        assert node.shard is not None
        counters = node.shard.core.counters
        for name in ("runs_quarantined", "frames_refused", "worker_frames_refused"):
            if counters[name]:
                raise Violation(f"{node.name}: {name}")
        node.tally.check(node)
        self._world.speech.check_shard(node.name, node.shard)

    def died(self, node: ShardNode) -> None:
        self.owners.died(node)
        self._world.speech.may_repeat = True

    def cut(self, node: ShardNode, number: int) -> None:
        """A shard begins its snapshots for a backup."""
        self.cuts.take(number, self.runs, [self.partitions[n] for n in node.options.partitions])

    def resume(self, cuts: Cuts) -> None:
        """This world goes on where a backup of another one was cut."""
        self.partitions.update({number: book.twin(self._may_be_gone) for number, book in cuts.partitions.items()})
        self.runs = cuts.restored()
        self.open_runs = len(self.unfinished())

    # ---- workers ----------------------------------------------------------------------------------------------------

    def node_of(self, spec: TaskSpec) -> Any:
        """The node that a task is of; for a task that a durable function called, the function's."""
        book = self.runs.get(spec.run_id)
        return None if book is None else book.shape.nodes[spec.node]

    def executed(self, worker: WorkerNode, spec: TaskSpec) -> None:
        """A task's code begins: its attempt was opened durably, and begins once (3, 6, 7)."""
        book = self.runs.get(spec.run_id)
        if book is None:
            raise Violation(f"{worker.name} runs a task of {spec.run_id}, of which nothing is durable")
        place = (spec.node, spec.activation)
        if spec.attempt > book.opened.get(place, 0):
            raise book.fail(f"attempt {spec.attempt} of {place} runs, opened is {book.opened.get(place)}")
        if (*place, spec.attempt) in book.executed:
            raise book.fail(f"attempt {spec.attempt} of {place} runs twice")
        book.executed[*place, spec.attempt] = input_of(spec)
        self.executions += 1

    def finished(self, worker: WorkerNode, result: TaskResult) -> None:
        """A task's code has ended; or a worker has no coroutine for a turn, which then never began."""
        if result.status == NEED_ALL:
            return self.runs[result.run_id].never_began(result)
        kept = TaskResult(
            result.run_id, result.node, result.activation, result.attempt, result.status, Raw(bytes(result.value)),
            result.error, turn=Raw(bytes(result.turn)),
        )  # fmt: skip
        self.runs[result.run_id].results[result.node, result.activation, result.attempt] = kept

    def results_acknowledged(self, worker: WorkerNode, keys: Sequence[tuple[str, int, int, int]]) -> None:
        """A worker forgets results: what became of their attempts is durable (1)."""
        for run_id, node, act, attempt in keys:
            book = self.runs[run_id]
            if book.open.get((node, act)) == attempt and not (act == 0 and attempt in book.kept):
                raise book.fail(f"the result of attempt {attempt} of {(node, act)} is acknowledged, but not durable")

    # ---- what is durable --------------------------------------------------------------------------------------------

    def known_seq(self, run_id: str) -> int:
        """How much of a run is durable now: later reads must show at least that (14)."""
        return self.runs[run_id].seq

    def runs_of(self, partition: int) -> list[str]:
        return [run_id for run_id in self.runs if partition_of(run_id) == partition]

    def key_of(self, workflow: str, key: str) -> str | None:
        for book in self.partitions.values():
            if (workflow, key) in book.keys:
                return book.keys[workflow, key][0]
        return None

    # ---- the end ----------------------------------------------------------------------------------------------------

    def unfinished(self) -> list[RunBook]:
        return [book for book in self.runs.values() if book.status not in ENDS]

    def final(self, nodes: Sequence[ShardNode]) -> None:
        """Nothing is under way any more (11, 13): books balance, and stores are sound."""
        for number, book in self.partitions.items():
            for receiver, sent in book.sent.items():
                taken = self.partitions[receiver].taken.get(number, 0)
                if sent != taken or book.settled.get(receiver, 0) != sent:
                    settled = book.settled.get(receiver)
                    raise Violation(f"mail from {number} to {receiver}: {sent} sent, {taken} taken, {settled} settled")
            if book.locks:
                raise Violation(f"partition {number} keeps locks of runs that have ended: {book.locks}")
        for node in nodes:
            self._final_of(node)

    def _final_of(self, node: ShardNode) -> None:
        shard = node.shard
        assert shard is not None
        core = shard.core
        for number in node.options.partitions:
            partition = core.partitions[number]
            expected = set(self.runs_of(number))
            store = core.disk.stores[number]
            left = [e.run.id for e in partition.entries.values() if not e.ended]
            if left:
                raise Violation(f"partition {number} still has {left} in memory")
            held = {run_id for run_id in expected if store.ended(run_id) is not None} | set(partition.entries)
            if {run_id for run_id in expected - held if not self._may_be_gone(run_id)} or held - expected:
                raise Violation(f"partition {number} has lost {sorted(expected - held)}")
            findings = verify_store(self._world.disk.store(f"store-{number}"))
            if findings:
                raise Violation(f"store {number} is not sound: {findings[:5]}")
            lines = self._world.speech.check_store(self._world.disk.store(f"store-{number}"))
            self.counts["lines"] = self.counts.get("lines", 0) + lines
        held_tasks = sum(len(link.held) + len(link.unconfirmed) for link in shard.workers.links.values())
        if held_tasks or shard.recovery.pending or shard.loader.waiting:
            raise Violation(f"{node.name} keeps {held_tasks} leases, or waits, though every run has ended")
        leaked: dict[str, Any] = {k: v for k, v in core.watchers.items() if v}
        if leaked:
            raise Violation(f"{node.name} keeps watchers of runs that have ended: {leaked}")
