"""Compensation: last first, once each, whatever fails, is lost, paused or withdrawn meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.core_cases import define, task
from support.runs import RunDriver, decode, encode, error_of
from wfe.core import decide
from wfe.model.definition import (
    Block,
    Catch,
    Compensate,
    CompensateWith,
    End,
    Fail,
    Loop,
    Map,
    Parallel,
    Race,
    Set,
    Sleep,
    SubWorkflow,
    Task,
    WaitSignal,
)
from wfe.model.event_kinds import CompensationDone, CompensationOpened
from wfe.model.mail import ChildControl, ChildEnded
from wfe.model.policy import RetryPolicy
from wfe.model.state import RunState


def undo(id: str, **rest: Any) -> CompensateWith:
    return CompensateWith(id=id, task="undo", with_={"what": rest.pop("what", id)}, **rest)


class World:
    """Tasks that note what they did; ``broken``: what cannot be undone."""

    def __init__(self, *broken: str) -> None:
        self.done: list[str] = []
        self.broken = broken

    def undo(self, what: str) -> None:
        self.done.append(what)
        if what in self.broken:
            raise RuntimeError(f"no {what}")

    def boom(self) -> None:
        raise ValueError("boom")

    def start(self, *nodes: Any, restart: bool = False, value: Any = None, **rest: Any) -> RunDriver:
        tasks = {"undo": self.undo, "boom": self.boom, "inc": lambda x: x + 1}
        return RunDriver(define(*nodes, **rest), value, tasks, restart=restart)


THREE = (undo("a"), undo("b"), undo("c"), task("t", "boom"))


def ended(run: RunDriver, status: str) -> RunDriver:
    assert run.run.status == status
    assert run.replayed() == run.run
    assert (run.run.compensations, run.run.compensating, run.run.open) == ([], None, {})
    return run


@pytest.mark.parametrize("restart", [False, True])
def test_a_failure_calls_the_handlers_last_first_and_the_error_stays(restart: bool):
    world = World()
    run = world.start(*THREE, restart=restart)
    run.execute_next()
    assert run.run.status == "running"
    assert not run.run.frames
    assert world.done == []
    ended(run.finish(), "failed")
    assert world.done == ["c", "b", "a"]
    assert (run.run.error.type, run.run.error.message) == ("ValueError", "boom")


def test_only_what_was_registered_by_then_is_called_with_the_arguments_of_then():
    world = World()
    run = world.start(undo("a", what="${n}"), task("t", "boom"), undo("b"), value="x7")
    ended(run.finish(), "failed")
    assert world.done == ["x7"]


def test_a_run_that_completes_or_ends_itself_calls_none():
    for last in (task("t", "inc", x=1), End(id="e", value=1)):
        world = World()
        ended(world.start(undo("a"), last).finish(), "completed")
        assert world.done == []


def test_a_caught_failure_calls_none():
    world = World()
    ended(
        world.start(undo("a"), Catch(id="c", errors=("Exception",), do=(undo("b"), task("t", "boom")))).finish(),
        "completed",
    )
    assert world.done == []


def test_a_cancel_compensates_unless_it_says_otherwise():
    world = World()
    run = world.start(undo("a"), undo("b"), WaitSignal(id="w", signal="go"))
    run.control("cancel")
    assert run.run.status == "running"
    assert not run.run.waits
    run.control("cancel", "again")
    ended(run.finish(), "cancelled")
    assert world.done == ["b", "a"]
    assert run.run.error is None
    world = World()
    run = world.start(undo("a"), WaitSignal(id="w", signal="go"))
    run.command(lambda turn: decide.control(turn, "cancel", "c", compensate=False))
    ended(run, "cancelled")
    assert world.done == []


def test_a_cancel_without_compensation_ends_one_that_is_under_way():
    world = World()
    run = world.start(*THREE)
    run.execute_next()
    run.execute_next()
    run.command(lambda turn: decide.control(turn, "cancel", "c", compensate=False))
    ended(run, "cancelled")
    assert world.done == ["c"]
    assert run.withdrawn == [(run.place("b"), 1)]


def test_a_timeout_of_the_run_compensates():
    world = World()
    run = world.start(undo("a"), WaitSignal(id="w", signal="go"), timeout_ms=500)
    run.fire_next_timer()
    assert not run.run.timers
    ended(run.finish(), "failed")
    assert world.done == ["a"]
    assert run.run.error.type == "TimedOut"


def test_an_output_that_cannot_be_computed_compensates():
    world = World()
    ended(world.start(undo("a"), output="${n.x}", value=1).finish(), "failed")
    assert world.done == ["a"]


def test_a_handler_that_fails_for_good_is_named_and_the_next_goes_on():
    world = World("b")
    run = ended(world.start(*THREE).finish(), "failed")
    assert world.done == ["c", "b", "a"]
    assert run.run.error.message == "boom; compensation failed: b (RuntimeError: no b)"
    world = World("a")
    run = world.start(undo("a"), WaitSignal(id="w", signal="go"))
    run.control("cancel")
    ended(run.finish(), "cancelled")
    assert run.run.error.type == "CompensationFailed"


def test_a_handler_is_retried_by_its_own_policy():
    world = World("a")
    run = world.start(undo("a", retry=RetryPolicy(max_attempts=3, initial_delay_ms=1_000)), task("t", "boom"))
    run.execute_next()
    run.execute_next()
    assert run.run.retrying
    assert run.replayed() == run.run
    ended(run.finish(), "failed")
    assert world.done == ["a", "a", "a"]


def test_a_handler_that_was_lost_is_given_out_again_and_counts_as_failed_after_a_while():
    world = World()
    run = world.start(undo("a"), task("t", "boom"))
    run.execute_next()
    for attempt in (1, 2, 3):
        assert run.command(lambda turn, n=attempt: decide.task_lost(turn, run.place("a"), n, spent=True))
        assert run.replayed() == run.run
    run.command(lambda turn: decide.task_lost(turn, run.place("a"), 4, spent=True))
    ended(run, "failed")
    assert "PoisonTask" in run.run.error.message


def test_stale_results_of_handlers_change_nothing():
    world = World()
    run = world.start(*THREE)
    run.execute_next()
    null = Raw(encode(None))
    assert not run.command(lambda turn: decide.task_result(turn, run.place("b"), 1, 0, null, None))
    assert not run.command(lambda turn: decide.task_result(turn, run.place("c"), 2, 0, null, None))
    assert run.complete(run.place("c"), None)
    assert not run.command(lambda turn: decide.task_result(turn, run.place("c"), 1, 0, null, None))


def test_a_pause_holds_the_next_handler_back():
    world = World()
    run = world.start(*THREE)
    run.execute_next()
    run.control("pause", "p")
    run.complete(run.place("c"), None)
    assert not run.run.open
    assert run.replayed() == run.run
    run.control("resume", "r")
    ended(run.finish(), "failed")
    assert world.done == ["b", "a"]


def test_a_paused_run_that_is_cancelled_compensates():
    world = World()
    run = world.start(undo("a"), task("t", "boom"))
    run.control("pause", "p")
    run.fail(run.place("t"), error_of(ValueError("boom")))
    run.control("cancel", "c")
    assert run.replayed() == run.run
    run.ready[:] = list(run.run.open)
    ended(run.finish(), "cancelled")
    assert world.done == ["a"]


def test_handlers_of_items_and_iterations_are_called_though_their_frames_are_gone():
    world = World()
    inside = Map(id="m", items="[1, 2]", do=(undo("a", what="${'m' + string(item)}"), task("x", "inc", x=1)))
    around = Loop(id="l", items="[1, 2]", as_="i", do=(undo("b", what="${'l' + string(i)}"),))
    ended(world.start(inside, around, task("t", "boom")).finish(), "failed")
    assert world.done == ["l2", "l1", "m2", "m1"]


def test_children_are_cancelled_and_compensate_on_their_own():
    world = World()
    run = world.start(undo("a"), SubWorkflow(id="s", workflow="other"))
    child = run.mail[0][0]
    run.control("cancel")
    assert run.mail[1:] == [(child, ChildControl(child, "cancel"))]
    run = world.start(SubWorkflow(id="s", workflow="other"))
    child = run.mail[0][0]
    run.command(lambda turn: decide.control(turn, "cancel", "c", compensate=False))
    assert run.mail[1:] == [(child, ChildControl(child, "cancel", compensate=False))]


def test_the_parent_hears_of_the_end_once_the_handlers_are_done():
    world = World()
    run = world.start(*THREE)
    run.run.parent, run.run.parent_node = run.run.id, 4
    run.execute_next()
    assert not run.mail
    run.finish()
    assert [type(body) for _, body in run.mail] == [ChildEnded]


class TestCompensateNode:
    def test_it_calls_what_is_registered_so_far_once_and_goes_on(self):
        world = World()
        run = world.start(undo("a"), undo("b"), Compensate(id="x"), undo("c"), task("t", "boom"))
        assert run.run.status == "running"
        ended(run.finish(), "failed")
        assert world.done == ["b", "a", "c"]

    def test_without_anything_registered_it_ends_at_once(self):
        ended(World().start(Compensate(id="x")), "completed")

    def test_a_handler_that_fails_does_not_fail_the_run(self):
        world = World("b")
        run = ended(world.start(undo("a"), undo("b"), Compensate(id="x")).finish(), "completed")
        assert world.done == ["b", "a"]
        assert [e.error is None for e in run.events if isinstance(e, CompensationDone)] == [False, True]

    def test_a_failure_meanwhile_lets_the_open_handler_end_and_calls_the_rest_once(self):
        world = World()
        nodes = Parallel(id="p", do=(Block(id="y", do=(Compensate(id="x"),)), Block(id="z", do=(
            undo("late"), task("t", "boom")))))  # fmt: skip
        run = world.start(undo("a"), undo("b"), nodes)
        run.fail(run.place("t"), error_of(ValueError("boom")))
        assert set(run.run.open) == {run.place("b")}
        assert not run.withdrawn
        ended(run.finish(), "failed")
        assert sorted(world.done) == ["a", "b", "late"]
        assert [e for e in run.events if isinstance(e, CompensationOpened)].__len__() == 3

    def test_one_that_is_withdrawn_leaves_the_rest_registered(self):
        world = World()
        race = Race(id="r", do=(Compensate(id="x"), Sleep(id="z", duration_ms=0)))
        run = world.start(undo("a"), undo("b"), race, task("t", "boom"))
        run.fire_next_timer()
        assert run.replayed() == run.run
        ended(run.finish(), "failed")
        assert sorted(world.done) == ["a", "b"]

    def test_a_run_that_is_over_awaits_the_handler_that_was_begun(self):
        world = World()
        race = Race(id="r", do=(Compensate(id="x"), Sleep(id="z", duration_ms=0)))
        run = world.start(undo("a"), race)
        run.fire_next_timer()
        assert run.run.status == "running"
        ended(run.finish(), "completed")
        assert world.done == ["a"]

    def test_two_at_once_share_the_handlers(self):
        world = World()
        both = Parallel(id="p", do=(Compensate(id="x"), Compensate(id="y")))
        ended(world.start(undo("a"), undo("b"), both).finish(), "completed")
        assert world.done == ["b", "a"]

    def test_a_handler_registered_inside_a_withdrawn_block_goes_on(self):
        world = World()
        inner = Catch(
            id="k", errors=("Oops",), do=(undo("a"), WaitSignal(id="w", signal="go"), Fail(id="f", error="Oops"))
        )
        comp = Block(id="b2", do=(Sleep(id="s", duration_ms=1), Compensate(id="x")))
        run = world.start(Parallel(id="p", do=(inner, comp)))
        run.fire_next_timer()
        run.signal("go", 1, "e")
        assert set(run.run.open) == {run.place("a")}
        ended(run.finish(), "completed")
        assert world.done == ["a"]


def test_arguments_that_cannot_be_computed_are_a_fault_of_the_node():
    run = World().start(CompensateWith(id="a", task="undo", with_={"what": "${n.x}"}), value=1)
    assert (run.run.error.type, run.run.error.node) == ("expression", "a")


def test_its_task_has_the_place_the_name_and_the_version_of_its_node():
    run = World().start(
        CompensateWith(id="a", task="undo", task_version=3, with_={"what": 1}, timeout_ms=9), Task(id="t", task="boom")
    )
    node = run.plan.nodes[0]
    assert (node.task, node.task_version, node.timeout_ms) == ("undo", 3, 9)
    run.execute_next()
    assert run.input_of(run.place("a")) == {"what": 1}


def test_a_crash_at_any_event_calls_every_handler_and_loses_none():
    """After each event the state is rebuilt from the events alone; what is open then is given out again."""
    world = World("b")
    policy = RetryPolicy(max_attempts=2, initial_delay_ms=10)
    nodes = (undo("a"), Parallel(id="p", do=(undo("b", retry=policy), undo("c"))), task("t", "boom"))
    whole = world.start(*nodes).finish()
    for position in range(1, len(whole.events) + 1):
        world.done.clear()
        run = world.start(*nodes)
        while len(run.events) < position and run.step():
            pass
        rebuilt = decode(encode(run.replayed()), type=RunState)
        done_before = list(world.done)
        run.run, run.ready = rebuilt, list(rebuilt.open)
        run.finish()
        assert run.run.error == whole.run.error
        assert world.done == ["c", "b", "b", "a"]
        assert world.done[: len(done_before)] == done_before


def test_a_run_ends_whose_compensate_lost_a_race_before_any_handler_was_called():
    """Found by the simulation, seed 418: the run had done everything, and its frame was never looked at again."""
    race = Race(id="r", do=(Compensate(id="c"), Set(id="s", value=1)))
    run = World().start(undo("a"), race).finish()
    ended(run, "completed")
