"""Races: who ended first wins, whatever else happened in the same turn or in a pause."""

from __future__ import annotations

import pytest

from support.core_cases import TASKS, define, drive, task
from support.runs import RunDriver, error_of
from wfe.core import decide
from wfe.model.definition import (
    Assign,
    Block,
    Catch,
    Fail,
    Loop,
    Map,
    Race,
    Set,
    Sleep,
    State,
    SubWorkflow,
    WaitSignal,
)
from wfe.model.mail import ChildControl


def race(*nodes: object) -> Race:
    return Race(id="r", do=nodes)  # type: ignore[arg-type]


TWO = race(task("a", "inc", x=1), task("b", "inc", x=2))


@pytest.mark.parametrize(("first", "value"), [("a", [2, None]), ("b", [None, 3])])
def test_the_first_to_end_wins_and_the_other_is_withdrawn(first: str, value: list[int | None]):
    output = "${[r.winner == 'a' ? a : null, r.winner == 'b' ? b : null]}"
    run = RunDriver(define(TWO, output=output), None, TASKS)
    run.complete(run.place(first), 2 if first == "a" else 3)
    assert run.output == value
    assert run.withdrawn == [(run.place("b" if first == "a" else "a"), 1)]
    assert run.replayed() == run.run


def test_a_wait_races_a_timer_and_a_sub_workflow():
    nodes = race(
        WaitSignal(id="w", signal="go"), Sleep(id="z", duration_ms=5_000), SubWorkflow(id="c", workflow="other")
    )
    run = RunDriver(define(nodes, output="${r.winner}"), None, TASKS)
    assert len(run.mail) == 1
    run.signal("go", 1, "e")
    assert run.output == "w"
    assert not run.run.timers
    assert run.mail[1][1] == ChildControl(run.mail[0][0], "cancel")
    run = drive(define(nodes, output="${r.winner}"))
    assert run.output == "z"


def test_what_ends_later_in_the_same_turn_changes_nothing():
    assert drive(define(race(Set(id="a", value=1), Fail(id="b", error="Late")), output="${r.winner}")).output == "a"
    nested = race(Block(id="x", do=(Set(id="a", value=1), Fail(id="f", error="Late"))), Set(id="b", value=2))
    assert drive(define(nested, output="${r.winner}")).output == "b"


def test_what_the_losers_made_is_forgotten():
    loser = Block(id="x", do=(task("a", "inc", x=1), task("a2", "inc", x=1)))
    run = RunDriver(define(race(loser, task("b", "inc", x=2)), output="${merge(a, b)}"), None, TASKS)
    run.complete(run.place("a"), 5)
    run.complete(run.place("b"), 7)
    assert run.output == 7


def test_a_contender_whose_if_is_false_takes_no_part():
    nodes = race(Set(id="a", value=1, if_="n > 1"), task("b", "inc", x=2))
    run = RunDriver(define(nodes, output="${r.winner}"), 0, TASKS)
    assert run.run.status == "running"
    assert run.finish().output == "b"
    assert drive(define(nodes, output="${r.winner}"), 5).output == "a"


def test_a_race_that_nobody_takes_part_in_has_no_winner():
    assert drive(define(race(Set(id="a", value=1, if_="false")), output="${r.winner}")).output is None
    assert drive(define(race(), output="${r.winner}")).output is None


def test_a_contender_whose_if_is_no_condition_is_a_fault():
    assert drive(define(race(Set(id="a", value=1, if_="n")), output="${r.winner}"), 3).run.error.node == "a"


def test_a_failure_of_one_is_a_failure_of_the_race():
    run = RunDriver(define(Catch(id="c", errors=("ValueError",), do=(TWO,)), output="${c.node}"), None, TASKS)
    run.fail(run.place("b"), error_of(ValueError("no")))
    assert run.output == "b"
    assert run.withdrawn == [(run.place("a"), 1)]


def test_the_first_result_of_a_pause_wins_even_if_a_failure_came_after_it():
    run = RunDriver(define(TWO, output="${r.winner}"), None, TASKS)
    run.control("pause", "p")
    run.complete(run.place("b"), 3)
    run.fail(run.place("a"), error_of(ValueError("no")))
    assert run.replayed() == run.run
    run.control("resume", "r")
    assert run.output == "b"
    run = RunDriver(define(TWO, output="${r.winner}"), None, TASKS)
    run.control("pause", "p")
    run.complete(run.place("b"), 3)
    run.complete(run.place("a"), 3)
    run.control("resume", "r")
    assert run.output == "b"


def test_a_race_inside_a_contender_is_withdrawn_with_it():
    inner = Race(id="in", do=(task("a", "inc", x=1), Sleep(id="z", duration_ms=1_000)))
    run = RunDriver(define(race(inner, task("b", "inc", x=2)), output="${r.winner}"), None, TASKS)
    run.complete(run.place("b"), 3)
    assert run.output == "b"
    assert not run.run.timers


def test_maps_are_withdrawn_with_their_race_items_without_a_frame_included():
    items = Map(id="m", items="[1, 2, 3]", do=(task("t", "inc", x="${item + 1}"),))
    run = RunDriver(define(race(Set(id="s", value=1), items), output="${r.winner}"), None, TASKS)
    assert run.output == "s"
    assert not run.ready
    run = RunDriver(define(race(items, Sleep(id="z", duration_ms=5)), Sleep(id="y", duration_ms=9)), None, TASKS)
    run.fire_next_timer()
    assert run.run.status == "running"
    assert not run.run.groups
    assert not run.run.open
    assert run.replayed() == run.run


def test_items_of_a_map_that_a_fault_withdrew_do_not_begin():
    body = task("t", "inc", x="${10 / item}")
    caught = Catch(id="c", errors=("expression",), do=(Map(id="m", items="n", do=(body,)),))
    assert drive(define(caught, output="${c.type}"), [0, 1, 2]).output == "expression"
    outer = Map(id="o", items="[[0, 1], [1, 2]]", do=(Catch(id="c", errors=("expression",), do=(Map(
        id="m", items="item", as_="x", do=(task("t", "inc", x="${10 / x}"),)),)),), output="${c.failed}")  # fmt: skip
    assert drive(define(outer, output="${o}")).output == [True, False]


def test_a_race_in_a_loop_starts_anew_in_each_iteration():
    body = (race(Set(id="a", value=1, if_="s.size() == 0"), task("b", "inc", x=1)),
            Assign(id="add", state="s", value="${s + [r.winner]}"))  # fmt: skip
    nodes = (State(id="s", value=[]), Loop(id="l", do=body, while_="s.size() < 2"))
    assert drive(define(*nodes, output="${s}")).output == ["a", "b"]


def test_a_timer_of_a_loser_that_is_due_means_nothing():
    run = RunDriver(define(race(task("a", "inc", x=1), Sleep(id="z", duration_ms=5))), None, TASKS)
    run.complete(run.place("a"), 3)
    assert not run.command(lambda turn: decide.timer_due(turn, run.place("z") * 2))
