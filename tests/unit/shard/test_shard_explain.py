"""What a shard says of tasks that wait: who offers them, and whose slots are taken."""

from __future__ import annotations

from support.shard_cases import TASKS, chain
from support.shards import Host
from wfe.model.definition import Definition, Task
from wfe.model.ids import partition_of
from wfe.wire import messages as m
from wfe.wire.frames import Kind
from wfe.wire.why import Cause, LockQuery, LockQueue, RunWhy


def cause(shard: Host, run_id: str) -> Cause:
    (found,) = shard.ask(Kind.WHY, partition_of(run_id), m.GetRun(run_id), RunWhy).causes
    return found


def newer() -> Definition:
    return Definition("newer", nodes=(Task(id="a", task="inc", task_version=3, with_={"x": 1}),))


def test_without_any_worker_that_is_the_reason() -> None:
    shard = Host(chain(), tasks=TASKS)
    found = cause(shard, shard.start("chain", 1).run_id)
    assert (found.kind, found.detail, found.reason, found.workers) == ("worker", "inc", "no_workers", 0)


def test_a_version_that_nobody_offers_is_told_from_a_task_that_nobody_offers() -> None:
    other = Definition("other", nodes=(Task(id="a", task="unheard"),))
    shard = Host(newer(), other, tasks=TASKS)
    shard.hello()
    found = cause(shard, shard.start("newer").run_id)
    assert (found.reason, found.task_version, found.offers) == ("version", 3, [1])
    assert cause(shard, shard.start("other").run_id).reason == "nobody"


def test_taken_slots_are_named_with_the_runs_that_hold_them() -> None:
    shard = Host(chain(), tasks=TASKS)
    shard.hello(credit=1)
    first, second = shard.start("chain", 1).run_id, shard.start("chain", 1).run_id
    shard.turn()
    holder = cause(shard, first)
    assert (holder.kind, holder.detail) == ("task", "inc on w1")
    found = cause(shard, second)
    assert (found.reason, found.workers, found.slots) == ("slots", 1, 16)
    assert [place.split("/")[0] for place in found.by] == [first]


def test_a_run_that_has_ended_waits_for_nothing() -> None:
    shard = Host(chain(1), tasks=TASKS)
    shard.hello()
    run_id = shard.start("chain", 1).run_id
    shard.settle()
    found = shard.ask(Kind.WHY, partition_of(run_id), m.GetRun(run_id), RunWhy)
    assert (found.view.status, found.causes) == ("completed", [])


def test_what_does_not_exist_is_said() -> None:
    shard = Host(chain(), tasks=TASKS)
    assert shard.ask(Kind.LOCK, 0, LockQuery("nobody\x1fwants\x1fit"), LockQueue).places == []
    for run_id in ("nonsense", shard.run_id(0)):
        error = shard.ask(Kind.WHY, 0, m.GetRun(run_id))
        assert error.code == "unknown_run"
