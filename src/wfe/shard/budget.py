"""The disk budget: how much of it the shard's log and stores use, looked at every few seconds.

From `BUDGET_HURRY_PERCENT` on, ended runs whose time is over leave at once rather than in their turn; when it is used
up, new runs are refused until there is room again. Whatever is under way goes on: its room is what the file system has.
"""

from __future__ import annotations

from collections.abc import Sequence

from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.limits import BUDGET_HURRY_PERCENT, BUDGET_LOOK_MS
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.shard.retention import Retention


class DiskBudget:
    def __init__(self, core: ShardCore, loader: Loader, retention: Retention) -> None:
        self._core = core
        self._loader = loader
        self._retention = retention
        self._next_ms = 0
        self._is_looking = False

    def on_tick(self, now_ms: int) -> None:
        """Have it looked at, if there is a budget and it is time."""
        if not self._core.settings.disk_budget_bytes or now_ms < self._next_ms or self._is_looking:
            return
        self._next_ms = now_ms + BUDGET_LOOK_MS
        self._is_looking = True  # a slow disk is asked once, and not once more every few seconds
        disk = self._core.disk
        stores = list(disk.stores.values())
        self._loader.read(lambda: _used_bytes(stores, disk.log), self._found)

    def _found(self, used_bytes: int, now_ms: int) -> None:
        core = self._core
        self._is_looking = False
        settings = core.settings
        budget_bytes = settings.disk_budget_bytes * max(1, len(core.partitions)) // settings.partitions_total
        core.host["disk_used_bytes"] = used_bytes
        core.budget_spent = used_bytes >= budget_bytes
        self._retention.hurry = used_bytes >= budget_bytes * BUDGET_HURRY_PERCENT // 100


def _used_bytes(stores: Sequence[PartitionStore], log: ShardLog) -> int:
    """On the reader thread."""
    return sum(store.used_bytes() for store in stores) + log.size_bytes()
