"""A defect of wfe costs time, never a command: whatever met one is applied again when its run is resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec import Raw

from support.shard_cases import chain, host, waiting
from support.shards import Host, encode
from wfe.core import decide, signals
from wfe.model.definition import Definition, StartWorkflow, SubWorkflow
from wfe.model.ids import partition_of
from wfe.model.mail import ChildControl
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header


@contextmanager
def defect(name: str = "advance") -> Iterator[None]:
    """While it lasts, every command that comes this far breaks, after it has changed something."""
    with pytest.MonkeyPatch.context() as patched:

        def broken(*_: object, **__: object) -> None:
            raise IndexError("a defect")

        for module in (decide, signals):
            if hasattr(module, name):
                patched.setattr(module, name, broken)
        yield


def control(shard: Host, run_id: str, action: str) -> object:
    number = shard.request(Kind.CONTROL, partition_of(run_id), m.ControlRun(run_id, action, f"{action}{shard.now_ms}"))
    shard.now_ms += 1
    shard.settle()
    return shard.reply(number)


def signal(shard: Host, run_id: str, value: int, event_id: str = "event") -> None:
    shard.ask(Kind.SIGNAL, partition_of(run_id), m.SignalRun(run_id, "go", Raw(encode(value)), event_id))
    shard.settle()


def incident(shard: Host, run_id: str) -> bool:
    view = shard.get(run_id)
    return view.status == "paused" and view.waiting_for[0].kind == "incident"


def child_of(shard: Host, run_id: str) -> str:
    return next(w.detail for w in shard.get(run_id).waiting_for if w.kind == "run")


def test_a_signal_is_not_lost():
    shard = host()
    run_id = shard.start("waiting").run_id
    with defect():
        signal(shard, run_id, 5)
    assert incident(shard, run_id)
    signal(shard, run_id, 6, "event")  # the client repeats it, not knowing
    control(shard, run_id, "resume")
    assert shard.outcomes[run_id].status == "completed"


def test_a_command_that_somebody_repeats_is_kept_once():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    (spec,) = shard.dispatched()
    with defect():
        for _ in range(5):
            shard.results([shard.execute(spec)])
            shard.settle()
    entry = next(p.entries[run_id] for p in shard.shard.core.partitions.values() if run_id in p.entries)
    assert len(entry.run.deferred) == 1
    control(shard, run_id, "resume")
    shard.settle()
    assert shard.output(run_id) == 4


@pytest.mark.parametrize("crash", [False, True])
def test_a_result_is_not_lost_and_its_task_runs_once(crash: bool):
    shard = host()
    run_id = shard.start("chain", 1).run_id
    with defect():
        shard.work()
        shard.settle()
    assert incident(shard, run_id)
    if crash:
        shard.checkpoint()
        shard.crash()
        shard.hello()
    control(shard, run_id, "resume")
    assert shard.get(run_id).status == "completed"
    assert [node for _, node, _ in shard.executions] == ["t0", "t1", "t2"]


def test_a_loss_is_not_lost_either():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    (first,) = shard.dispatched()
    with defect():
        shard.shard.on_back([header(Kind.WORKERS), encode(m.KnownWorkers([], ["w1"]))], shard.now_ms)
        shard.turn()
    control(shard, run_id, "resume")
    shard.hello(b"w2")
    shard.turn()
    (second,) = shard.dispatched()
    assert (first.attempt, second.attempt) == (1, 2)
    shard.results([shard.execute(first), shard.execute(second)], b"w2")
    shard.turn()
    assert shard.shard.core.counters["results_stale"] == 1


def test_the_end_of_a_child_is_not_lost():
    shard = host(Definition("parent", nodes=(SubWorkflow(id="sub", workflow="waiting"),), output="${sub}"), waiting())
    run_id = shard.start("parent").run_id
    shard.settle()
    child = child_of(shard, run_id)

    def broken(*_: object) -> None:
        raise IndexError("a defect")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decide, "child_ended", broken)
        signal(shard, child, 7)
    assert incident(shard, run_id)
    control(shard, run_id, "resume")
    assert shard.output(run_id) == 7


def test_the_start_of_a_detached_run_is_not_lost():
    nodes = (StartWorkflow(id="sub", workflow="waiting"),)
    shard = host(Definition("parent", nodes=nodes, output="${sub}"), waiting())
    with defect("child_started"):
        run_id = shard.start("parent").run_id
        shard.settle()
    assert incident(shard, run_id)
    control(shard, run_id, "resume")
    assert shard.get(shard.output(run_id)).status == "waiting"


def test_a_cancel_by_the_parent_is_not_lost():
    shard = host(Definition("parent", nodes=(SubWorkflow(id="sub", workflow="waiting"),)), waiting())
    run_id = shard.start("parent").run_id
    shard.settle()
    child = child_of(shard, run_id)
    real: Callable[..., None] = decide.control

    def broken(turn: decide.Turn, action: str, command_id: str, **rest: bool) -> None:
        if turn.run.id == child:
            raise IndexError("a defect")
        real(turn, action, command_id, **rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decide, "control", broken)
        control(shard, run_id, "cancel")
    assert shard.get(run_id).status == "cancelled"
    assert incident(shard, child)
    control(shard, child, "resume")
    assert shard.get(child).status == "cancelled"


def test_a_run_that_met_a_defect_in_its_first_turn_begins_at_its_resume():
    shard = host(Definition("parent", nodes=chain().nodes, params=chain().params, output="${t2}", timeout_ms=60_000))
    with defect():
        run_id = shard.start("parent", 1).run_id
    assert incident(shard, run_id)
    assert not shard.dispatched()
    control(shard, run_id, "resume")
    shard.settle()
    assert shard.output(run_id) == 4


def test_while_the_defect_lasts_a_resume_changes_nothing_and_nothing_is_lost():
    shard = host()
    run_id = shard.start("waiting").run_id
    with defect():
        signal(shard, run_id, 5)
        for _ in range(3):
            answer = control(shard, run_id, "resume")
            assert isinstance(answer, m.ErrorReply)
            assert "defect" in answer.message
            assert incident(shard, run_id)
    control(shard, run_id, "resume")
    assert shard.output(run_id) == 5


def test_what_became_meaningless_meanwhile_is_dropped():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    with defect():
        shard.work()
        shard.settle()
    control(shard, run_id, "cancel")
    assert shard.outcomes[run_id].status == "cancelled"


def test_a_resume_by_the_parent_that_meets_a_defect_is_not_repeated_for_ever():
    shard = host()
    run_id = shard.start("waiting").run_id
    control(shard, run_id, "pause")
    with defect("control"):
        letter = m.Mail(3, partition_of(run_id), 1, 1, Raw(encode(ChildControl(run_id, "resume"))))
        shard.shard.on_back([header(Kind.MAIL), encode([letter])], shard.now_ms)
        shard.settle()
    assert incident(shard, run_id)
    control(shard, run_id, "resume")
    signal(shard, run_id, 1)
    assert shard.output(run_id) == 1
