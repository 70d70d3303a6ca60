"""The shard's log over the simulated disk: order, chain, fencing, trimming, and what damage looks like."""

from __future__ import annotations

import pytest
from msgspec.msgpack import encode

from wfe.errors import DataCorrupt, DataError, DataFormat, DataFull, Fenced
from wfe.journal.log import HEADER_BYTES, Chunk, ShardLog, encode_record
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimCrashed, SimDisk

RUN = "00" + "a" * 24


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(SeededRandom(1))


def chunk(seq: int, count: int = 1, entity: str = RUN) -> Chunk:
    return Chunk(3, 1, entity, seq, count, encode([1_700_000_000_000, [["event", n] for n in range(count)]]))


def filled(disk: SimDisk, records: int = 4, epoch: int = 1) -> ShardLog:
    log = ShardLog(disk.log("log"), epoch)
    for n in range(records):
        log.append([chunk(n + 1), chunk(n + 1, entity="")])
    return log


def replayed(disk: SimDisk, epoch: int = 2) -> list[int]:
    return [position for position, _ in ShardLog(disk.log("log"), epoch).replay()]


def rewrite(disk: SimDisk, position: int, record: bytes) -> None:
    disk._logs["log"].records[position] = record


def test_what_was_appended_is_replayed_in_order(disk: SimDisk) -> None:
    log = filled(disk, 3)
    assert log.position == 3
    assert list(log.replay()) == [(n, [chunk(n), chunk(n, entity="")]) for n in (1, 2, 3)]
    assert [position for position, _ in log.replay(after=2)] == [3]


def test_positions_and_the_chain_go_on_under_the_next_epoch(disk: SimDisk) -> None:
    filled(disk, 2)
    log = ShardLog(disk.log("log"), 2)
    assert log.append([chunk(3)]) == 3
    assert replayed(disk, 3) == [1, 2, 3]


def test_an_earlier_owner_is_fenced_out(disk: SimDisk) -> None:
    old = filled(disk, 1)
    ShardLog(disk.log("log"), 2)
    with pytest.raises(Fenced):
        old.append([chunk(2)])
    with pytest.raises(Fenced):
        ShardLog(disk.log("log"), 1)


def test_a_log_that_failed_once_takes_no_more(disk: SimDisk) -> None:
    log = filled(disk, 1)
    disk.plan("log", "no_space")
    with pytest.raises(DataFull):
        log.append([chunk(2)])
    with pytest.raises(DataError, match="must stop"):
        log.append([chunk(2)])
    assert log.position == 1


def test_an_error_after_the_effect_leaves_the_record_to_recovery(disk: SimDisk) -> None:
    log = filled(disk, 1)
    disk.plan("log", "error_after")
    with pytest.raises(DataError):
        log.append([chunk(2)])
    assert replayed(disk) == [1, 2]


@pytest.mark.parametrize("damaged", [1, 2, 4])
def test_a_flipped_bit_anywhere_in_a_record_is_named(disk: SimDisk, damaged: int) -> None:
    filled(disk)
    record = disk._logs["log"].records[damaged]
    for place in range(len(record)):
        rewrite(disk, damaged, record[:place] + bytes((record[place] ^ 4,)) + record[place + 1 :])
        with pytest.raises((DataCorrupt, DataFormat), match=f"{damaged}"):
            replayed(disk)


def test_a_torn_last_record_stops_recovery(disk: SimDisk) -> None:
    filled(disk)
    assert disk.tear("log") == 4
    with pytest.raises(DataCorrupt) as caught:
        replayed(disk)
    assert caught.value.record == "log/4"


def test_a_missing_record_is_a_gap(disk: SimDisk) -> None:
    filled(disk)
    del disk._logs["log"].records[2]
    with pytest.raises(DataCorrupt, match="missing"):
        replayed(disk)


