"""Moving partitions: who is drained, what is committed when, and what a failed drain leaves behind."""

from __future__ import annotations

import pytest

from support.coordinator_world import MemoryStore
from wfe.config import ServeOptions, ShardOptions
from wfe.coordinator.moves import owners_for, settle_owners
from wfe.errors import DataError
from wfe.journal.catalogue import Catalogue


def catalogue(partitions: int = 6) -> Catalogue:
    return Catalogue(MemoryStore(), partitions=partitions, server_id="s")


def never(options: ShardOptions) -> int:
    raise AssertionError(f"shard {options.index} must not be drained")


def test_partitions_are_dealt_out_evenly() -> None:
    sizes = [list(owners_for(32, 5).values()).count(shard) for shard in range(5)]
    assert sorted(sizes) == [6, 6, 6, 7, 7]


def test_a_new_directory_needs_no_drain() -> None:
    fresh = catalogue()
    assert settle_owners(fresh, ServeOptions(shards=2), [], never) == []
    assert fresh.owners() == owners_for(6, 2)


def test_the_same_number_of_shards_changes_nothing() -> None:
    kept = catalogue()
    settle_owners(kept, ServeOptions(shards=2), [], never)
    assert settle_owners(kept, ServeOptions(shards=2), [0, 1], never) == []
    assert [kept.partition_epoch(p) for p in range(6)] == [1] * 6


def test_every_old_shard_with_a_log_is_drained_under_a_new_epoch_before_owners_change() -> None:
    moved = catalogue()
    settle_owners(moved, ServeOptions(shards=3), [], never)
    seen: list[ShardOptions] = []

    def drain(options: ShardOptions) -> int:
        assert moved.owners() == owners_for(6, 3)
        seen.append(options)
        return 0

    assert settle_owners(moved, ServeOptions(shards=2, data="d"), [0, 2], drain) == [0, 2]
    assert [(o.index, o.partitions, o.partitions_total, o.data) for o in seen] == [
        (0, [0, 3], 6, "d"),
        (2, [2, 5], 6, "d"),
    ]
    assert 0 < seen[0].epoch < seen[1].epoch
    assert moved.owners() == owners_for(6, 2)
    assert [moved.partition_epoch(p) for p in range(6)] == [1, 1, 2, 2, 2, 2]


def test_a_drain_that_fails_leaves_the_owners_as_they_were() -> None:
    stuck = catalogue()
    settle_owners(stuck, ServeOptions(shards=2), [], never)
    with pytest.raises(DataError, match="shard 1"):
        settle_owners(stuck, ServeOptions(shards=3), [0, 1], lambda options: options.index)
    assert stuck.owners() == owners_for(6, 2)


def test_more_shards_than_partitions_are_refused() -> None:
    with pytest.raises(DataError, match="6 or fewer"):
        settle_owners(catalogue(), ServeOptions(shards=7), [], never)


def test_partitions_that_were_moved_stay_where_they_are_at_the_next_start() -> None:
    kept = catalogue()
    settle_owners(kept, ServeOptions(shards=2), [], never)
    kept.assign(dict.fromkeys(range(6), 0))
    assert settle_owners(kept, ServeOptions(shards=2), [0, 1], never) == []
    assert set(kept.owners().values()) == {0}


def test_another_number_of_shards_deals_out_anew_what_was_moved() -> None:
    again = catalogue()
    settle_owners(again, ServeOptions(shards=2), [], never)
    again.assign({0: 1})
    assert settle_owners(again, ServeOptions(shards=3), [0, 1], lambda options: 0) == [0, 1]
    assert again.owners() == owners_for(6, 3)
    assert again.shards == 3


def test_a_catalogue_of_before_learns_its_number_of_shards() -> None:
    older = catalogue()
    older.assign(owners_for(6, 2))
    assert older.shards == 0
    settle_owners(older, ServeOptions(shards=2), [0, 1], never)
    older.assign({0: 1})
    assert settle_owners(older, ServeOptions(shards=2), [0, 1], never) == []
    assert older.owners()[0] == 1
