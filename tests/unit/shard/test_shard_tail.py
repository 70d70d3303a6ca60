"""The log's tail: with many runs in it a shard serves before it has replayed all of them."""

from __future__ import annotations

import pytest

from support.shard_cases import TASKS, chain, host, waiting
from support.shards import Host, encode
from wfe.errors import DataCorrupt
from wfe.journal.log import Chunk
from wfe.limits import RECOVERY_GRACE_MS
from wfe.model.definition import Definition, Map, Sleep, SubWorkflow, Task
from wfe.partition.to_come import EntriesToCome
from wfe.shard import recovery
from wfe.sim.disk import SimCrashed
from wfe.wire import messages as m
from wfe.wire.approvals import ApprovalPage, ApprovalsQuery
from wfe.wire.definitions import CarryQuery, UsageQuestion
from wfe.wire.frames import Kind, header

LAZY = {"replayed_at_once": 0, "replayed_per_turn": 1}


def sleeper() -> Definition:
    return Definition("sleeper", nodes=(Sleep(id="s", duration_ms=5_000),), output=1)


def crashed(runs: int = 6) -> tuple[Host, list[str]]:
    """A shard that has just come back, with so many runs that wait in its log's tail only."""
    shard = host(waiting(), sleeper(), chain(), settings=LAZY)
    ids = [shard.start("waiting").run_id for _ in range(runs)]
    shard.crash()
    return shard, ids


def turns(shard: Host) -> None:
    """More than the tail has runs."""
    for _ in range(12):
        shard.turn()


def test_a_run_that_is_asked_for_is_replayed_before_the_others():
    shard, ids = crashed()
    left = shard.shard.recovery.tail
    assert left.left == 6
    entry = shard.shard.core.partition_for(ids[3]).entries.get(ids[3])
    assert entry.run.id == ids[3]
    assert left.left == 5
    assert shard.get(ids[5]).status == "waiting"
    assert left.left > 0


def test_whoever_goes_through_all_runs_of_a_partition_finds_them_all():
    shard, ids = crashed()
    found = {run_id for partition in shard.shard.core.partitions.values() for run_id in partition.entries}
    assert found == set(ids)
    assert shard.shard.recovery.tail.left == 0


def test_a_list_waits_for_all_runs_and_others_are_served_meanwhile():
    shard, ids = crashed()
    number = shard.request(Kind.LIST, 0, m.ListRuns(limit=100))
    approvals = shard.request(Kind.APPROVALS, 0, ApprovalsQuery(limit=100))
    left = shard.shard.recovery.tail
    for expected in (5, 4):
        shard.turn()
        assert left.left == expected
    assert shard.reply(number) is None
    assert shard.get(ids[5]).status == "waiting"
    assert left.left
    turns(shard)
    page = shard.reply(number, m.RunPage)
    assert [view.id for view in page.runs] == sorted(ids, reverse=True)
    assert shard.reply(approvals, ApprovalPage) == ApprovalPage([], False)


def test_a_list_that_waited_and_makes_no_sense_is_refused():
    shard, _ = crashed()
    number = shard.request(Kind.CARRY, 0, CarryQuery("", b"x", ""))
    turns(shard)
    assert shard.reply(number).code == "definition"


def test_a_partition_of_which_somebody_wants_all_runs_is_replayed_first():
    shard, _ = crashed()
    other = shard.shard.core.partition_for(shard.start("waiting", run_id=shard.run_id(1)).run_id)
    shard.crash()
    other = shard.shard.core.partitions[other.number]
    assert len(other.entries) == 1
    number = shard.request(Kind.LIST, other.number, m.ListRuns(limit=100))
    for _ in range(4):
        shard.turn()
    assert len(shard.reply(number, m.RunPage).runs) == 1
    assert shard.shard.recovery.tail.left


def test_who_asks_which_definitions_are_used_waits_for_all_runs():
    shard, ids = crashed()
    used = shard.get(ids[0]).definition
    shard.shard.on_back([header(Kind.USAGE), encode(UsageQuestion(1, [used]))], shard.now_ms)
    assert shard.shard.recovery.tail.left
    turns(shard)
    assert [set(answer.runs) for answer in shard.used] == [{used}]


def test_after_the_last_slice_nothing_is_left_of_it():
    shard, ids = crashed()
    core = shard.shard.core
    assert shard.shard.next_wake_ms(shard.now_ms) == 0
    assert not shard.shard.checkpoints.clean
    for _ in range(10):
        shard.turn()
    assert (core.live_runs, core.open_runs) == (6, 6)
    assert not any(isinstance(partition.entries, EntriesToCome) for partition in core.partitions.values())
    shard.checkpoint()
    assert shard.shard.checkpoints.tail_bytes == 0
    assert [shard.get(run_id).status for run_id in ids] == ["waiting"] * 6


