"""Alerts over time: windows over counters, hold times, repeats, all-clears, and what an earlier process announced."""

from __future__ import annotations

from typing import Any

import pytest

from wfe.gateway.alerts.conditions import Judge, percentile_ms
from wfe.gateway.alerts.delivery import Delivery
from wfe.gateway.alerts.rules import Rule, read_alerting
from wfe.gateway.alerts.samples import SAMPLES_MAX, Totals, Window
from wfe.gateway.alerts.service import Alerts
from wfe.gateway.alerts.states import States
from wfe.wire.alerts import AlertsState
from wfe.wire.messages import Latency, ServerStatus, ShardStats, ShardStatus, WorkerStatus
from wfe.wire.stats import BUCKETS, RunTally, TaskTally


def rule(when: str, **keys: Any) -> Rule:
    (found,) = read_alerting({"rules": {"r": {"when": when, **keys}}}).rules
    return found


def shard(index: int = 0, epoch: int = 1, state: str = "serving", restarts: int = 0, **stats: Any) -> ShardStatus:
    found = ShardStats(index, epoch, 0, stats.pop("counters", {}), stats.pop("gauges", {}), stats.pop("latencies", {}))
    found.runs, found.tasks = stats.pop("runs", []), stats.pop("tasks", [])
    return ShardStatus(index, state, 1, epoch, restarts, [], found)


def status(*shards: ShardStatus, workers: int = 1) -> ServerStatus:
    connected = [WorkerStatus(f"w{n}", True) for n in range(workers)]
    return ServerStatus("s", "serving", "1", "data", "sync", 4, 0, list(shards) or [shard()], connected)


def runs(workflow: str, ended: int, failed: int, buckets: dict[int, int] | None = None) -> RunTally:
    counts = [0] * BUCKETS
    for bits, count in (buckets or {}).items():
        counts[bits] = count
    return RunTally(workflow, ended, ended - failed, failed, 0, 0, counts)


class Judged:
    """A rule with answers of a server, in turn."""

    def __init__(self, found: Rule) -> None:
        self.totals, self.judge, self.now_ms = Totals(), Judge(found), 0

    def __call__(self, answer: ServerStatus | None, after_ms: int = 10_000) -> dict[str, float] | None:
        self.now_ms += after_ms
        if answer is not None:
            self.totals.add(answer)
        return self.judge.values(self.now_ms, answer, self.totals)


def test_the_share_of_failures_counts_within_its_window_only() -> None:
    judged = Judged(rule("run_failures", above="10%", window="1m", at_least=10))
    assert judged(status(shard(runs=[runs("pay", 1_000, 1_000)]))) == {}, "what was before is not known"
    assert judged(status(shard(runs=[runs("pay", 1_005, 1_005)]))) == {}, "too few"
    assert judged(status(shard(runs=[runs("pay", 1_020, 1_005), runs("other", 20, 0)]))) == {"pay": 0.25, "other": 0.0}
    for _ in range(6):
        judged(status(shard(runs=[runs("pay", 1_020, 1_005), runs("other", 20, 0)])))
    assert judged(status(shard(runs=[runs("pay", 1_040, 1_005), runs("other", 20, 0)]))) == {"pay": 0.0}


def test_a_shard_that_starts_anew_counts_from_zero_and_loses_nothing() -> None:
    judged = Judged(rule("lost_tasks", above=5, window="5m"))
    assert judged(status(shard(counters={"tasks_lost": 100}))) == {"": 0.0}
    assert judged(status(shard(counters={"tasks_lost": 103}))) == {"": 3.0}
    assert judged(status(shard(epoch=2, counters={"tasks_lost": 4}))) == {"": 7.0}
    assert judged(status(shard(epoch=2, counters={"tasks_lost": 6}), shard(1, counters={"tasks_lost": 1}))) == {"": 9.0}


def test_conditions_on_what_is_so_now() -> None:
    latency = Latency(10, 1_000, 250_000, 300_000)
    gauges = {"tasks_ready": 7, "memory_bytes": 5 << 30, "disk_free_bytes": 1 << 30}
    answer = status(
        shard(gauges=gauges, latencies={"commit": latency}),
        shard(1, state="down", gauges={"tasks_ready": 1, "memory_bytes": 1, "disk_free_bytes": 9 << 30}),
        workers=3,
    )
    expected = {
        "ready_tasks": {"": 8.0},
        "memory": {"shard 0": float(5 << 30), "shard 1": 1.0},
        "free_disk": {"": float(1 << 30)},
        "shards_down": {"": 1.0},
        "workers": {"": 3.0},
        "commit_time": {"shard 0": 250.0},
        "server_down": {"": 0.0},
    }
    keys: dict[str, dict[str, Any]] = {
        "ready_tasks": {"above": 5}, "memory": {"above": "4GiB"}, "free_disk": {"below": "2GiB"},
        "commit_time": {"above": "100ms"},
    }  # fmt: skip
    for when, values in expected.items():
        judged = Judged(rule(when, **keys.get(when, {})))
        assert judged(answer) == values
        assert judged(None) == ({"": 1.0} if when == "server_down" else None)


