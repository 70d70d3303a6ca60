"""Planted bugs of retention, the disk budget and the log's tail."""

from __future__ import annotations

from typing import Any

from planting import around, nothing

from wfe.journal import schema
from wfe.journal.store import PartitionStore
from wfe.shard import admission, listing, recovery, retention, tail


def _half_as_long(policy: Any, self: retention.Retention, kept_ms: int | None) -> Any:
    found_ms = policy(self, kept_ms)
    return found_ms if found_ms == retention.NEVER_MS else found_ms // 2


def _keys_stay(removal: Any, self: PartitionStore, key: bytes, row: Any) -> Any:
    return [op for op in removal(self, key, row) if op.table != schema.KEYS]


def _no_budget(admit: Any, self: admission.Admission, *rest: Any) -> Any:
    spent, self._core.budget_spent = self._core.budget_spent, False
    try:
        return admit(self, *rest)
    finally:
        self._core.budget_spent = spent


def _stopped(turn: Any, self: Any, *rest: Any) -> Any:
    """Who has no room lets nothing go on."""
    return None if self._core.budget_spent else turn(self, *rest)


def _chunk_short(replay: Any, self: tail.Tail, partition: Any, run_id: str, pieces: Any) -> Any:
    return replay(self, partition, run_id, pieces[:-1] or pieces)


def expiry_patches() -> dict[str, Any]:
    """For the table in `mutants`."""
    from wfe.shard.turns import Turns

    return {
        "ended runs expire too early": around(retention.Retention, "_policy", _half_as_long),
        "ended runs never expire": around(retention.Retention, "_remove", nothing),
        "keys of expired runs go on naming them": around(PartitionStore, "_removal", _keys_stay),
        "runs are started though the disk budget is used up": around(admission.Admission, "check", _no_budget),
        "a used up disk budget stops what has begun": around(Turns, "apply", _stopped),
        "a run of the log's tail lacks its last chunk": around(tail.Tail, "_replay", _chunk_short),
        "runs of the stores are forgotten in a restart": around(recovery.Recovery, "_note", nothing),
        "lists leave out what is in memory": around(listing, "_list_held", lambda *_: []),
    }
