"""The contract of the `Log` and `Store` ports, kept by the LMDB adapters and by the simulator's fakes alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wfe.errors import Fenced
from wfe.lmdb.log import LmdbLog
from wfe.lmdb.store import LmdbStore
from wfe.ports import Log, Op, Store
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimDisk

OpenLog = Callable[[], Log]
OpenStore = Callable[[], Store]


@pytest.fixture(params=["lmdb", "sim"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenLog]:
    """Opens the same log again; handles that the test left open are closed at the end."""
    opened: list[Log] = []
    disk = SimDisk(SeededRandom(1))

    def reopen() -> Log:
        if request.param == "lmdb":
            for old in opened:
                old.close()
            opened.append(LmdbLog(tmp_path / "log", map_bytes=1 << 26))
        else:
            opened.append(disk.log("log"))
        return opened[-1]

    yield reopen
    for log in opened:
        log.close()


@pytest.fixture(params=["lmdb", "sim"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = (
        LmdbStore(tmp_path / "store", tables=(1, 2, 3), map_bytes=1 << 26)
        if request.param == "lmdb"
        else SimDisk(SeededRandom(1)).store("store")
    )
    yield made
    made.close()


def filled(open_log: OpenLog, records: int = 5) -> Log:
    log = open_log()
    log.fence(1)
    for position in range(1, records + 1):
        log.append(position, b"record %d" % position)
    return log


def positions(log: Log, after: int = 0) -> list[int]:
    return [position for position, _ in log.read(after)]


def test_a_new_log_is_empty(open_log: OpenLog) -> None:
    log = open_log()
    assert log.last() == 0
    assert list(log.read(0)) == []


def test_records_come_back_in_order_after_a_reopen(open_log: OpenLog) -> None:
    filled(open_log)
    log = open_log()
    assert list(log.read(0)) == [(position, b"record %d" % position) for position in range(1, 6)]
    assert positions(log, after=3) == [4, 5]
    assert positions(log, after=5) == []
    assert log.last() == 5


def test_only_the_next_position_is_taken(open_log: OpenLog) -> None:
    log = filled(open_log)
    for position in (5, 7, 0):
        with pytest.raises(ValueError, match="a bug in wfe"):
            log.append(position, b"x")
    log.append(6, b"x")


def test_nothing_is_taken_without_a_fence(open_log: OpenLog) -> None:
    with pytest.raises(ValueError, match="without a fence"):
        open_log().append(1, b"x")


def test_a_lower_epoch_is_fenced_out_for_good(open_log: OpenLog) -> None:
    filled(open_log)
    open_log().fence(5)
    for epoch in (1, 4):
        with pytest.raises(Fenced, match="epoch 5"):
            open_log().fence(epoch)
    log = open_log()
    log.fence(5)
    log.append(6, b"x")


def test_trimmed_records_are_gone_at_once_for_this_handle(open_log: OpenLog) -> None:
    log = filled(open_log)
    log.trim(3)
    assert positions(log) == [4, 5]
    assert positions(log, after=1) == [4, 5]
    log.trim(2)
    assert positions(log) == [4, 5]


def test_the_last_position_survives_trimming_everything(open_log: OpenLog) -> None:
    log = filled(open_log)
    for _ in range(3):
        log.trim(5)
    assert log.last() == 5
    log = open_log()
    assert log.last() == 5
    log.fence(2)
    log.append(6, b"x")
    assert positions(log)[-1] == 6


def test_trimming_in_mid_stream_frees_the_front(open_log: OpenLog) -> None:
    log = filled(open_log, 60)
    log.trim(59)
    for position in range(61, 80):
        log.append(position, b"x")
    assert positions(open_log()) == list(range(60, 80))


def test_size_grows_and_shrinks_with_the_records(open_log: OpenLog) -> None:
    log = filled(open_log, 0)
    empty = log.size_bytes()
    for position in range(1, 50):
        log.append(position, bytes(10_000))
    full = log.size_bytes()
    assert full - empty >= 49 * 10_000
    log.trim(48)
    for position in range(50, 60):
        log.append(position, b"x")
    assert log.size_bytes() < full / 4


def test_many_and_large_records_are_read_whole(open_log: OpenLog) -> None:
    log = filled(open_log, 0)
    for position in range(1, 12):
        log.append(position, bytes([position]) * 1_000_000)
    assert [(position, record[0], len(record)) for position, record in open_log().read(0)] == [
        (position, position, 1_000_000) for position in range(1, 12)
    ]


def test_appending_while_reading_is_possible(open_log: OpenLog) -> None:
    log = filled(open_log, 3)
    reading = log.read(0)
    assert next(reading)[0] == 1
    log.append(4, b"x")
    assert [position for position, _ in reading][:2] == [2, 3]


# ---- stores ---------------------------------------------------------------------------------------------------------


def test_what_was_deleted_is_in_use_no_more(store: Store) -> None:
    empty_bytes = store.used_bytes()
    keys = [b"%05d" % number for number in range(500)]
    store.commit([Op(2, key, bytes(1_000)) for key in keys])
    full_bytes = store.used_bytes()
    assert full_bytes >= empty_bytes + 500_000
    store.commit([Op(2, key, None) for key in keys])
    assert store.used_bytes() < full_bytes // 10


def test_a_row_is_put_replaced_and_deleted(store: Store) -> None:
    assert store.get(1, b"a") is None
    store.commit([Op(1, b"a", b"1")])
    store.commit([Op(1, b"a", b"2"), Op(2, b"a", b"other table")])
    assert (store.get(1, b"a"), store.get(2, b"a"), store.get(3, b"a")) == (b"2", b"other table", None)
    store.commit([Op(1, b"a", None), Op(1, b"never was", None)])
    assert store.get(1, b"a") is None


def test_later_ops_of_one_commit_win(store: Store) -> None:
    store.commit([Op(1, b"a", b"1"), Op(1, b"a", None), Op(1, b"a", b"3"), Op(1, b"b", b"1"), Op(1, b"b", None)])
    assert store.range(1, b"", None, limit=9) == [(b"a", b"3")]


@pytest.mark.parametrize(
    ("start", "stop", "limit", "ascending", "descending"),
    [
        (b"", None, 9, "bdf", "fdb"),
        (b"", None, 2, "bd", "fd"),
        (b"b", b"f", 9, "bd", "db"),
        (b"c", b"e", 9, "d", "d"),
        (b"c", None, 9, "df", "fd"),
        (b"", b"d", 9, "b", "b"),
        (b"", b"z", 9, "bdf", "fdb"),
        (b"g", None, 9, "", ""),
        (b"", b"a", 9, "", ""),
        (b"f", b"b", 9, "", ""),
        (b"", None, 0, "", ""),
    ],
)
def test_a_range_is_half_open_in_both_directions(
    store: Store, start: bytes, stop: bytes | None, limit: int, ascending: str, descending: str
) -> None:
    store.commit([Op(1, key, key.upper()) for key in (b"f", b"b", b"d")])
    store.commit([Op(2, b"c", b"other table")])
    up = store.range(1, start, stop, limit=limit)
    down = store.range(1, start, stop, limit=limit, reverse=True)
    assert "".join(key.decode() for key, _ in up) == ascending
    assert "".join(key.decode() for key, _ in down) == descending
    assert all(value == key.upper() for key, value in up + down)


def test_rows_are_counted_per_table(store: Store) -> None:
    assert store.count(1) == 0
    store.commit([Op(1, b"a", b""), Op(1, b"b", b""), Op(2, b"a", b"")])
    store.commit([Op(1, b"a", None)])
    assert (store.count(1), store.count(2), store.count(3)) == (1, 1, 0)


def test_a_store_grows_with_its_rows(store: Store) -> None:
    before = store.size_bytes()
    store.commit([Op(1, b"%d" % n, bytes(1000)) for n in range(1000)])
    assert store.size_bytes() - before >= 1_000_000


def test_empty_and_large_values_come_back_as_they_are(store: Store) -> None:
    store.commit([Op(1, b"empty", b""), Op(1, b"large", b"x" * 10_000_000)])
    assert store.get(1, b"empty") == b""
    assert len(store.get(1, b"large") or b"") == 10_000_000
