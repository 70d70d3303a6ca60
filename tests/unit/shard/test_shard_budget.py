"""The disk budget: what has begun goes on, what is new waits until there is room again."""

from __future__ import annotations

from msgspec import Raw
from msgspec.structs import replace

from support.shard_cases import chain, host, waiting
from support.shards import PARTITIONS, Host, encode
from wfe.limits import BUDGET_LOOK_MS, RETENTION_MS_MIN, SWEEP_MS
from wfe.wire import messages as m
from wfe.wire.frames import Kind


def look(shard: Host, times: int = 2) -> None:
    for _ in range(times):
        shard.now_ms += BUDGET_LOOK_MS
        shard.turn()
        shard.turn()


def test_when_the_budget_is_used_up_new_runs_are_refused_and_the_others_end():
    shard = host()
    run_id = shard.start("waiting").run_id
    shard.checkpoint()
    shard.shard.core.settings.disk_budget_bytes = 1
    look(shard)
    refused = shard.start("waiting")
    assert refused.error.code == "busy"
    assert "--disk-budget" in refused.error.message
    shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", Raw(encode(1)), "e"))
    shard.settle()
    assert shard.output(run_id) == 1
    shard.shard.core.settings.disk_budget_bytes = 1 << 30
    look(shard)
    assert shard.start("waiting").created


def test_a_shard_has_the_share_of_its_partitions():
    shard = host(partitions=[0])
    shard.start("waiting")
    shard.checkpoint()
    look(shard)
    shard.shard.core.settings.disk_budget_bytes = 1
    look(shard)
    used_bytes = shard.shard.core.host["disk_used_bytes"]
    for share, spent in ((used_bytes - 1, True), (used_bytes + 1, False)):
        shard.shard.core.settings.disk_budget_bytes = PARTITIONS * share
        look(shard)
        assert shard.shard.core.budget_spent is spent


def test_when_room_is_scarce_expired_runs_leave_without_waiting_for_their_turn():
    shard = host(replace(chain(), retention_ms=RETENTION_MS_MIN), waiting())
    shard.start("chain", 1)
    shard.settle()
    shard.checkpoint()
    look(shard, 3)
    shard.now_ms += RETENTION_MS_MIN
    shard.shard.core.settings.disk_budget_bytes = 1
    began_ms = shard.now_ms
    while shard.shard.core.disk.stores[0].counts()["ended"]:
        look(shard, 1)
    assert shard.now_ms - began_ms < SWEEP_MS // 2
    assert shard.shard.core.host["disk_used_bytes"] > 0
