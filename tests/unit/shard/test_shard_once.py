"""Tasks that must not run twice (`redeliver=False`): whatever dies, they are given out once, or are lost with it."""

from __future__ import annotations

import pytest

from support.shard_cases import TASKS
from support.shards import Host, encode
from wfe.limits import RECOVERY_GRACE_MS
from wfe.model.definition import Definition, Task
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header

ONCE = Definition(
    "once",
    params={"n": {"type": "integer"}},
    nodes=(Task(id="t", task="inc", with_={"x": "${n}"}, redeliver=False),),
    output="${t}",
)


def host(**rest: object) -> Host:
    made = Host(ONCE, tasks=TASKS)
    made.hello(**rest)
    return made


def lost(shard: Host, run_id: str) -> bool:
    error = shard.outcomes[run_id].error
    return error is not None and error.type == "WorkerLost"


def recover(shard: Host, held: list[m.TaskRef] | None = None) -> None:
    shard.crash()
    shard.request(Kind.AWAIT, 0, list(shard.shard.core.partitions[0].entries))
    if held is not None:
        shard.hello(b"w1", held=held)
    shard.now_ms += RECOVERY_GRACE_MS + 1
    shard.turn()
    shard.turn()


def test_it_runs_and_that_it_may_have_begun_is_durable_before_it_leaves():
    shard = host()
    wanted = m.StartRun(shard.run_id(0), m.Raw(encode(1)), watch=True)
    shard.request(Kind.START, 0, [wanted], workflow="once")
    shard.turn()
    shard.turn()
    assert not shard.dispatched(), "the batch that writes it down comes first"
    shard.turn()
    (spec,) = shard.dispatched()
    assert shard.shard.core.partitions[0].entries[spec.run_id].run.handed_out == {0: 1}
    shard.results([shard.execute(spec)])
    shard.settle()
    assert shard.output(spec.run_id) == 2


def test_out_when_the_shard_died_and_presented_by_nobody_it_is_lost():
    shard = host()
    run_id = shard.start("once", 1).run_id
    for _ in range(3):
        shard.turn()
    assert len(shard.dispatched()) == 1
    recover(shard)
    shard.hello(b"w2")
    shard.turn()
    assert not shard.dispatched()
    assert lost(shard, run_id)


def test_out_when_the_shard_died_and_presented_by_its_worker_it_goes_on():
    shard = host()
    run_id = shard.start("once", 1).run_id
    for _ in range(3):
        shard.turn()
    (spec,) = shard.dispatched()
    recover(shard, [m.TaskRef(spec.run_id, spec.node, spec.activation, spec.attempt)])
    shard.results([shard.execute(spec)])
    shard.settle()
    assert shard.output(run_id) == 2
    assert len(shard.executions) == 1


def test_ready_but_with_nobody_when_the_shard_died_it_runs_afterwards():
    shard = Host(ONCE, tasks=TASKS)
    run_id = shard.start("once", 1).run_id
    recover(shard)
    shard.hello()
    shard.settle()
    assert shard.output(run_id) == 2


@pytest.mark.parametrize("leaving", [False, True])
def test_beyond_the_slots_of_a_worker_that_is_gone_they_may_have_begun_too(leaving: bool):
    shard = host()
    ids = [shard.start("once", n).run_id for n in range(20)]
    for _ in range(3):
        shard.turn()
    assert len(shard.dispatched()) == 20
    if leaving:
        shard.worker_frame(Kind.BYE, None)
    else:
        shard.shard.on_back([header(Kind.WORKERS), encode(m.KnownWorkers([], ["w1"]))], shard.now_ms)
    shard.hello(b"w2")
    shard.settle()
    assert all(lost(shard, run_id) for run_id in ids)
    assert not shard.executions


def test_what_never_reached_the_worker_is_given_out_again():
    shard = host()
    run_id = shard.start("once", 1).run_id
    for _ in range(3):
        shard.turn()
    assert shard.dispatched()  # the frame was lost: the worker says so in its hello
    shard.hello()
    shard.settle()
    assert shard.output(run_id) == 2


def test_withdrawn_before_it_left_it_does_not_leave():
    shard = host(credit=0)
    run_id = shard.start("once", 1).run_id
    shard.worker_frame(Kind.CREDIT, m.Credit(10, 1 << 20))
    shard.turn()
    shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "cancel", "c"))
    shard.settle()
    assert not shard.executions
    assert shard.outcomes[run_id].status == "cancelled"
