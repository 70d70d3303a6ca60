"""Loops and what ends them: conditions before and after, items, breaks, bounds, turns, pauses, withdrawals."""

from __future__ import annotations

import pytest

from support.core_cases import TASKS, define, drive, task
from support.runs import RunDriver
from wfe.core import decide
from wfe.limits import TURN_EVENTS_MAX
from wfe.model.definition import (
    Assign,
    Block,
    BreakIf,
    Catch,
    Fail,
    Loop,
    Map,
    Parallel,
    Race,
    Set,
    Sleep,
    State,
    Task,
    WaitSignal,
)


def counting(*body: object, **loop: object) -> tuple[object, ...]:
    return (State(id="s", value={"i": 0}), Loop(id="l", do=body, **loop))  # type: ignore[arg-type]


ADD = Assign(id="a", state="s", fields={"i": "${s.i + 1}"})


def check(run: RunDriver) -> RunDriver:
    """Replay gives the same state; nothing is left of what ended."""
    assert run.replayed() == run.run
    assert not (run.run.loops or run.run.frames) or run.run.status in ("running", "paused")
    return run


def test_while_is_tested_before_each_iteration():
    run = check(drive(define(*counting(ADD, while_="s.i < 3"), output="${s.i}")))
    assert run.output == 3
    assert check(drive(define(*counting(ADD, while_="s.i < 0"), output="${s.i}"))).output == 0


def test_until_is_tested_after_each_iteration_and_sees_its_values():
    nodes = counting(ADD, task("t", "inc", x="${s.i}"), until="t >= 3")
    assert check(drive(define(*nodes, output="${s.i}"))).output == 2
    assert check(drive(define(*counting(ADD, until="true"), output="${s.i}"))).output == 1


def test_a_loop_over_items_sees_the_item_and_its_number():
    body = Assign(id="a", state="s", fields={"seen": "${s.seen + [[i, x]]}"})
    nodes = (State(id="s", value={"seen": []}), Loop(id="l", items="n", as_="x", index="i", do=(body,)))
    assert check(drive(define(*nodes, output="${s.seen}"), ["a", "b"])).output == [[0, "a"], [1, "b"]]


def test_a_tasks_input_in_a_loop_is_that_of_its_iteration():
    nodes = (Loop(id="l", items="n", as_="x", index="i", do=(task("t", "add", a="${x}", b="${i}"),)),)
    seen: list[int] = []
    run = RunDriver(define(*nodes), [10, 20], {"add": lambda a, b: seen.append(a + b)}).finish()
    assert seen == [10, 21]
    assert run.run.status == "completed"


def test_break_if_ends_the_innermost_loop_and_withdraws_what_runs_inside():
    inner = Loop(
        id="in",
        do=(
            Parallel(id="p", do=(Task(id="t", task="inc", with_={"x": 1}), BreakIf(id="b", cond="true"))),
            Fail(id="never", error="Never"),
        ),
    )
    run = check(drive(define(*counting(ADD, inner, while_="s.i < 2"), output="${s.i}")))
    assert run.output == 2
    assert len(run.withdrawn) == 2
    assert not run.executions


def test_break_if_inside_a_map_ends_the_loop_around_it():
    body = Map(id="m", items="[1, 2, 3]", do=(BreakIf(id="b", cond="item == 2"), task("t", "inc", x="${item}")))
    run = check(drive(define(*counting(ADD, body), output="${s.i}")))
    assert run.output == 1


def test_break_if_outside_of_a_loop_is_a_fault():
    assert drive(define(BreakIf(id="b", cond="true"))).run.error.type == "NoLoop"


def test_a_loop_beyond_its_bound_is_a_fault_that_can_be_caught():
    run = check(drive(define(*counting(ADD, max_iterations=5), output="${s.i}")))
    assert run.run.error.type == "LoopLimit"
    caught = Catch(id="c", errors=("LoopLimit",), do=(Loop(id="l", do=(ADD,), max_iterations=5),))
    run = check(drive(define(State(id="s", value={"i": 0}), caught, output="${[s.i, c.type]}")))
    assert run.output == [5, "LoopLimit"]