def test_growth_failures_of_tasks_and_restarts() -> None:
    backlog = Judged(rule("backlog_growth", above=10, window="1m"))
    assert backlog(status(shard(gauges={"tasks_ready": 50}))) == {"": 0.0}
    assert backlog(status(shard(gauges={"tasks_ready": 90}))) == {"": 40.0}
    tasks = Judged(rule("task_failures", above="10%", workflow="pay", task="charge", at_least=1))
    tasks(status())
    found = [TaskTally("pay", "charge", 3, 1), TaskTally("pay", "mail", 0, 9), TaskTally("x", "charge", 0, 9)]
    assert tasks(status(shard(tasks=found))) == {"pay charge": 0.25}
    restarts = Judged(rule("shard_restarts"))
    restarts(status())
    assert restarts(status(shard(epoch=2, restarts=1))) == {"shard 0": 1.0}
    refused = Judged(rule("refused_starts"))
    refused(status())
    counters = {"starts_refused_busy": 2, "starts_refused_disk": 1}
    assert refused(status(shard(counters=counters))) == {"": 3.0}


def test_percentiles_of_runs_lie_within_their_bucket() -> None:
    judged = Judged(rule("run_time", above="1s", at_least=10))
    judged(status(shard(runs=[runs("pay", 0, 0)])))
    values = judged(status(shard(runs=[runs("pay", 100, 0, {7: 98, 12: 2})])))
    assert values is not None
    assert 2_048 <= values["pay"] <= 4_096
    counts = tuple(98 if bits == 7 else 2 if bits == 12 else 0 for bits in range(20))
    assert 64 <= percentile_ms(counts, 0.5) <= 128
    assert percentile_ms((0, 0), 0.5) == 0


def test_a_window_keeps_a_bounded_number_of_points() -> None:
    window = Window(3_600_000, lambda key: True)
    for second in range(10_000):
        window.grown(second * 1_000, {("a",): (second,)})
    assert len(window._points) <= SAMPLES_MAX + 2
    grown = window.grown(10_000_000, {("a",): (10_000,)})[("a",)][0]
    assert 3_600 <= grown <= 3_600 * (SAMPLES_MAX + 2) / SAMPLES_MAX


# ---- what is said when


def said(states: States, *steps: tuple[int, float | None]) -> list[tuple[int, str]]:
    found = []
    for now_ms, value in steps:
        notices = states.judge(now_ms, None if value is None else {"": value})
        found += [(now_ms, notice.kind) for notice in notices]
    return found


def test_a_condition_must_hold_for_a_while_and_is_said_once() -> None:
    states = States(rule("ready_tasks", above=10, **{"for": "1m"}))
    assert said(states, (0, 11), (30_000, 12), (59_000, 12)) == []
    assert said(states, (60_000, 12), (70_000, 13), (80_000, None)) == [(60_000, "firing")]
    assert [view.state for view in states.views()] == ["firing"]


def test_a_condition_that_holds_too_shortly_is_never_said() -> None:
    states = States(rule("ready_tasks", above=10, **{"for": "1m"}))
    assert said(states, (0, 11), (30_000, 10), (40_000, 11), (99_000, 11)) == []
    assert [(view.state, view.since_ms) for view in states.views()] == [("pending", 40_000)]


def test_it_is_said_again_after_a_while_and_over_when_it_has_been_fine_for_as_long() -> None:
    states = States(rule("ready_tasks", above=10, repeat="10m", **{"for": "1m"}))
    assert said(states, (0, 11), (60_000, 11), (600_000, 11), (660_000, 11)) == [
        (60_000, "firing"),
        (660_000, "firing"),
    ]
    assert said(states, (670_000, 5), (700_000, 11), (710_000, 5), (769_000, 5)) == []
    assert said(states, (770_000, 5), (900_000, 5)) == [(770_000, "resolved")]
    assert [view.state for view in states.views()] == ["ok"]


def test_ids_differ_between_announcements_and_stay_the_same_for_one() -> None:
    states = States(rule("ready_tasks", above=10, repeat="10m", **{"for": "0s"}))
    notices = [n for at in (0, 600_000) for n in states.judge(at, {"": 11.0})] + states.judge(700_000, {"": 1.0})
    assert [notice.kind for notice in notices] == ["firing", "firing", "resolved"]
    assert len({notice.id for notice in notices}) == 3


def test_subjects_are_judged_apart_and_one_that_is_gone_is_over() -> None:
    states = States(rule("memory", above="1GiB", **{"for": "0s"}))
    first = states.judge(0, {"shard 0": float(2 << 30), "shard 1": 1.0})
    assert [(notice.subject, notice.value) for notice in first] == [("shard 0", "2 GiB")]
    assert "memory of a shard's process of shard 0: 2 GiB, above 1 GiB" in first[0].summary
    assert [notice.kind for notice in states.judge(1_000, {})] == ["resolved"]


def test_what_was_announced_by_an_earlier_process_is_not_announced_again() -> None:
    found = rule("ready_tasks", above=10, **{"for": "1m"})
    before = States(found)
    said(before, (1_000, 11), (61_000, 12))
    after = States(found)
    after.restore(before.views())
    assert said(after, (70_000, 12), (80_000, 5), (140_000, 5)) == [(140_000, "resolved")]


@pytest.mark.parametrize("state", [AlertsState(), AlertsState(5, [], [])])
def test_a_look_judges_all_rules_and_tells_what_it_knows(state: AlertsState) -> None:
    table = {"rules": {"down": {"when": "server_down", "for": "0s"}, "w": {"when": "workers", "for": "0s"}}}
    alerting = read_alerting(table)
    delivery = Delivery(alerting.receivers, lambda: 1_000)
    alerts = Alerts(alerting, delivery, lambda: 1_000)
    alerts.restore(state)
    found = {view.rule: view.state for view in alerts.look(status(workers=0)).alerts}
    assert found == {"down": "ok", "w": "firing"}
    found = {view.rule: view.state for view in alerts.look(None).alerts}
    assert found == {"down": "firing", "w": "firing"}, "what is not known changes nothing"
