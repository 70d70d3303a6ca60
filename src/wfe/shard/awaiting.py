"""Who awaits a signal with a correlation: of runs in memory, and as the store's rows of open runs name them.

There is no index: every open run of a partition is looked at. So that a flood of questions (webhooks, for instance)
holds up nobody, those that come while a partition is looked through share the next look at it. Invariants: one
partition of a shard is looked through at a time, so that whoever needs the reader thread meanwhile waits for one at
most; a question is answered by a look that began after it came.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from wfe.errors import Busy
from wfe.journal.store import PartitionStore
from wfe.limits import AWAITERS_ASKED_MAX, BUSY_RETRY_MS, LIST_LIMIT_MAX
from wfe.partition.partition import Partition
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.wire.awaiters import Awaiters, AwaitersQuery
from wfe.wire.frames import Header

Asker = tuple[bytes, int]
"""A client and its request."""


class Awaiting:
    def __init__(self, core: ShardCore, loader: Loader) -> None:
        self._core, self._loader = core, loader
        self._asked: dict[int, dict[Asker, AwaitersQuery]] = {}
        """Questions by partition, in the order in which the partitions' turns come."""
        self._looking = False

    def ask(self, client: bytes, header: Header, partition: Partition, query: AwaitersQuery, now_ms: int) -> None:
        """The answer may be long in coming. Busy when too many wait for theirs."""
        questions = self._asked.setdefault(partition.number, {})
        if len(questions) >= AWAITERS_ASKED_MAX:
            raise Busy("too many ask at once who awaits a signal", BUSY_RETRY_MS / 1000)
        questions[client, header.request] = query
        self._go_on()

    def _go_on(self) -> None:
        while self._asked and not self._looking:
            number = next(iter(self._asked))
            questions = self._asked.pop(number)
            partition = self._core.partitions.get(number)
            if partition is not None:  # else it has left: clients ask its next owner
                self._look(partition, questions)

    def _look(self, partition: Partition, questions: dict[Asker, AwaitersQuery]) -> None:
        limit = max(_limit(query) for query in questions.values())
        found: dict[str, list[str]] = {query.channel: [] for query in questions.values()}
        for entry in partition.entries.values():
            if entry.run.waits:
                for channel in set(entry.run.waits.values()):  # it may wait for the same in several places
                    if channel in found:
                        found[channel].append(entry.run.id)
        missing = {query.channel for query in questions.values() if len(found[query.channel]) < _limit(query)}
        if not missing:
            self._answer(questions, found)
            return
        # As in `Requests._list`: memory first, and memory wins.
        store, hidden = self._core.disk.stores[partition.number], frozenset(partition.entries)

        def merge(stored: Any, later_ms: int) -> None:
            self._looking = False
            for channel, run_ids in stored.items():
                found[channel].extend(run_ids)
            if self._core.partitions.get(partition.number) is partition:
                self._answer(questions, found)
            self._go_on()

        self._looking = True
        self._loader.read(lambda: _stored(store, hidden, missing, limit), merge)

    def _answer(self, questions: dict[Asker, AwaitersQuery], found: dict[str, list[str]]) -> None:
        for (client, request), query in questions.items():
            self._core.answer(client, request, Awaiters(found[query.channel][: _limit(query)]))


def _limit(query: AwaitersQuery) -> int:
    return max(1, min(query.limit, LIST_LIMIT_MAX))


def _stored(store: PartitionStore, hidden: Set[str], channels: Set[str], limit: int) -> dict[str, list[str]]:
    """On the reader thread."""
    found: dict[str, list[str]] = {channel: [] for channel in channels}
    for row in store.awaiting(channels):
        if row.run_id not in hidden:
            for channel in set(row.awaits):
                if channel in found and len(found[channel]) < limit:
                    found[channel].append(row.run_id)
    return found
