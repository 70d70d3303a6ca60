"""Open approvals of a partition: of runs in memory, and as the store's rows of open runs name them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from wfe.journal.store import PartitionStore
from wfe.limits import LIST_LIMIT_MAX
from wfe.partition.partition import Partition
from wfe.partition.views import open_approvals
from wfe.shard.awaiting import Awaiting
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.wire.approvals import ApprovalPage, ApprovalsQuery, OpenApproval
from wfe.wire.awaiters import AwaitersQuery
from wfe.wire.frames import Header, Kind


class Inbox:
    """Handlers by kind, see `Requests`."""

    def __init__(self, core: ShardCore, loader: Loader) -> None:
        self._core, self._loader = core, loader
        self._awaiting = Awaiting(core, loader)

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {
            Kind.APPROVALS: (msgspec.msgpack.Decoder(ApprovalsQuery).decode, self._approvals),
            Kind.AWAITERS: (msgspec.msgpack.Decoder(AwaitersQuery).decode, self._awaiting.ask),
        }

    def _approvals(
        self, client: bytes, header: Header, partition: Partition, query: ApprovalsQuery, now_ms: int
    ) -> None:
        limit = max(1, min(query.limit, LIST_LIMIT_MAX))
        store = self._core.disk.stores[partition.number]
        # As in `Requests._list`: memory first, and memory wins.
        hidden = frozenset(partition.entries)
        held = [
            approval
            for entry in partition.entries.values()
            if entry.run.approvals and entry.run.id > query.after
            for approval in open_approvals(entry.run, entry.plan)
        ]

        def merge(stored: list[OpenApproval], later_ms: int) -> None:
            found = [a for a in (*held, *stored) if not query.workflow or a.workflow == query.workflow]
            found.sort(key=lambda approval: (approval.run_id, approval.node, approval.activation))
            # A run's approvals stay together, since the next page begins after its id.
            end = limit
            while limit <= end < len(found) and found[end].run_id == found[end - 1].run_id:
                end += 1
            self._core.answer(client, header.request, ApprovalPage(found[:end], len(found) > end))

        self._loader.read(lambda: _stored(store, hidden, query.after), merge, partition)


def _stored(store: PartitionStore, hidden: Collection[str], after: str) -> list[OpenApproval]:
    """On the reader thread."""
    return [
        approval
        for row in store.open_runs(after)
        if row.approvals and row.run_id not in hidden
        for approval in row.approvals
    ]
