"""Lists of a partition's runs, newest first: of those in memory and those in its store, a page at a time.

A page costs what it shows, however many runs there are: only runs that a query's workflow, key and tags let through are
looked at closely, from the newest on, until the page is full.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

import msgspec

from wfe.journal.store import EndedSummary, OpenRow, PartitionStore
from wfe.limits import LIST_LIMIT_MAX
from wfe.model.state import RunState
from wfe.partition.partition import Partition
from wfe.partition.views import entry_view, shown_status
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.wire.frames import Header, Kind
from wfe.wire.messages import ListRuns, RunPage, RunView

PAGE_ROWS_MIN = 100
Row = TypeVar("Row", OpenRow, EndedSummary)


class Listing:
    """Handlers by kind, see `Requests`."""

    def __init__(self, core: ShardCore, loader: Loader) -> None:
        self._core = core
        self._loader = loader

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {Kind.LIST: (msgspec.msgpack.Decoder(ListRuns).decode, self._list)}

    def _list(self, client: bytes, header: Header, partition: Partition, query: ListRuns, now_ms: int) -> None:
        limit = max(1, min(query.limit, LIST_LIMIT_MAX))
        store = self._core.disk.stores[partition.number]
        # Memory is looked at before the store is read: a run that moves to the store meanwhile is then seen twice, and
        # memory wins. The other way round it would be seen by neither.
        hidden = frozenset(partition.entries)
        held = _list_held(partition, query, limit + 1)

        def merge(stored: list[RunView], later_ms: int) -> None:
            runs = sorted([*held, *stored], key=lambda view: view.id, reverse=True)
            self._core.answer(client, header.request, RunPage(runs[:limit], len(runs) > limit))

        self._loader.read(lambda: _list_stored(store, query, hidden, limit + 1), merge, partition)


def _list_held(partition: Partition, query: ListRuns, limit: int) -> list[RunView]:
    """The newest matching runs in memory, without payloads."""
    entries, found = partition.entries, list[RunView]()
    fitting = [
        run_id
        for run_id, entry in entries.items()
        if (not query.after or run_id < query.after) and _fits(entry.run, query)
    ]
    fitting.sort(reverse=True)
    for run_id in fitting:
        entry = entries[run_id]
        if not query.status or shown_status(entry.run, entry.leases) == query.status:
            found.append(entry_view(entry, payloads=False))
            if len(found) == limit:
                break
    return found


def _fits(run: RunState | OpenRow | EndedSummary, query: ListRuns) -> bool:
    """Whether a run is asked for, as far as it never changes."""
    return (
        (not query.workflow or run.workflow == query.workflow)
        and (not query.key or run.key == query.key)
        and (not query.tags or all(run.tags.get(name) == value for name, value in query.tags.items()))
    )


def _list_stored(store: PartitionStore, query: ListRuns, hidden: Collection[str], limit: int) -> list[RunView]:
    """On the reader thread: the newest matching runs of the store but the ``hidden``, without payloads."""

    def first(read: Callable[..., list[Row]]) -> list[Row]:
        found: list[Row] = []
        for row in _newest_first(read, query.after, max(limit, PAGE_ROWS_MIN)):
            wanted = _fits(row, query) and (not query.status or row.status == query.status)
            if wanted and row.run_id not in hidden:
                found.append(row)
                if len(found) == limit:
                    break
        return found

    # A run that ends between these reads is seen twice, and by nobody the other way round: its end is what counts.
    found = {row.run_id: _summary_view(row, 0) for row in first(store.list_open)}
    found |= {row.run_id: _summary_view(row, row.ended_at) for row in first(store.list_ended)}
    return sorted(found.values(), key=lambda view: view.id, reverse=True)[:limit]


def _newest_first(read: Callable[..., list[Row]], after: str, page_rows: int) -> Iterator[Row]:
    while True:
        page = read(after=after, limit=page_rows)
        yield from page
        if len(page) < page_rows:
            return
        after = page[-1].run_id


def _summary_view(row: OpenRow | EndedSummary, ended_at: int) -> RunView:
    return RunView(
        id=row.run_id,
        workflow=row.workflow,
        version=row.version,
        status=row.status,
        key=row.key,
        started_at=row.started_at,
        ended_at=ended_at,
        tags=row.tags,
        priority=row.priority,
        parent=row.parent,
        events=row.seq,
        definition=row.definition,
        namespace=row.namespace,
    )
