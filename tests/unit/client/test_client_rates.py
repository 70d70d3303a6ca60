"""What a server does right now, from two statuses."""

from __future__ import annotations

import msgspec

from wfe.client.rates import rates
from wfe.wire.messages import Latency, ServerStatus, ShardStats, ShardStatus, WorkerStatus
from wfe.wire.stats import RunTally, TaskTally


def status(*shards: ShardStatus) -> ServerStatus:
    workers = [WorkerStatus("a", True), WorkerStatus("b", True, state="starting")]
    return ServerStatus("s", "serving", "1", "d", "sync", 4, 0, list(shards), workers)


def shard(index: int, time_ms: int, done: int, failed: int = 0, epoch: int = 1, workflow: str = "order") -> ShardStatus:
    stats = ShardStats(
        index, epoch, time_ms, {"tasks_dispatched": done, "events": 3 * done},
        {"runs_open": 2, "tasks_ready": 5, "memory_bytes": 64 << 20}, {"commit": Latency(1, 100, 2_500, 3_000)},
        [TaskTally(workflow, "charge", done, failed, 2_000 * (done + failed))],
        [RunTally(workflow, done, done, failed, 0, 500 * (done + failed))],
    )  # fmt: skip
    return ShardStatus(index, "serving", stats=stats)


def test_rates_are_sums_over_shards_by_their_own_clocks() -> None:
    before = status(shard(0, 1_000, 0), shard(1, 5_000, 100))
    found = rates(before, status(shard(0, 3_000, 20, 2), shard(1, 6_000, 130)))
    assert [each.tasks_per_s for each in found.shards] == [10, 30]
    assert (found.shards[0].commit_p99_ms, found.shards[0].memory_mib, found.shards[0].tasks_ready) == (2.5, 64, 5)
    (workflow,) = found.workflows
    assert (workflow.started_per_s, workflow.ended_per_s, workflow.failed, workflow.mean_s) == (40, 41, 2, 0.5)
    (task,) = found.tasks
    assert (task.attempts_per_s, task.failed_total, task.mean_ms) == (41, 2, 2)
    assert found.workers == 1


def test_a_shard_that_started_anew_counts_from_its_start() -> None:
    found = rates(status(shard(0, 1_000, 500)), status(shard(0, 2_000, 7, epoch=2)))
    assert found.shards[0].tasks_per_s == 7
    assert found.workflows[0].started_per_s == 7


def test_a_shard_without_statistics_is_listed_and_the_busiest_come_first() -> None:
    before = status(shard(0, 1_000, 0), shard(1, 1_000, 0, workflow="b"), ShardStatus(2, "down"))
    after = status(shard(0, 2_000, 1), shard(1, 2_000, 5, workflow="b"), ShardStatus(2, "down"))
    found = rates(before, after)
    assert found.shards[2].state == "down"
    assert [each.workflow for each in found.workflows] == ["b", "order"]


def test_nothing_between_two_equal_statuses_is_no_division_by_zero() -> None:
    same = status(shard(0, 1_000, 3))
    document = rates(same, same).document()
    assert msgspec.json.decode(msgspec.json.encode(document))["workflows"][0]["workflow"] == "order"
