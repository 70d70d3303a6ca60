"""A lock that runs share, at the partition that has it: its queue is bounded, and who is refused hears of it."""

from __future__ import annotations

import pytest

from support.shards import Host
from wfe.model.definition import Definition, Lock, WaitSignal
from wfe.partition import locks


def test_a_queue_is_bounded_and_whoever_is_refused_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_QUEUE_MAX", 2)
    held = Definition("held", nodes=(Lock(id="l", names=("printer",), do=(WaitSignal(id="w", signal="go"),)),))
    shard = Host(held)
    runs = []
    for _ in range(3):
        runs.append(shard.start("held").run_id)
        shard.settle()
    statuses = [shard.get(run_id).status for run_id in runs]
    assert statuses == ["waiting", "waiting", "failed"]
    assert shard.get(runs[2]).error.type == "LockQueueFull"
    shard.crash()
    shard.settle()
    assert [shard.get(run_id).status for run_id in runs] == statuses
