"""The threads that commit and read stores for a shard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from wfe.errors import DataError
from wfe.lmdb.reader import ReaderThread
from wfe.lmdb.store import LmdbStore
from wfe.lmdb.writer import WriterThread
from wfe.ports import Op, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    made = LmdbStore(tmp_path, tables=(1,), map_bytes=1 << 20)
    yield made
    made.close()


def test_steps_are_committed_in_order_on_one_thread_and_reported(store: LmdbStore) -> None:
    seen: SimpleQueue[tuple[object, Exception | None, int]] = SimpleQueue()
    writer = WriterThread({0: store}, lambda token, error: seen.put((token, error, threading.get_ident())))
    for n in range(20):
        writer.submit(0, [Op(1, b"last", b"%d" % n), Op(1, b"%02d" % n, b"")], n)
    writer.close()
    reports = [seen.get_nowait() for _ in range(20)]
    assert [(token, error) for token, error, _ in reports] == [(n, None) for n in range(20)]
    assert {thread for _, _, thread in reports}.isdisjoint({threading.get_ident()})
    assert store.get(1, b"last") == b"19"
    assert writer.pending() == 0


def test_after_a_failed_step_nothing_more_is_written(store: LmdbStore) -> None:
    seen: list[tuple[object, str]] = []
    writer = WriterThread({0: store}, lambda token, error: seen.append((token, type(error).__name__)))
    writer.submit(0, [Op(1, b"a", b"")], "fits")
    writer.submit(0, [Op(1, b"b", bytes(5_000_000))], "too large")
    writer.submit(0, [Op(1, b"c", b"")], "small")
    writer.close()
    assert seen == [("fits", "NoneType"), ("too large", "DataFull"), ("small", "DataFull")]
    assert store.get(1, b"c") is None


def test_a_step_for_a_partition_that_is_not_here_fails(store: LmdbStore) -> None:
    seen: list[Exception | None] = []
    stores: dict[int, Store] = {}
    writer = WriterThread(stores, lambda token, error: seen.append(error))
    writer.submit(7, [Op(1, b"a", b"")], 0)
    writer.close()
    assert isinstance(seen[0], KeyError)


def test_pending_counts_what_was_not_reported(store: LmdbStore) -> None:
    go = threading.Event()

    def done(token: object, error: Exception | None) -> None:
        go.wait()

    writer = WriterThread({0: store}, done)
    for n in range(3):
        writer.submit(0, [Op(1, b"%d" % n, b"")], n)
    assert writer.pending() >= 2
    go.set()
    writer.close()
    assert writer.pending() == 0


def test_reads_run_off_the_callers_thread_and_errors_are_reported(store: LmdbStore) -> None:
    seen: list[tuple[object, object, str]] = []
    reader = ReaderThread(lambda token, result, error: seen.append((token, result, type(error).__name__)))
    store.commit([Op(1, b"a", b"value")])

    def fail() -> object:
        raise DataError("no")

    reader.submit(lambda: store.get(1, b"a"), 1)
    reader.submit(fail, 2)
    reader.submit(threading.get_ident, 3)
    reader.close()
    assert seen[:2] == [(1, b"value", "NoneType"), (2, None, "DataError")]
    assert seen[2][1] != threading.get_ident()


def test_reading_goes_on_while_another_thread_writes(store: LmdbStore) -> None:
    values: list[object] = []
    writer = WriterThread({0: store}, lambda token, error: None)
    reader = ReaderThread(lambda token, result, error: values.append(result))
    for n in range(200):
        writer.submit(0, [Op(1, b"a", b"%d" % n), Op(1, b"b", b"%d" % n)], n)
        reader.submit(lambda: len(set(dict(store.range(1, b"", None, limit=9)).values())), n)
    writer.close()
    reader.close()
    assert set(values) <= {0, 1}, "a reader saw half a commit"