def test_as_many_iterations_as_the_bound_are_fine():
    assert drive(define(*counting(ADD, while_="s.i < 5", max_iterations=5), output="${s.i}")).output == 5


def test_a_loop_without_waits_lets_others_have_their_turn():
    run = RunDriver(define(*counting(ADD, while_="s.i < 2000"), output="${s.i}"), None, TASKS)
    assert run.run.status == "running"
    assert run.run.timers
    assert len(run.events) < TURN_EVENTS_MAX + 10
    started_ms = run.now_ms
    assert check(run.finish()).output == 2000
    assert run.now_ms == started_ms


def test_a_loop_that_rests_can_be_paused_cancelled_and_withdrawn():
    nodes = counting(ADD, while_="true", max_iterations=None)
    run = RunDriver(define(*nodes), None, TASKS)
    run.control("pause", "p")
    run.fire_next_timer()
    assert run.run.expired
    run.control("resume", "r")
    assert run.run.timers
    assert run.replayed() == run.run
    run.control("cancel", "c")
    assert check(run).run.status == "cancelled"
    race = Race(id="r", do=(Loop(id="l", do=(ADD,), max_iterations=None), Sleep(id="z", duration_ms=0)))
    run = RunDriver(define(State(id="s", value={"i": 0}), race, output="${r.winner}"), None, TASKS)
    run.command(lambda turn: decide.timer_due(turn, run.place("z") * 2))
    assert check(run).output == "z"


@pytest.mark.parametrize("restart", [False, True])
def test_a_loop_that_waits_goes_on_after_a_restart(restart: bool):
    nodes = counting(Sleep(id="z", duration_ms=1_000), ADD, task("t", "inc", x="${s.i}"), until="t == 4")
    run = RunDriver(define(*nodes, output="${s.i}"), None, TASKS, restart=restart)
    assert check(run.finish()).output == 3


def test_a_loop_is_paused_between_two_iterations():
    nodes = counting(ADD, task("t", "inc", x="${s.i}"), until="t == 3")
    run = RunDriver(define(*nodes, output="${s.i}"), None, TASKS)
    run.control("pause", "p")
    run.execute_next()
    assert not run.run.open
    assert run.replayed() == run.run
    run.control("resume", "r")
    assert check(run.finish()).output == 2


def test_a_failure_in_an_iteration_is_caught_outside_of_the_loop():
    loop = Loop(id="l", do=(Block(id="b", do=(task("t", "boom"),)),))
    run = check(drive(define(Catch(id="c", errors=("ValueError",), do=(loop,)), output="${c.node}")))
    assert run.output == "t"


def test_a_loop_in_an_item_of_a_map_is_withdrawn_with_it():
    loop = Loop(id="l", do=(WaitSignal(id="w", signal="go"), Fail(id="f", error="Oops")))
    nodes = Map(id="m", items="[1, 2]", tolerate_count=1, do=(loop, Set(id="v", value="${item}")))
    run = RunDriver(define(nodes, output="${m.errors.size()}"), None, TASKS)
    run.signal("go", 1, "e1")
    assert len(run.run.loops) == 1
    assert run.replayed() == run.run


@pytest.mark.parametrize("loop", [{"while_": "n"}, {"until": "n + 1"}, {"items": "n"}, {"while_": "n.x > 1"}])
def test_conditions_that_are_none_are_faults_of_the_loop(loop: dict[str, str]):
    run = check(drive(define(Loop(id="l", do=(Set(id="v", value=1),), **loop)), 5))  # type: ignore[arg-type]
    assert (run.run.error.type, run.run.error.node) == ("expression", "l")


def test_nested_loops_count_apart():
    inner = Loop(id="in", items="[1, 2]", as_="y", do=(Assign(id="a", state="s", value="${s + [[x, y]]}"),))
    nodes = (State(id="s", value=[]), Loop(id="out", items="n", as_="x", do=(inner,)))
    run = check(drive(define(*nodes, output="${s}"), [1, 2]))
    assert run.output == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_an_empty_body_ends_at_its_bound():
    assert drive(define(Loop(id="l", do=(), max_iterations=3))).run.error.type == "LoopLimit"
