"""Checkpoint steps that are made in slices, while the runs in them go on."""

from __future__ import annotations

import pytest
from msgspec import Raw

from support.shard_cases import host, waiting
from support.shards import Host, encode
from wfe.model.definition import Definition, Map, Task
from wfe.shard import checkpoints
from wfe.shard.checkpoints import SLICE_RUNS_MIN
from wfe.wire import messages as m
from wfe.wire.frames import Kind

RUNS = SLICE_RUNS_MIN + 4
QUICK = Definition("quick", params={"n": {}}, output="${n}")


def with_a_step_half_made() -> tuple[Host, list[str]]:
    """Runs that wait; the step that writes them has seen the older ones only."""
    shard = host()
    ids = [shard.start("waiting").run_id for _ in range(RUNS)]
    length = shard.shard.checkpoints.tail_bytes
    shard.shard.core.settings.tail_bytes = length * 3 // 4  # more than half of it, or the whole step is made at once
    shard.shard.turn(shard.now_ms)
    assert not shard.shard.checkpoints.in_flight
    assert not shard.shard.checkpoints.clean
    return shard, ids


def signal(shard: Host, run_id: str, number: int) -> None:
    shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", Raw(encode(number)), f"event-{run_id}"))


def test_a_step_is_made_in_slices_and_everything_reaches_the_stores():
    shard, ids = with_a_step_half_made()
    shard.checkpoint()
    shard.crash()
    assert {shard.get(run_id).status for run_id in ids} == {"waiting"}
    assert shard.disk_is_sound()


def test_a_run_that_ends_while_its_step_is_made_is_ended_in_the_next_one():
    shard, ids = with_a_step_half_made()
    signal(shard, ids[0], 5)
    signal(shard, ids[-1], 6)
    shard.checkpoint()
    assert shard.disk_is_sound()
    shard.crash()
    assert (shard.get(ids[0]).status, shard.get(ids[-1]).status) == ("completed", "completed")
    assert shard.get(ids[1]).status == "waiting"


def test_the_log_keeps_what_a_step_that_is_being_made_takes_over():
    shard, ids = with_a_step_half_made()
    shard.crash()
    assert {shard.get(run_id).status for run_id in ids} == {"waiting"}
    assert shard.disk_is_sound()


def test_whoever_starts_runs_that_wait_faster_than_they_are_written_is_held_up():
    shard = host()
    settings = shard.shard.core.settings
    settings.live_runs_max = 2
    shard.writer.step = lambda: False  # the disk takes its time
    for _ in range(4):
        assert shard.start("waiting").created
    settings.tail_bytes = shard.shard.checkpoints.tail_bytes // 2
    assert shard.start("waiting").error.code == "busy"
    del shard.writer.step
    shard.checkpoint()
    assert shard.start("waiting").created


def test_a_run_that_commits_again_and_again_is_written_before_its_part_of_the_log_is_long(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(checkpoints, "RUN_CHUNKS_MAX", 10)
    one_by_one = Map(id="m", items="n", do=(Task(id="t", task="inc", with_={"x": "${item}"}),), max_parallel=1)
    shard = host(Definition("turns", params={"n": {}}, nodes=(one_by_one,)))
    run_id = shard.start("turns", list(range(60))).run_id
    most = 0
    while run_id not in shard.outcomes:
        shard.turn()
        shard.work()
        for entry in shard.shard.core.partitions[0].entries.values():
            most = max(most, len(entry.chunks))
    assert shard.shard.core.counters["commits"] > 50
    assert 10 <= most < 20
    assert shard.shard.checkpoints.tail_bytes < shard.shard.core.settings.tail_bytes
    shard.crash()
    assert shard.get(run_id).status == "completed"
    assert shard.disk_is_sound()


def under_load(shard: Host, turns: int, ended: int) -> list[int]:
    """Runs that end at once, as many each turn, which is 100 ms: never idle. How many are in memory after each turn."""
    here = []
    for _ in range(turns):
        shard.now_ms += 100
        for _ in range(ended):
            shard.request(Kind.START, 0, [m.StartRun(shard.run_id(), Raw(encode(1)))], workflow="quick")
        shard.turn()
        here.append(len(shard.shard.core.partitions[0].entries))
    return here


def test_ended_runs_leave_memory_under_load_long_before_the_log_is_long():
    shard = host(QUICK, waiting())
    shard.shard.core.settings.ended_wait_ms = 1_000
    here = under_load(shard, turns=100, ended=5)
    assert max(here) < 200  # 50 per second
    assert shard.shard.core.counters["checkpoint_steps"] > 3
    assert shard.shard.core.counters["runs_completed"] == 500


def test_ended_runs_are_written_before_open_ones_that_are_older():
    shard = host(QUICK, waiting())
    ids = [shard.start("waiting").run_id for _ in range(3)]
    shard.shard.core.settings.ended_wait_ms = 1_000
    under_load(shard, turns=50, ended=5)
    partition = shard.shard.core.partitions[0]
    assert all(partition.entries[run_id].dirty_at for run_id in ids)
    assert shard.shard.core.counters["checkpoint_steps"] > 0
    shard.crash()
    assert {shard.get(run_id).status for run_id in ids} == {"waiting"}
    assert shard.disk_is_sound()


def test_runs_that_had_ended_before_a_crash_leave_memory_under_load_too():
    shard = host(QUICK)
    under_load(shard, turns=10, ended=5)
    shard.crash()
    shard.shard.core.settings.ended_wait_ms = 1_000
    here = under_load(shard, turns=30, ended=1)
    assert here[-1] < 40
    assert shard.disk_is_sound()


def test_runs_that_end_at_once_are_written_as_fast_as_they_come():
    """Each step took 256 runs, whatever came: if more did per turn, they filled memory, and starts were refused."""
    shard = host(QUICK)
    settings = shard.shard.core.settings
    settings.live_runs_max, settings.tail_bytes = 2_000, 10_000
    here = under_load(shard, turns=12, ended=600)
    assert shard.shard.core.counters["starts_refused_busy"] == 0
    assert here[-1] < 2_000
