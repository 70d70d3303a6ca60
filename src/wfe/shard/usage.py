"""Which runs of some definitions this shard keeps: the coordinator asks before it deletes their versions.

Runs in memory are looked at before the stores are read (a run that leaves memory meanwhile is in its store) and again
afterwards (a start that was on its way when the question came). Stores are read a page at a time, off the loop.
"""

from __future__ import annotations

from collections.abc import Collection

from wfe.journal.store import PartitionStore
from wfe.limits import LIST_LIMIT_DEFAULT
from wfe.partition.to_come import EntriesToCome
from wfe.shard.core import ShardCore, encode
from wfe.shard.loading import Loader
from wfe.wire.definitions import Usage, UsageQuestion
from wfe.wire.frames import Kind, header

PAGE_RUNS = 20 * LIST_LIMIT_DEFAULT


class Usages:
    """Answers questions; several may be under way."""

    def __init__(self, core: ShardCore, loader: Loader) -> None:
        self._core, self._loader = core, loader

    def on_question(self, question: UsageQuestion) -> None:
        """The answer leaves when one run was found, or every store was read. After a crash it waits for all runs."""
        for partition in self._core.partitions.values():
            if isinstance(partition.entries, EntriesToCome):
                partition.entries.when_whole(lambda _: self.on_question(question))
                return
        wanted = frozenset(question.hashes)
        self._next(question.number, wanted, sorted(self._core.partitions), "")

    def _next(self, number: int, wanted: frozenset[str], partitions: list[int], after: str) -> None:
        found = self._in_memory(wanted)
        while partitions and partitions[0] not in self._core.disk.stores:
            partitions, after = partitions[1:], ""  # it has left; nothing is deleted while partitions move
        if found or not partitions:
            self._core.to_back.append([header(Kind.USED), encode(Usage(number, found))])
            return
        store = self._core.disk.stores[partitions[0]]

        def then(page: tuple[dict[str, str], str], now_ms: int) -> None:
            stored, last = page
            if stored:
                self._core.to_back.append([header(Kind.USED), encode(Usage(number, stored))])
            elif last:
                self._next(number, wanted, partitions, last)
            else:
                self._next(number, wanted, partitions[1:], "")

        self._loader.read(lambda: _read(store, wanted, after), then)

    def _in_memory(self, wanted: Collection[str]) -> dict[str, str]:
        found = {
            entry.run.definition: entry.run.id
            for partition in self._core.partitions.values()
            for entry in partition.entries.values()
            if entry.run.definition in wanted
        }
        for digest in wanted:
            if digest not in found and self._loader.awaits(digest):
                found[digest] = ""
        return found


def _read(store: PartitionStore, wanted: Collection[str], after: str) -> tuple[dict[str, str], str]:
    """On the reader thread: a run by definition, and where to go on among the ended ones ("": nowhere)."""
    found: dict[str, str] = {}
    if not after:
        found = {row.definition: row.run_id for row in store.open_runs() if row.definition in wanted}
    page = store.list_ended(after=after, limit=PAGE_RUNS)
    found |= {row.definition: row.run_id for row in page if row.definition in wanted}
    return found, page[-1].run_id if len(page) == PAGE_RUNS else ""
