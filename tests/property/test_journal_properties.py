"""Properties of the journal: whatever happens to the disk, what was acknowledged is recovered, in one piece."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Raw
from msgspec.msgpack import decode, encode

from wfe.errors import DataCorrupt, DataError
from wfe.journal.chunks import event_count
from wfe.journal.log import Chunk, ShardLog
from wfe.journal.store import EndedRow, OpenRow, PartitionStore, ended_run_ops, open_run_ops
from wfe.journal.verify import verify_log, verify_store
from wfe.lmdb.store import LmdbStore
from wfe.model.event import EventChunk, MailTaken, PartitionChunk, TaskDone
from wfe.model.ids import mint_run_id
from wfe.ports import Op
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import Fault, SimCrashed, SimDisk

FAULTS: list[Fault] = ["no_space", "error_before", "error_after", "crash_before", "crash_after"]


class LogUnderFaults(RuleBasedStateMachine):
    """Appends, trims, faults and crashes at any point. Recovered = acknowledged, or one more; never a hole."""

    @initialize(seed=st.integers(0, 1 << 16))
    def start(self, seed: int) -> None:
        self.disk = SimDisk(SeededRandom(seed))
        self.epoch = 1
        self.acknowledged: list[bytes] = []
        self.in_doubt: bytes | None = None
        self.trimmed = 0
        self.log = ShardLog(self.disk.log("log"), 1)

    @rule(payload=st.binary(max_size=40), count=st.integers(1, 3))
    def append(self, payload: bytes, count: int) -> None:
        chunks = [Chunk(0, 1, f"run-{n}", 1, 1, encode([0, [payload]])) for n in range(count)]
        try:
            self.log.append(chunks)
        except (DataError, SimCrashed):
            self.in_doubt = payload
            self.recover()
        else:
            self.acknowledged.append(payload)

    @rule(back=st.integers(0, 3))
    def trim(self, back: int) -> None:
        through = max(0, len(self.acknowledged) - back)
        self.log.trim(through)
        self.trimmed = max(self.trimmed, through)

    @rule(fault=st.sampled_from(FAULTS), writes=st.integers(0, 3))
    def plan(self, fault: Fault, writes: int) -> None:
        self.disk.plan_after(writes, fault)

    @rule()
    def crash(self) -> None:
        self.disk.crash()
        self.recover()

    def recover(self) -> None:
        while True:
            self.disk.crash()
            self.epoch += 1
            try:
                self.log = ShardLog(self.disk.log("log"), self.epoch)
            except (DataError, SimCrashed):
                continue
            break
        if self.log.position > len(self.acknowledged):
            assert self.in_doubt is not None, "a record appeared from nowhere"
            self.acknowledged.append(self.in_doubt)
        self.in_doubt = None

    @invariant()
    def recovered_is_what_was_acknowledged(self) -> None:
        replayed = dict(self.log.replay())
        assert self.log.position == len(self.acknowledged)
        assert set(range(self.trimmed + 1, self.log.position + 1)) <= set(replayed)
        for position, chunks in replayed.items():
            assert [chunk.events for chunk in chunks] == [encode([0, [self.acknowledged[position - 1]]])] * len(chunks)

    @invariant()
    def nothing_is_wrong_on_the_disk(self) -> None:
        assert verify_log(self.disk.log("log")) == []


class StoreAgainstModel(RuleBasedStateMachine):
    """Random lives of runs on both stores and in a plain model: all three always tell the same."""

    runs = Bundle("runs")

    @initialize(seed=st.integers(0, 1 << 16))
    def start(self, seed: int) -> None:
        self.directory = TemporaryDirectory()
        self.disk = SimDisk(SeededRandom(seed))
        self.lmdb = LmdbStore(Path(self.directory.name), durability="none", map_bytes=1 << 26)
        self.stores = [PartitionStore(self.disk.store("store"), 0, 4), PartitionStore(self.lmdb, 0, 4)]
        self.histories: dict[str, list[tuple[int, bytes]]] = {}
        self.seqs: dict[str, int] = {}
        self.snapshots: dict[str, bytes] = {}
        self.ended: set[str] = set()
        self.checkpointed: set[str] = set()

    @rule(target=runs, number=st.integers(0, 30))
    def mint(self, number: int) -> str:
        return mint_run_id(0, 1_000 + number, number)

    def chunks(self, run_id: str, sizes: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
        made = []
        for count, size in sizes:
            first = self.seqs.get(run_id, 0) + 1
            made.append((first, encode([first, [bytes(size)] * count])))
            self.seqs[run_id] = first + count - 1
        self.histories.setdefault(run_id, []).extend(made)
        return made

    sizes = st.lists(st.tuples(st.integers(1, 20), st.sampled_from([1, 100, 3000])), min_size=1, max_size=3)
    states = st.sampled_from([b"", b"state", b"s" * 40_000])

    @rule(run_id=runs, sizes=sizes, state=states)
    def checkpoint(self, run_id: str, sizes: list[tuple[int, int]], state: bytes) -> None:
        if run_id in self.ended:
            return
        chunks = self.chunks(run_id, sizes)
        row = OpenRow(run_id, "w", 1, "running", seq=self.seqs[run_id])
        self.commit(open_run_ops(row, state, chunks))
        self.snapshots[run_id] = state
        self.checkpointed.add(run_id)

    @rule(run_id=runs, sizes=sizes, state=states, read=st.booleans())
    def end(self, run_id: str, sizes: list[tuple[int, int]], state: bytes, read: bool) -> None:
        if run_id in self.ended:
            return
        had = run_id in self.checkpointed
        earlier = self.stores[0].history(run_id, 0, 1_000) if had else []
        chunks = self.chunks(run_id, sizes)
        row = EndedRow(run_id, "w", 1, "completed", seq=self.seqs[run_id])
        self.commit(ended_run_ops(row, state, chunks, had, earlier if read or not had else None))
        self.snapshots[run_id] = state
        self.ended.add(run_id)

    @rule()
    @precondition(lambda self: self.seqs)
    def reopen(self) -> None:
        self.disk.crash()
        self.lmdb.close()
        self.lmdb = LmdbStore(Path(self.directory.name), durability="none", map_bytes=1 << 26)
        self.stores = [PartitionStore(self.disk.store("store"), 0, 4), PartitionStore(self.lmdb, 0, 4)]

    def commit(self, ops: list[Op]) -> None:
        for store in self.stores:
            store._store.commit(ops)

    @rule(run_id=runs, after=st.integers(0, 60), limit=st.integers(1, 4))
    def read_history(self, run_id: str, after: int, limit: int) -> None:
        chunks = self.histories.get(run_id, [])
        expected = [(first, events) for first, events in chunks if first + len(decode(events)[1]) - 1 > after][:limit]
        for store in self.stores:
            assert store.history(run_id, after, limit) == expected

    @invariant()
    def both_stores_tell_what_the_model_tells(self) -> None:
        for store in self.stores:
            assert {row.run_id: row.seq for row in store.open_runs()} == {
                run_id: seq for run_id, seq in self.seqs.items() if run_id not in self.ended
            }
            assert [row.run_id for row in store.list_ended(limit=99)] == sorted(self.ended, reverse=True)
            for run_id, seq in self.seqs.items():
                assert store.seq_of(run_id) == seq
                if run_id in self.ended:
                    row = store.ended(run_id)
                    assert row is not None
                    assert row.snapshot == self.snapshots[run_id]
                else:
                    assert store.snapshot(run_id) == (seq, self.snapshots[run_id])
            assert verify_store(store._store) == []

    def teardown(self) -> None:
        if hasattr(self, "lmdb"):
            self.lmdb.close()
            self.directory.cleanup()


TestLogUnderFaults = LogUnderFaults.TestCase
TestLogUnderFaults.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@settings(deadline=None)
@given(st.integers(0, 1 << 62), st.sampled_from([0, 1, 15, 16, 65_535, 65_536]))
def test_chunks_of_any_time_and_length_know_how_many_events_they_have(time_ms: int, count: int) -> None:
    event = TaskDone(7, 1, 0, Raw(b"\x01"))
    assert event_count(encode(EventChunk(time_ms, [event] * count))) == count
    assert event_count(encode(PartitionChunk(time_ms, [MailTaken(1, 2)] * count))) == count


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=6),
    st.integers(0, 1 << 16),
    st.integers(0, 3),
)
def test_one_flipped_bit_anywhere_in_a_log_is_always_noticed(payloads: list[bytes], seed: int, trim: int) -> None:
    disk = SimDisk(SeededRandom(seed))
    log = ShardLog(disk.log("log"), 1)
    for payload in payloads:
        log.append([Chunk(0, 1, "run", 1, 1, encode([0, [payload]]))])
    log.trim(trim)
    record = f"log/{disk.flip_bit('log')}"
    assert record in {finding.record for finding in verify_log(disk.log("log"))}
    with pytest.raises(DataCorrupt) as caught:
        list(ShardLog(disk.log("log"), 2).replay())
    assert caught.value.record == record


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 16), st.integers(1, 12))
def test_with_weaker_durability_power_loss_leaves_a_prefix(seed: int, appends: int) -> None:
    disk = SimDisk(SeededRandom(seed), durability="os")
    log = ShardLog(disk.log("log"), 1)
    for n in range(appends):
        log.append([Chunk(0, 1, "run", n + 1, 1, encode([0, [n]]))])
    disk.crash(power_loss=True)
    positions = [position for position, _ in ShardLog(disk.log("log"), 2).replay()]
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) <= appends
