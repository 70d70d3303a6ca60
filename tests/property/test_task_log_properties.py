"""What tasks say, whatever they say and whatever becomes of it: every line is there, in order, or counted as gone."""

from __future__ import annotations

from unittest import mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from wfe.journal import task_logs as journal
from wfe.journal.schema import TASK_LOGS
from wfe.journal.task_logs import plan_flush, read_log, size_of
from wfe.model.ids import mint_run_id
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimDisk
from wfe.wire.task_logs import LogBatch, LogLine, StoredBatch
from wfe.worker import task_logs as worker
from wfe.worker.task_logs import LineBuffer

RUNS = [mint_run_id(0, 1_000 + number, number) for number in range(3)]
RUN = st.integers(0, 2)


def batch(run: int, first: int, count: int, width: int) -> LogBatch:
    lines = [LogLine(1, "info", f"{number} {'x' * width}") for number in range(first, first + count)]
    return LogBatch(RUNS[run], "n", 0, 1, count, Raw(msgspec.msgpack.encode(lines)))


def numbers(lines: Raw) -> list[int]:
    return [int(line.text.partition(" ")[0]) for line in msgspec.msgpack.decode(lines, type=list[LogLine])]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), RUN, st.integers(1, 20), st.integers(0, 400)),
            st.tuples(st.just("take"), st.integers(1, 3_000), st.sets(RUN), st.booleans()),
        ),
        max_size=60,
    )
)
def test_a_buffer_gives_each_line_once_and_in_order_or_counts_it(steps: list[tuple[object, ...]]) -> None:
    said = [0, 0, 0]
    got: list[list[int]] = [[], [], []]
    dropped = 0
    with mock.patch.object(worker, "LOG_ATTEMPT_BYTES", 4_000), mock.patch.object(worker, "LOG_WORKER_BYTES", 6_000):
        lines = LineBuffer()
        for what, first, second, third in steps:
            if what == "say":
                lines.put(batch(first, said[first], second, third))  # type: ignore[index,arg-type,call-overload]
                said[first] += second  # type: ignore[index,operator,call-overload]
                assert lines._size <= 6_000
                continue
            taken = lines.take(first, lambda run_id, may=second: RUNS.index(run_id) in may)  # type: ignore[arg-type,operator,misc]
            if third:  # they never arrived
                lines.put_back(taken)
                assert lines._size <= 6_000
                continue
            for each in taken:
                got[RUNS.index(each.run_id)] += numbers(each.lines)
                dropped += each.dropped
        for each in lines.take(1 << 30, lambda _: True):
            got[RUNS.index(each.run_id)] += numbers(each.lines)
            dropped += each.dropped
    assert all(found == sorted(set(found)) for found in got)
    assert sum(map(len, got)) + dropped == sum(said)
    assert not lines.waiting


@given(
    st.lists(
        st.dictionaries(
            RUN, st.lists(st.tuples(st.integers(1, 8), st.integers(0, 60)), min_size=1, max_size=3), min_size=1
        ),
        max_size=15,
    )
)
def test_a_store_keeps_the_newest_lines_and_its_counts_are_true(
    flushes: list[dict[int, list[tuple[int, int]]]],
) -> None:
    store = SimDisk(SeededRandom(1)).store("p0")
    said = [0, 0, 0]
    place = 0
    with mock.patch.object(journal, "LOG_RUN_BYTES", 2_000), mock.patch.object(journal, "LOG_RUN_LINES", 30):
        for flush in flushes:
            runs: dict[str, list[StoredBatch]] = {}
            for run, batches in flush.items():
                for count, width in batches:
                    place += 1
                    told = batch(run, said[run], count, width)
                    said[run] += count
                    runs.setdefault(RUNS[run], []).append(StoredBatch(place, "n", 0, 1, count, told.lines))
            store.commit(plan_flush(store, runs, 1 << 30).ops)
    for run, run_id in enumerate(RUNS):
        found = read_log(store, run_id, 0)
        kept = [number for each in found.batches for number in numbers(each.lines)]
        assert kept == list(range(said[run] - len(kept), said[run])), "the newest, all of them"
        assert len(kept) + found.dropped == said[run]
        assert len(kept) <= 30
        assert sum(map(size_of, found.batches)) <= 2_000
        count = journal._count_of(store, run_id)
        assert (count.lines, count.bytes) == (len(kept), sum(map(size_of, found.batches)))
        if kept:
            last = found.batches[-1].number
            assert read_log(store, run_id, last).batches == []
            assert [each.number for each in read_log(store, run_id, last - 1).batches] == [last]
    assert all(len(key) in (26, 34) for key, _ in store.range(TASK_LOGS, b"", None, limit=1_000))
