"""Row builders and the partition store: a run's way from open to ended, and what readers see on it."""

from __future__ import annotations

import pytest
from msgspec.msgpack import encode
from msgspec.structs import replace

from wfe.errors import DataCorrupt, DataError, DataFormat
from wfe.journal import schema
from wfe.journal.schema import MetaRow, seal, unseal
from wfe.journal.store import (
    EndedRow,
    EndedSummary,
    OpenRow,
    PartitionStore,
    definition_ops,
    ended_run_ops,
    key_ops,
    open_run_ops,
    record_ops,
)
from wfe.model.ids import mint_run_id
from wfe.ports import Op
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimDisk, SimStore


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(SeededRandom(1))


@pytest.fixture
def raw(disk: SimDisk) -> SimStore:
    return disk.store("store")


@pytest.fixture
def store(raw: SimStore) -> PartitionStore:
    return PartitionStore(raw, 3, 32)


def run_id(number: int) -> str:
    return mint_run_id(3, 1_700_000_000_000 + number, number)


def open_row(number: int = 1, seq: int = 2) -> OpenRow:
    return OpenRow(
        run_id(number), "checkout", 4, "waiting", "order-1", 17, {"team": "a"}, 5, 99, True, seq, "hash", "default", "p"
    )


def ended_row(number: int = 1, seq: int = 4) -> EndedRow:
    return EndedRow(run_id(number), "checkout", 4, "completed", "order-1", 17, 23, {"team": "a"}, 5, seq, "hash")


def events(*seqs: int) -> tuple[int, bytes]:
    return seqs[0], encode([1_700_000_000_000, [["event", seq] for seq in seqs]])


def test_an_open_run_is_listed_with_its_snapshot_and_history(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(), b"state", [events(1), events(2)]))
    assert list(store.open_runs()) == [open_row()]
    assert store.open_run(run_id(1)) == open_row()
    assert store.snapshot(run_id(1)) == (2, b"state")
    assert store.seq_of(run_id(1)) == 2
    assert store.history(run_id(1), 0, 10) == [events(1), events(2)]
    assert store.ended(run_id(1)) is None


def test_a_later_checkpoint_replaces_the_snapshot_and_adds_history(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(), b"old", [events(1, 2)]))
    raw.commit(open_run_ops(open_row(seq=5), b"new", [events(3, 4, 5)]))
    assert store.snapshot(run_id(1)) == (5, b"new")
    assert store.history(run_id(1), 0, 10) == [events(1, 2), events(3, 4, 5)]


def test_history_starts_with_the_chunk_that_holds_the_next_event(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(seq=6), b"", [events(1, 2, 3), events(4), events(5, 6)]))
    assert [first for first, _ in store.history(run_id(1), 1, 10)] == [1, 4, 5]
    assert [first for first, _ in store.history(run_id(1), 3, 10)] == [4, 5]
    assert [first for first, _ in store.history(run_id(1), 4, 10)] == [5]
    assert [first for first, _ in store.history(run_id(1), 5, 10)] == [5]
    assert store.history(run_id(1), 6, 10) == []
    assert [first for first, _ in store.history(run_id(1), 0, 2)] == [1, 4]
    assert [first for first, _ in store.history(run_id(1), 3, 1)] == [4]


@pytest.mark.parametrize("count", [1, 15, 16, 300, 70_000])
def test_chunks_of_any_length_know_their_last_event(store: PartitionStore, raw: SimStore, count: int) -> None:
    raw.commit(open_run_ops(open_row(seq=count), b"", [events(*range(1, count + 1))]))
    assert store.history(run_id(1), count - 1, 10)
    assert store.history(run_id(1), count, 10) == []


def test_a_run_that_ended_between_checkpoints_is_a_single_row(store: PartitionStore, raw: SimStore) -> None:
    before = sum(len(rows) for rows in raw._file.rows.values())
    raw.commit(ended_run_ops(ended_row(), b"last", [events(1, 2), events(3, 4)], had_open_row=False))
    assert sum(len(rows) for rows in raw._file.rows.values()) == before + 1
    assert store.ended(run_id(1)) == replace(ended_row(), snapshot=b"last", history=[events(1, 2), events(3, 4)])
    assert store.history(run_id(1), 2, 10) == [events(3, 4)]
    assert store.seq_of(run_id(1)) == 4


