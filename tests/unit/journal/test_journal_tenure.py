"""Tenure: which shard took a partition over, and from where on its log counts."""

from __future__ import annotations

import pytest

from support.coordinator_world import MemoryStore
from wfe.errors import Fenced
from wfe.journal import schema
from wfe.journal.schema import TenureRow
from wfe.journal.store import PartitionStore
from wfe.journal.verify import verify_store
from wfe.ports import Op


def test_a_store_that_never_moved_has_no_tenure() -> None:
    assert PartitionStore(MemoryStore(), 3, 8).tenure() is None


def test_the_last_shard_to_take_over_is_the_one_that_counts() -> None:
    port = MemoryStore()
    store = PartitionStore(port, 3, 8)
    store.take_over(1, 40, 7)
    store.take_over(0, 12, 9)
    assert PartitionStore(port, 3, 8).tenure() == TenureRow(0, 12, 9)


def test_who_was_believed_gone_takes_nothing_over() -> None:
    store = PartitionStore(MemoryStore(), 3, 8)
    store.take_over(1, 40, 7)
    with pytest.raises(Fenced, match="epoch 7 has taken over partition 3"):
        store.take_over(0, 12, 6)
    assert store.tenure() == TenureRow(1, 40, 7)


def test_verify_reads_tenures_beside_the_meta_row() -> None:
    port = MemoryStore()
    PartitionStore(port, 3, 8).take_over(1, 40, 7)
    assert verify_store(port) == []
    port.commit([Op(schema.META, schema.TENURE_KEY, schema.seal(schema.META, schema.TENURE_KEY, b"\xc0"))])
    assert [finding.record for finding in verify_store(port)] == ["meta/tenure"]