def test_a_missing_front_is_a_gap_when_the_reader_knows_where_it_stopped(disk: SimDisk) -> None:
    filled(disk)
    del disk._logs["log"].records[2]
    with pytest.raises(DataCorrupt, match="missing"):
        list(ShardLog(disk.log("log"), 2).replay(after=1))


def test_a_missing_tail_is_noticed_while_the_log_is_open(disk: SimDisk) -> None:
    log = filled(disk)
    del disk._logs["log"].records[4]
    with pytest.raises(DataCorrupt, match="end of the log"):
        list(log.replay())


def test_a_record_of_another_history_breaks_the_chain(disk: SimDisk) -> None:
    filled(disk)
    stranger, _ = encode_record(3, 1, 12345, [chunk(3)])
    rewrite(disk, 3, stranger)
    with pytest.raises(DataCorrupt, match="does not continue") as caught:
        replayed(disk)
    assert caught.value.record == "log/3"


def test_a_record_moved_to_another_position_fails_its_checksum(disk: SimDisk) -> None:
    filled(disk)
    rewrite(disk, 3, disk._logs["log"].records[2])
    with pytest.raises(DataCorrupt, match="checksum"):
        replayed(disk)


def test_epochs_may_not_go_back_along_the_log(disk: SimDisk) -> None:
    log = filled(disk, 2, epoch=5)
    stale, _ = encode_record(3, 4, log._crc, [chunk(3)])
    rewrite(disk, 3, stale)
    with pytest.raises(DataCorrupt, match="epoch goes back"):
        replayed(disk, 6)


def test_a_record_from_a_later_epoch_than_ours_is_refused(disk: SimDisk) -> None:
    log = filled(disk, 1)
    future, _ = encode_record(2, 9, log._crc, [chunk(2)])
    rewrite(disk, 2, future)
    with pytest.raises(DataCorrupt, match="yet to come"):
        replayed(disk, 2)


def test_a_record_of_a_newer_version_asks_for_an_upgrade(disk: SimDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfe.journal.log.RECORD_VERSION", 2)
    filled(disk, 1)
    monkeypatch.undo()
    with pytest.raises(DataFormat, match="upgrade"):
        replayed(disk)


def test_a_record_that_holds_other_chunks_than_it_says_is_corrupt(disk: SimDisk) -> None:
    class Lying(list[Chunk]):
        def __len__(self) -> int:
            return 7

    record, _ = encode_record(1, 1, 0, Lying([chunk(1)]))
    filled(disk, 1)
    rewrite(disk, 1, record)
    with pytest.raises(DataCorrupt, match="number of chunks"):
        replayed(disk)


def test_trimmed_records_are_not_replayed_and_positions_go_on(disk: SimDisk) -> None:
    log = filled(disk, 5)
    log.trim(3)
    assert [position for position, _ in log.replay()] == [4, 5]
    log.trim(99)
    assert list(log.replay()) == []
    assert log.append([chunk(6)]) == 6
    assert [position for position, _ in log.replay()] == [6]
    assert replayed(disk) == [6]


def test_trimming_frees_space_a_little_with_every_append(disk: SimDisk) -> None:
    log = filled(disk, 40)
    log.trim(40)
    before = len(disk._logs["log"].records)
    log.append([chunk(41)])
    assert 1 < len(disk._logs["log"].records) < before
    for n in range(42, 50):
        log.append([chunk(n)])
    assert replayed(disk) == list(range(41, 50))


def test_a_crash_may_bring_trimmed_records_back_but_loses_none(disk: SimDisk) -> None:
    log = filled(disk, 5)
    log.trim(4)
    disk.crash()
    with pytest.raises(SimCrashed):
        log.append([chunk(6)])
    assert replayed(disk) == [1, 2, 3, 4, 5]


def test_a_batch_costs_a_fixed_header_and_its_chunks() -> None:
    chunks = [chunk(1)]
    record, _ = encode_record(1, 1, 0, chunks)
    assert len(record) == HEADER_BYTES + len(encode(chunks))