def test_the_end_of_a_checkpointed_run_removes_what_it_had(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(), b"state", [events(1), events(2)]))
    earlier = store.history(run_id(1), 0, 10)
    raw.commit(ended_run_ops(ended_row(), b"last", [events(3, 4)], had_open_row=True, earlier_history=earlier))
    assert list(store.open_runs()) == []
    assert store.snapshot(run_id(1)) is None
    assert store.counts() == {"open": 0, "ended": 1, "keys": 0, "definitions": 0, "history": 0}
    assert store.history(run_id(1), 0, 10) == [events(1), events(2), events(3, 4)]


def test_a_long_history_stays_in_rows_of_its_own(store: PartitionStore, raw: SimStore) -> None:
    big = (1, encode([0, [b"x" * schema.INLINE_BYTES_MAX]]))
    raw.commit(open_run_ops(open_row(seq=1), b"state", [big]))
    raw.commit(ended_run_ops(ended_row(seq=2), b"last", [events(2)], True, store.history(run_id(1), 0, 10)))
    row = store.ended(run_id(1))
    assert row is not None
    assert (row.spilled, row.history) == (True, [])
    assert store.history(run_id(1), 0, 10) == [big, events(2)]
    assert len(raw.get(schema.ENDED, run_id(1).encode()) or b"") < 500


def test_earlier_history_that_was_not_read_is_kept(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(), b"state", [events(1, 2)]))
    raw.commit(ended_run_ops(ended_row(), b"last", [events(3, 4)], True, earlier_history=None))
    assert store.history(run_id(1), 0, 10) == [events(1, 2), events(3, 4)]


def test_a_large_last_snapshot_is_found_all_the_same(store: PartitionStore, raw: SimStore) -> None:
    snapshot = b"s" * (schema.INLINE_BYTES_MAX + 1)
    raw.commit(open_run_ops(open_row(), b"state", [events(1, 2)]))
    raw.commit(ended_run_ops(ended_row(), snapshot, [events(3, 4)], True, [events(1, 2)]))
    row = store.ended(run_id(1))
    assert row is not None
    assert row.snapshot == snapshot
    assert len(raw.get(schema.ENDED, run_id(1).encode()) or b"") < 500


def test_ended_runs_are_listed_newest_first_and_paged(store: PartitionStore, raw: SimStore) -> None:
    for number in (1, 2, 3, 4):
        raw.commit(ended_run_ops(ended_row(number), b"last", [events(1, 2, 3, 4)], had_open_row=False))
    assert [row.run_id for row in store.list_ended(limit=2)] == [run_id(4), run_id(3)]
    older = store.list_ended(after=run_id(3), limit=9)
    assert [row.run_id for row in older] == [run_id(2), run_id(1)]
    expected = EndedSummary(run_id(2), "checkout", 4, "completed", "order-1", 17, 23, {"team": "a"}, 5, 4, "hash")
    assert older[0] == expected


def test_more_open_runs_than_a_page_are_all_seen(store: PartitionStore, raw: SimStore) -> None:
    for number in range(600):
        raw.commit(open_run_ops(open_row(number), b"", []))
    assert [row.run_id for row in store.open_runs()] == [run_id(number) for number in range(600)]


def test_the_newest_run_is_the_greatest_id_of_open_and_ended_ones(store: PartitionStore, raw: SimStore) -> None:
    assert store.newest() == ""
    raw.commit(open_run_ops(open_row(2), b"state", []))
    assert store.newest() == run_id(2)
    raw.commit(ended_run_ops(ended_row(7), b"state", [], had_open_row=False))
    raw.commit(open_run_ops(open_row(5), b"state", []))
    assert store.newest() == run_id(7)


