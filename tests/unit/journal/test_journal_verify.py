"""What `wfe verify` finds: every kind of damage that can be planted, and nothing in sound data."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.msgpack import encode

from wfe.journal import schema
from wfe.journal.catalogue import Catalogue
from wfe.journal.log import Chunk, ShardLog, encode_record
from wfe.journal.schema import SnapshotRow, history_key, seal
from wfe.journal.store import (
    EndedRow,
    OpenRow,
    PartitionStore,
    definition_ops,
    ended_run_ops,
    key_ops,
    open_run_ops,
    record_ops,
)
from wfe.journal.verify import scan_log, verify_catalogue, verify_join, verify_log, verify_store
from wfe.journal.verify_store import Entity
from wfe.model.ids import mint_run_id
from wfe.ports import Op
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimDisk, SimStore

OPEN_RUN = mint_run_id(3, 1_700_000_000_000, 1)
ENDED_RUN = mint_run_id(3, 1_700_000_000_000, 2)
LARGE_RUN = mint_run_id(3, 1_700_000_000_000, 3)
OTHER_PARTITION = mint_run_id(4, 1_700_000_000_000, 4)


def events(*seqs: int) -> tuple[int, bytes]:
    return seqs[0], encode([1_700_000_000_000, [["event", seq] for seq in seqs]])


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(SeededRandom(1))


@pytest.fixture
def store(disk: SimDisk) -> SimStore:
    raw = disk.store("store")
    PartitionStore(raw, 3, 32)
    raw.commit(open_run_ops(OpenRow(OPEN_RUN, "w", 1, "running", seq=3), b"state", [events(1, 2), events(3)]))
    raw.commit(ended_run_ops(EndedRow(ENDED_RUN, "w", 1, "completed", seq=2), b"last", [events(1, 2)], False))
    large = [(1, encode([0, [b"x" * schema.INLINE_BYTES_MAX]])), events(2)]
    snapshot = b"s" * (schema.INLINE_BYTES_MAX + 1)
    raw.commit(ended_run_ops(EndedRow(LARGE_RUN, "w", 1, "failed", seq=2), snapshot, large, False))
    raw.commit([*key_ops("default", "w", "k", OPEN_RUN, b"d"), *record_ops(9, b"r"), *definition_ops("h", b"{}")])
    return raw


def found(store: SimStore) -> list[tuple[str, str]]:
    return [(finding.record, finding.message) for finding in verify_store(store)]


def test_a_sound_store_has_no_findings(store: SimStore) -> None:
    held: dict[Entity, int] = {}
    assert verify_store(store, held) == []
    assert held == {(3, OPEN_RUN): 3, (3, ENDED_RUN): 2, (3, LARGE_RUN): 2, (3, ""): 9}


def test_a_damaged_bit_in_any_row_is_found(store: SimStore, disk: SimDisk) -> None:
    for place in store._file.places():
        good = store._file.read_place(place)
        store._file.write_place(place, good[:-1] + bytes((good[-1] ^ 1,)))
        assert any("checksum" in message for _, message in found(store)), place
        store._file.write_place(place, good)
    assert disk.flip_bit("store")
    assert found(store)


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        (schema.META, schema.META_KEY, "which partition"),
        (schema.OPEN, OPEN_RUN.encode(), "without a run"),
        (schema.ENDED, LARGE_RUN.encode(), "without a run"),
        (schema.SNAPSHOTS, OPEN_RUN.encode(), "snapshot is missing"),
        (schema.SNAPSHOTS, LARGE_RUN.encode(), "snapshot is missing"),
        (schema.HISTORY, history_key(OPEN_RUN, 1), "events 1 to 2 are missing"),
        (schema.HISTORY, history_key(OPEN_RUN, 3), "ends at event 2"),
        (schema.HISTORY, history_key(LARGE_RUN, 2), "ends at event 1"),
    ],
)
def test_a_missing_row_is_found(store: SimStore, table: int, key: bytes, message: str) -> None:
    store.commit([Op(table, key, None)])
    assert any(message in text for _, text in found(store))


def test_a_run_without_any_history_is_found(store: SimStore) -> None:
    store.commit([Op(schema.HISTORY, history_key(OPEN_RUN, seq), None) for seq in (1, 3)])
    assert (f"open/{OPEN_RUN}", "the run's history is missing or damaged") in found(store)


def test_rows_that_contradict_each_other_are_found(store: SimStore) -> None:
    store.commit(ended_run_ops(EndedRow(OPEN_RUN, "w", 1, "completed", seq=3), b"", [events(1, 2, 3)], False))
    assert (f"ended/{OPEN_RUN}", "the run is open and ended at once") in found(store)


def test_a_snapshot_of_another_event_than_the_row_is_found(store: SimStore) -> None:
    key = OPEN_RUN.encode()
    store.commit([Op(schema.SNAPSHOTS, key, seal(schema.SNAPSHOTS, key, encode(SnapshotRow(2, b""))))])
    assert found(store) == [(f"snapshots/{OPEN_RUN}", "the snapshot is of event 2, the run's row of 3")]


def test_rows_in_the_wrong_place_are_found(store: SimStore) -> None:
    key = OPEN_RUN.encode()
    store.commit(open_run_ops(OpenRow(OTHER_PARTITION, "w", 1, "running"), b"", []))
    store.commit([Op(schema.KEYS, b"k", seal(schema.KEYS, b"k", encode(["default", "w", "k", OPEN_RUN, b"d"])))])
    store.commit([Op(schema.OPEN, key, seal(schema.OPEN, key, encode(OpenRow(ENDED_RUN, "w", 1, "running", seq=3))))])
    messages = [message for _, message in found(store)]
    assert "the run is none of partition 3" in messages
    assert "the row of another key, w/k" in messages
    assert f"the row of another run, {ENDED_RUN}" in messages


def chunk(seq: int, count: int = 1, entity: str = OPEN_RUN) -> Chunk:
    return Chunk(3, 1, entity, seq, count, encode([1_700_000_000_000, [["event", n] for n in range(count)]]))


def filled(disk: SimDisk) -> ShardLog:
    log = ShardLog(disk.log("log"), 1)
    log.append([chunk(1, 2), chunk(1, entity="")])
    log.append([chunk(3)])
    log.append([chunk(2, entity="")])
    return log


def test_a_sound_log_has_no_findings(disk: SimDisk) -> None:
    filled(disk)
    scan = scan_log(disk.log("log"))
    assert (scan.records, scan.events, scan.findings) == (3, 5, [])
    assert scan.spans == {(3, OPEN_RUN): [(1, 3)], (3, ""): [(1, 2)]}


def test_every_bad_record_of_a_log_is_listed_once(disk: SimDisk) -> None:
    log = filled(disk)
    for seq in range(4, 9):
        log.append([chunk(seq)])
    records = disk._logs["log"].records
    records[2] = records[2][:-1]
    records[6] = b"short"
    findings = verify_log(disk.log("log"))
    assert [(finding.record, finding.message) for finding in findings] == [
        ("log/2", "a log record fails its checksum"),
        ("log/6", "a log record is too short"),
    ]


def test_gaps_and_miscounted_chunks_are_found(disk: SimDisk) -> None:
    log = filled(disk)
    wrong, _ = encode_record(4, 1, log._crc, [msgspec.structs.replace(chunk(4), count=2)])
    disk._logs["log"].records[4] = wrong
    del disk._logs["log"].records[2]
    messages = [finding.message for finding in verify_log(disk.log("log"))]
    assert messages[0] == "records are missing from the log: 2 is not there"
    assert "has other than its 2 events" in messages[1]


def test_events_between_store_and_log_must_not_be_missing(disk: SimDisk) -> None:
    filled(disk)
    scan = scan_log(disk.log("log"))
    assert verify_join(scan, {}, [3]) == []
    assert verify_join(scan, {(3, OPEN_RUN): 2}, [3]) == [], "what both have is skipped by replay"
    log = ShardLog(disk.log("log"), 2)
    log.append([chunk(7)])
    scan = scan_log(disk.log("log"))
    (finding,) = verify_join(scan, {(3, OPEN_RUN): 4}, [3])
    assert finding.message == "events 5 to 6 are in no store and no log"
    assert verify_join(scan, {(3, OPEN_RUN): 6}, [3]) == []
    assert verify_join(scan, {}, [4]) == [], "a store that cannot be read proves nothing about the log"


def test_a_catalogue_must_have_the_definitions_it_names(disk: SimDisk) -> None:
    raw = disk.store("catalogue")
    assert [finding.message for finding in verify_catalogue(raw)] == ["the catalogue does not say what it is"]
    catalogue = Catalogue(raw)
    catalogue.register("h1", b"{}", "w", None, 1)
    catalogue.assign({0: 1})
    assert verify_catalogue(raw) == []
    raw.commit([Op(schema.CATALOGUE_DEFINITIONS, b"h1", None)])
    assert [finding.message for finding in verify_catalogue(raw)] == ["the definition of version 1 is missing"]
    assert disk.flip_bit("catalogue")
    assert len(verify_catalogue(raw)) >= 2
