"""Counts per workflow and task: what ended how often, how long it took, and never more names than the bound."""

from __future__ import annotations

import pytest
from msgspec import Raw

from support.shard_cases import TASKS, chain, host
from support.shards import Host, decode, encode
from wfe.model.definition import Definition, Task
from wfe.shard import tally
from wfe.shard.tally import OTHERS
from wfe.wire import messages as m
from wfe.wire.frames import Kind, decode_header
from wfe.wire.stats import RunTally, TaskTally


def finish(shard: Host, status: int = 0, took_us: int = 1_500) -> None:
    """Whatever is with the worker ends."""
    results = [
        m.TaskResult(s.run_id, s.node, s.activation, s.attempt, status, Raw(encode(1)), started_us=took_us)
        for s in shard.dispatched()
    ]
    shard.results(results)
    shard.turn()


def tasks(shard: Host) -> dict[tuple[str, str], TaskTally]:
    return {(each.workflow, each.task): each for each in shard.shard.core.tallies.tasks()}


def runs(shard: Host) -> dict[str, RunTally]:
    return {each.workflow: each for each in shard.shard.core.tallies.runs()}


def test_nodes_of_one_task_count_together_with_their_durations() -> None:
    shard = host(chain(2))
    shard.start("chain", 1)
    shard.turn()
    finish(shard, took_us=1_500)
    finish(shard, took_us=3)
    found = tasks(shard)["chain", "inc"]
    assert (found.done, found.failed, found.sum_us) == (2, 0, 1_503)
    assert [bits for bits, count in enumerate(found.buckets) if count] == [2, 11]
    assert (runs(shard)["chain"].started, runs(shard)["chain"].completed) == (1, 1)
    assert sum(runs(shard)["chain"].buckets) == 1


def test_workflows_that_take_turns_are_counted_apart() -> None:
    flows = [Definition(name, nodes=(Task(id="a", task="inc", with_={"x": 1}),)) for name in ("one", "other")]
    shard = host(*flows)
    for name in ("one", "other", "one"):
        shard.start(name)
        shard.turn()
        finish(shard)
    found = tasks(shard)
    assert (found["one", "inc"].done, found["other", "inc"].done) == (2, 1)


def test_failures_count_apart_and_stale_results_not_at_all() -> None:
    shard = host(Definition("flow", nodes=(Task(id="a", task="boom"),)))
    run_id = shard.start("flow").run_id
    shard.turn()
    (spec,) = shard.dispatched()
    error = m.TaskResult(run_id, spec.node, spec.activation, spec.attempt, 1, started_us=1 << 60)
    shard.results([error])
    shard.turn()
    shard.results([error])
    shard.turn()
    found = tasks(shard)["flow", "boom"]
    assert (found.done, found.failed, found.buckets[-1]) == (0, 1, 1)
    assert runs(shard)["flow"].failed == 1


def test_places_that_do_not_exist_are_no_defect() -> None:
    shard = host(chain(1))
    run_id = shard.start("chain", 1).run_id
    shard.turn()
    shard.results([m.TaskResult(run_id, node, 0, 1, 0) for node in (-1, 1, 99)])
    shard.turn()
    assert tasks(shard) == {}


def test_names_beyond_the_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "TALLIES_MAX", 2)
    flows = [Definition(f"flow{n}", nodes=(Task(id="a", task="inc", with_={"x": 1}),)) for n in range(5)]
    shard = Host(*flows, tasks=TASKS)
    shard.hello()
    for flow in flows:
        shard.start(flow.workflow)
        shard.turn()
        finish(shard)
    assert tasks(shard).keys() == {("flow0", "inc"), ("flow1", "inc"), (OTHERS, OTHERS)}
    assert (tasks(shard)[OTHERS, OTHERS].done, runs(shard)[OTHERS].completed) == (3, 3)


def test_what_was_counted_travels_with_the_statistics() -> None:
    shard = host(chain(1))
    shard.start("chain", 1)
    shard.turn()
    finish(shard)
    shard.now_ms += 2_000
    shard.shard.core.host["memory_bytes"] = 7
    shard.shard.turn(shard.now_ms)
    sent = [parts for _, parts in shard.back if decode_header(parts[0]).kind == Kind.SHARD_STATS]
    stats = decode(sent[-1][1], type=m.ShardStats)
    assert (stats.tasks[0].task, stats.tasks[0].done, stats.runs[0].completed) == ("inc", 1, 1)
    assert stats.gauges["memory_bytes"] == 7
