"""The auditor's view of who has which partition: one process at a time, and with all that is durable.

Numbers in comments are the invariants of docs/reliability.md. A partition that moves is looked at when its store is
closed (it must hold everything) and again when it is served anew (memory and store must).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from wfe.journal.store import PartitionStore
from wfe.model.ids import partition_of
from wfe.partition.mailbox import decode_record
from wfe.sim.contents import state_of
from wfe.sim.ledger import ENDS, RunBook
from wfe.sim.node import Violation

if TYPE_CHECKING:
    from wfe.sim.auditor import Auditor
    from wfe.sim.shards import ShardNode


class Owners:
    """Part of the auditor."""

    def __init__(self, auditor: Auditor, may_be_gone: Callable[[str], bool]) -> None:
        self._auditor = auditor
        self._may_be_gone = may_be_gone
        self._writers: dict[int, ShardNode | None] = {}

    def opens(self, node: ShardNode, partitions: Iterable[int]) -> None:
        """A shard opens stores: nobody else may have them."""
        for number in partitions:
            other = self._writers.get(number)
            if other is not None and other is not node and other.alive:
                raise Violation(f"{node.name} opens partition {number}, which {other.name} has open")
            self._writers[number] = node

    def writes(self, node: ShardNode, number: int) -> None:
        """A shard has committed something of a partition (4)."""
        if self._writers.get(number) is not node:
            owner = self._writers.get(number)
            raise Violation(f"{node.name} commits for partition {number}, which {owner and owner.name} has open")
        book, epoch = self._auditor.partitions[number], node.epochs.get(number, node.options.epoch)
        if epoch < book.epoch:
            raise Violation(f"{node.name} writes epoch {epoch} after {book.epoch}")
        book.epoch = epoch

    def died(self, node: ShardNode) -> None:
        for number, writer in self._writers.items():
            if writer is node:
                self._writers[number] = None

    def closes(self, node: ShardNode, number: int, store: PartitionStore) -> None:
        """A partition leaves: whoever comes next has nothing but this store."""
        self._auditor.count("partitions_handed")
        self._writers[number] = None
        record = store.record()
        self._check_record(number, decode_record(record[1]).seq if record else 0)
        for run_id, book in self._auditor.runs.items():
            if partition_of(run_id) == number:
                self._compare_stored(store, book)

    def recovered(self, node: ShardNode, partitions: Iterable[int]) -> None:
        """State from disk equals what was durable (1, 2, 12)."""
        shard = node.shard
        assert shard is not None
        mine = set(partitions)
        for number in mine:
            partition, book = shard.core.partitions[number], self._auditor.partitions[number]
            store = shard.core.disk.stores[number]
            self._check_record(number, partition.record.seq)
            for (workflow, key), bound in book.keys.items():
                name = ("default", workflow, key)
                found = partition.keys.get(name) or store.key(*name)
                if found != bound and not (found is None and self._may_be_gone(bound[0])):
                    raise Violation(f"key {key} of {workflow} is lost, it named {bound}")
            for run_id in partition.entries:
                if run_id not in self._auditor.runs:
                    raise Violation(f"run {run_id} is recovered, but was never durable")
        for run_id, run_book in self._auditor.runs.items():
            if partition_of(run_id) in mine:
                self._compare(node, run_book)

    def _check_record(self, number: int, seq: int) -> None:
        book = self._auditor.partitions[number]
        if seq != book.seq:
            raise Violation(f"partition {number} recovers {seq} events of {book.seq}")

    def _compare(self, node: ShardNode, book: RunBook) -> None:
        assert node.shard is not None
        number = partition_of(book.id)
        entry = node.shard.core.partitions[number].entries.get(book.id)
        if entry is None:
            self._compare_stored(node.shard.core.disk.stores[number], book)
            return
        state = state_of(entry.run)
        if entry.run.seq != book.seq or crc32(state) != book.digest:
            raise book.fail(f"recovers as {entry.run}, {book.seq} events are durable")
        if book.contents.missing(state, entry.run.blobs):
            raise book.fail("recovers without large values that it refers to")

    def _compare_stored(self, store: PartitionStore, book: RunBook) -> None:
        if store.seq_of(book.id) is None and self._may_be_gone(book.id):
            return
        if store.seq_of(book.id) != book.seq:
            raise book.fail(f"the store has {store.seq_of(book.id)} events of {book.seq}")
        ended = store.ended(book.id) if store.open_run(book.id) is None else None
        if (book.status in ENDS) != (ended is not None) or (ended is not None and ended.status != book.status):
            raise book.fail(f"has {book.status}, the store says {ended and ended.status}")
        found = store.snapshot(book.id) if ended is None else None
        snapshot = ended.snapshot if ended is not None else found[1] if found is not None else b""
        if crc32(snapshot) != book.digest:
            raise book.fail("the snapshot in the store is not the state that was durable")
        if book.contents.missing(snapshot, store.blobs(book.id)):
            raise book.fail("the store has lost large values that the run refers to")