def test_nothing_is_written_or_trimmed_before_all_runs_are_in_memory():
    shard, ids = crashed()
    shard.shard.core.settings.replayed_per_turn = 0
    shard.ask(Kind.SIGNAL, 0, m.SignalRun(ids[0], "go", m.Raw(encode(1)), "e"))
    before = shard.shard.core.counters["checkpoint_steps"]
    for _ in range(20):
        shard.now_ms += 100
        shard.turn()
    assert shard.shard.recovery.tail.left
    assert shard.shard.core.counters["checkpoint_steps"] == before
    shard.crash()  # so nothing of the others is lost
    shard.settle()
    assert [shard.get(run_id).status for run_id in ids] == ["completed", *["waiting"] * 5]


def test_runs_are_written_in_the_order_of_the_log_whoever_was_asked_for_first():
    shard, ids = crashed()
    for run_id in reversed(ids):
        assert shard.shard.core.partition_for(run_id).entries[run_id].run.id == run_id
    shard.turn()
    for dirty in shard.shard.checkpoints._dirty.values():
        positions = [entry.dirty_at for entry in dirty]
        assert positions == sorted(positions)


def test_a_run_that_ended_in_the_tail_does_not_count_as_open():
    shard = host(waiting(), chain(), settings=LAZY)
    stored = [shard.start("waiting").run_id for _ in range(2)]
    shard.checkpoint()
    ended = shard.start("chain", 1).run_id
    shard.start("waiting")
    shard.settle()
    shard.ask(Kind.SIGNAL, 0, m.SignalRun(stored[0], "go", m.Raw(encode(1)), "e"))
    shard.settle()
    assert shard.shard.core.open_runs == 2
    shard.crash()
    shard.settle()
    assert shard.shard.core.open_runs == 2
    assert [shard.get(run_id).status for run_id in (ended, *stored)] == ["completed", "completed", "waiting"]


def test_timers_of_the_tail_and_of_the_stores_fire(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recovery, "PAGE_RUNS", 2)
    shard = host(sleeper(), settings=LAZY)
    first = [shard.start("sleeper").run_id for _ in range(5)]
    shard.checkpoint()
    second = [shard.start("sleeper").run_id for _ in range(5)]
    shard.crash()
    shard.now_ms += 10_000
    shard.settle()
    assert {shard.get(run_id).status for run_id in (*first, *second)} == {"completed"}


def test_a_run_that_does_not_replay_stops_the_shard_whoever_met_it():
    shard, ids = crashed()
    partition = shard.shard.core.partition_for(ids[2])
    pieces = shard.shard.recovery.tail._waiting[partition.number][ids[2]]
    del pieces[0]
    if not pieces:
        pieces.append((1, replaced_chunk(shard, partition.number, ids[2])))
    with pytest.raises(DataCorrupt, match="first events"):
        partition.entries.get(ids[2])  # somebody who answers his client with whatever error he meets
    with pytest.raises(DataCorrupt, match="first events"):
        shard.turn()


def replaced_chunk(shard: Host, partition: int, run_id: str) -> Chunk:
    return Chunk(partition, shard.epoch, run_id, 5, 1, encode([shard.now_ms, []]))


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_a_crash_at_any_write_changes_no_result(when: str):
    nodes = (
        Map(id="m", items="n", do=(SubWorkflow(id="sub", workflow="chain", with_={"n": "${item}"}),)),
        Sleep(id="nap", duration_ms=50),
        Task(id="last", task="inc", with_={"x": "${m[0]}"}),
    )
    parent = Definition("parent", params={"n": {}}, nodes=nodes, output=["${m}", "${last}"])
    for writes in range(0, 400, 2):
        shard = Host(parent, chain(2), tasks=TASKS, settings=LAZY)
        shard.hello()
        run_id = shard.run_id(1)
        shard.disk.plan_after(writes, when)  # type: ignore[arg-type]
        was_crashed = False
        for _ in range(200):
            try:
                if run_id not in shard.outcomes:
                    shard.start("parent", [0, 1, 2], run_id=run_id, resent=was_crashed)
                shard.settle(40)
            except SimCrashed:
                was_crashed = True
                shard.crash()
                shard.hello()
            shard.now_ms += RECOVERY_GRACE_MS
            if run_id in shard.outcomes:
                break
        assert shard.output(run_id) == [[2, 3, 4], 3]
        if not was_crashed:
            break
    else:
        raise AssertionError("there are always further writes")