def test_keys_of_any_length_name_their_run(store: PartitionStore, raw: SimStore) -> None:
    key = "é" * 400
    raw.commit(key_ops("default", "checkout", key, run_id(1), b"digest"))
    assert store.key("default", "checkout", key) == (run_id(1), b"digest")
    assert store.key("default", "checkout", key[1:]) is None
    assert store.key("other", "checkout", key) is None


def test_the_partitions_record_and_definitions_are_kept(store: PartitionStore, raw: SimStore) -> None:
    assert store.record() is None
    raw.commit([*record_ops(7, b"record"), *definition_ops("abc", b"{}")])
    assert store.record() == (7, b"record")
    assert store.definition("abc") == b"{}"
    assert store.definition("abd") is None
    assert store.definitions() == ["abc"]


def test_a_store_of_another_partition_is_refused(store: PartitionStore, raw: SimStore) -> None:
    PartitionStore(raw, 3, 32)
    with pytest.raises(DataError, match="partition 3 of 32, not of 4 of 32"):
        PartitionStore(raw, 4, 32)
    with pytest.raises(DataError, match="not of 3 of 16"):
        PartitionStore(raw, 3, 16)


def test_a_store_of_a_newer_format_is_refused(raw: SimStore) -> None:
    payload = encode(MetaRow(schema.FORMAT_VERSION + 1, 3, 32))
    raw.commit([Op(schema.META, schema.META_KEY, seal(schema.META, schema.META_KEY, payload))])
    with pytest.raises(DataFormat, match="upgrade"):
        PartitionStore(raw, 3, 32)


def test_a_flipped_bit_anywhere_in_a_value_is_named(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(), b"state", []))
    key = run_id(1).encode()
    good = raw.get(schema.SNAPSHOTS, key) or b""
    for place in range(len(good)):
        raw.commit([Op(schema.SNAPSHOTS, key, good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :])])
        with pytest.raises(DataCorrupt, match=f"snapshots/{run_id(1)}"):
            store.snapshot(run_id(1))


def test_a_value_copied_to_another_key_or_table_is_noticed(store: PartitionStore, raw: SimStore) -> None:
    raw.commit(open_run_ops(open_row(), b"state", []))
    value = raw.get(schema.OPEN, run_id(1).encode())
    raw.commit([Op(schema.OPEN, run_id(2).encode(), value), Op(schema.ENDED, run_id(1).encode(), value)])
    with pytest.raises(DataCorrupt, match="checksum"):
        store.open_run(run_id(2))
    with pytest.raises(DataCorrupt, match="checksum"):
        store.ended(run_id(1))


def test_a_value_that_was_written_wrong_is_corrupt(store: PartitionStore, raw: SimStore) -> None:
    key = run_id(1).encode()
    raw.commit([Op(schema.OPEN, key, seal(schema.OPEN, key, b"\xc1"))])
    with pytest.raises(DataCorrupt, match="does not decode"):
        list(store.open_runs())


def test_a_row_of_a_newer_version_asks_for_an_upgrade() -> None:
    with pytest.raises(DataFormat, match="upgrade"):
        unseal(schema.OPEN, b"key", seal(schema.OPEN, b"key", b"payload", version=schema.ROW_VERSION + 1))


def test_every_table_number_is_used_once() -> None:
    numbers = (*schema.PARTITION_TABLES, *schema.CATALOGUE_TABLES)
    assert len(set(numbers)) == len(numbers)
    assert set(schema.TABLE_NAMES) == set(numbers)


def test_the_layout_of_released_rows_stays_as_it_is() -> None:
    """Append fields with a default; never rename or reorder (the old rows are still on somebody's disk)."""
    assert OpenRow.__struct_fields__[:14] == (
        *("run_id", "workflow", "version", "status", "key", "started_at", "tags", "priority", "next_due_ms"),
        *("has_tasks", "seq", "definition", "namespace", "parent"),
    )
    assert EndedRow.__struct_fields__[:17] == (
        *("run_id", "workflow", "version", "status", "key", "started_at", "ended_at", "tags", "priority", "seq"),
        *("definition", "namespace", "parent", "snapshot", "history", "spilled", "snapshot_spilled"),
    )
    assert seal(schema.OPEN, b"key", b"payload").hex() == "1e163a38017061796c6f6164"
