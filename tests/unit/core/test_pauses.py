"""Pauses (rule R13): what came in while a run was paused takes effect at the resume, in the order of its coming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from support.core_cases import TASKS
from support.runs import RunDriver, encode, error_of
from wfe.authoring.yaml_reader import read_definitions
from wfe.core import decide

NO = error_of(ValueError("no"))
Step = Callable[[RunDriver], Any]


def timer(run: RunDriver) -> None:
    run.fire_next_timer()


def go(run: RunDriver) -> None:
    run.signal("go", "came", "go-1")


def other(run: RunDriver) -> None:
    run.signal("other", "came", "other-1")


def approved(run: RunDriver) -> None:
    run.signal("boss", {"approved": True}, "boss-1")


def ends(node: str, nth: int = 0) -> Step:
    return lambda run: run.complete(open_places(run, node)[nth], 1)


def fails(node: str, nth: int = 0) -> Step:
    return lambda run: run.fail(open_places(run, node)[nth], NO)


def child_ends(run: RunDriver) -> bool:
    ((key, child),) = run.run.children.items()
    return run.command(lambda turn: decide.child_ended(turn, key, child, "completed", Raw(encode("done")), None))


def open_places(run: RunDriver, node: str) -> list[int]:
    return [key for key in run.run.open if run.plan.nodes[key % run.plan.stride].id == node]


def run_of(nodes: str, restart: bool, head: str = "") -> RunDriver:
    (definition,) = read_definitions(f"workflow: w\n{head}nodes:\n{nodes}", "w.yaml")
    return RunDriver(definition, None, TASKS, restart=restart)


def outcome(run: RunDriver) -> Any:
    assert run.replayed() == run.run
    return run.output if run.run.error is None else run.run.error.type


END = """
- parallel:
  - branch: [{task: inc, id: a, with: {x: 1}}, {end: over}]
  - {task: inc, id: b, with: {x: 1}}
"""
BREAK = """
- loop: true
  do:
  - parallel:
    - branch: [{task: inc, id: a, with: {x: 1}}, {break_if: "true"}]
    - {task: inc, id: b, with: {x: 1}}
- {end: over}
"""
LEFT = """
- {map: 3, complete_after: 1, id: m, do: [{task: inc, id: a, with: {x: 1}}]}
- {end: "${m}"}
"""
RACE = """
- {race: [{sleep: 1s, id: z}, {task: inc, id: a, with: {x: 1}}], id: r}
- {end: "${r.winner}"}
"""
TASK_RACE = """
- {race: [{task: inc, id: a, with: {x: 1}}, {task: inc, id: b, with: {x: 1}}], id: r}
- {end: "${r.winner}"}
"""
SIGNAL_RACE = """
- {race: [{signal: go, id: s}, {task: inc, id: a, with: {x: 1}}], id: r}
- {end: "${r.winner}"}
"""
SIGNAL = """
- {signal: go, id: s, timeout: 1s, default: late}
- {end: "${s}"}
"""
APPROVAL = """
- {approval: boss, id: b, timeout: 1s}
- {end: "${b.approved}"}
"""
CHILD = """
- {workflow: other, id: c, timeout: 1s}
- {end: "${c}"}
"""
LAST = """
- {task: inc, id: a, with: {x: 1}}
- {end: over}
"""
BOUNDARY = """
- graph:
  - {task: inc, id: a, with: {x: 1}, boundary: [{timer: 1s, port: late}]}
  - {end: in time, id: e}
  - {end: late, id: l}
  edges: [a -> e, {from: a, to: l, port: late}]
"""
LISTENS = """
- graph:
  - {task: inc, id: a, with: {x: 1}, boundary: [{signal: go, port: stopped}]}
  - {end: in time, id: e}
  - {end: stopped, id: s}
  edges: [a -> e, {from: a, to: s, port: stopped}]
"""
CAUGHT_TOGETHER = """
- parallel:
  - catch: [ValueError]
    do: [{parallel: [{task: inc, id: a, with: {x: 1}}, {task: inc, id: c, with: {x: 1}}]}]
  - {task: inc, id: b, with: {x: 1}}
  - branch: [{task: inc, id: e, with: {x: 1}}, {end: over}]
"""
FAIL = """
- catch: [Early, ValueError]
  id: k
  do:
  - parallel:
    - branch: [{task: inc, id: a, with: {x: 1}}, {fail: Early, message: no}]
    - {task: inc, id: b, with: {x: 1}}
- {end: "${k.type}"}
"""
LEFT_OPEN = """
- parallel:
  - {map: 3, complete_after: 1, rest: continue, max_parallel: 1, id: m, do: [{task: inc, id: a, with: {x: 1}}]}
  - catch: [ValueError]
    do: [{task: inc, id: b, with: {x: 1}}]
"""
AFTER_RACE = """
- {race: [{sleep: 1s, id: z}, {signal: go, id: s}], id: r}
- {signal: go, id: t, timeout: 1h}
- {end: "${r.winner + t}"}
"""
AFTER_CATCH = """
- catch: [ValueError]
  do: [{parallel: [{task: inc, id: a, with: {x: 1}}, {signal: go, id: s}]}]
- {signal: go, id: t, timeout: 1h}
- {end: "${t}"}
"""
CAUGHT_LATE = """
- catch: [ValueError]
  do: [{parallel: [{task: inc, id: a, with: {x: 1}}, {signal: go, id: s}, {signal: other, id: o}]}]
- {signal: go, id: t, timeout: 1h}
- {end: "${t}"}
"""
IN_TIME = """
- parallel:
  - {signal: go, id: s, timeout: 1s, default: late}
  - branch: [{task: inc, id: a, with: {x: 1}}, {when: "true", do: [{task: inc, id: b, with: {x: 1}}]}]
- {end: "${s}"}
"""
LISTENS_TO_TWO = """
- graph:
  - {task: inc, id: a, with: {x: 1}, boundary: [{signal: go, port: stopped}]}
  - {end: in time, id: e}
  - {end: stopped, id: s}
  - {task: inc, id: b, with: {x: 1}, boundary: [{signal: other, port: more}]}
  - {task: inc, id: c, with: {x: 1}}
  edges: [a -> e, {from: a, to: s, port: stopped}, {from: b, to: c, port: more}]
"""
RACE_BESIDE = """
- parallel:
  - {race: [{signal: go, id: s}, {task: inc, id: a, with: {x: 1}}], id: r}
  - branch: [{task: inc, id: b, with: {x: 1}}, {task: inc, id: c, with: {x: 1}}]
- {end: "${r.winner}"}
"""
CASES: dict[str, tuple[str, tuple[Step, ...], Any]] = {
    "a result that ends the run, then a failure": (END, (ends("a"), fails("b")), "over"),
    "a failure, then a result that would end the run": (END, (fails("b"), ends("a")), "ValueError"),
    "a result that breaks a loop, then a failure in it": (BREAK, (ends("a"), fails("b")), "over"),
    "a failure in a loop, then a result that would break it": (BREAK, (fails("b"), ends("a")), "ValueError"),
    "the item that is enough, then one that fails": (LEFT, (ends("a"), fails("a")), [1]),
    "an item that fails, then one that is enough": (LEFT, (fails("a"), ends("a")), "ValueError"),
    "a failure, then a result in its race": (TASK_RACE, (fails("b"), ends("a")), "ValueError"),
    "a result, then a failure in its race": (TASK_RACE, (ends("a"), fails("b")), "a"),
    "a failure that goes with one before, after a result": (
        CAUGHT_TOGETHER,
        (fails("a"), fails("b"), ends("e"), fails("c")),
        "ValueError",
    ),
    "a result that brings about a failure, then a failure": (FAIL, (ends("a"), fails("b")), "Early"),
    "the item that is enough for a map that goes on, then a failure elsewhere": (
        LEFT_OPEN,
        (ends("a"), fails("b")),
        None,
    ),
    "the end of a sleep, then a result": (RACE, (timer, ends("a")), "z"),
    "the end of a sleep, then a failure": (RACE, (timer, fails("a")), "z"),
    "a result, then the end of a sleep": (RACE, (ends("a"), timer), "a"),
    "a signal, then a result": (SIGNAL_RACE, (go, ends("a")), "s"),
    "a result, then a signal": (SIGNAL_RACE, (ends("a"), go), "a"),
    "the end of a sleep, then a signal that its race need not take": (AFTER_RACE, (timer, go), "zcame"),
    "a failure, then a signal that its block need not take": (AFTER_CATCH, (fails("a"), go), "came"),
    "a signal, a failure, then a signal that its block need not take": (CAUGHT_LATE, (other, fails("a"), go), "came"),
    "a result, then a signal in time, then its time limit": (IN_TIME, (ends("a"), go, timer), "came"),
    "a result elsewhere, a signal, then a result in its race": (RACE_BESIDE, (ends("b"), go, ends("a")), "s"),
    "a result, a time limit, then the signal": (IN_TIME, (ends("a"), timer, go), "late"),
    "another signal, a result, then the signal at its node's boundary": (
        LISTENS_TO_TWO,
        (other, ends("a"), go),
        "in time",
    ),
    "a time limit, then the signal": (SIGNAL, (timer, go), "late"),
    "a time limit, then the decision": (APPROVAL, (timer, approved), "TimedOut"),
    "a time limit, then the end of the sub-workflow": (CHILD, (timer, child_ends), "TimedOut"),
    "the timer at a node's boundary, then its result": (BOUNDARY, (timer, ends("a")), "late"),
    "the signal at a node's boundary, then its result": (LISTENS, (go, ends("a")), "stopped"),
    "a result, then the signal at its node's boundary": (LISTENS, (ends("a"), go), "in time"),
    "a result, then the timer at its node's boundary": (BOUNDARY, (ends("a"), timer), "in time"),
}


@pytest.mark.parametrize("restart", [False, True], ids=["live", "restarted"])
@pytest.mark.parametrize("case", CASES)
def test_what_came_first_in_a_pause_takes_effect_first(case: str, restart: bool) -> None:
    nodes, steps, expected = CASES[case]
    run = run_of(nodes, restart)
    run.control("pause", "p")
    for step in steps:
        step(run)
        assert run.run.status == "paused"
        assert run.replayed() == run.run
    run.control("resume", "r")
    assert outcome(run.finish()) == expected


@pytest.mark.parametrize(("first", "second", "expected"), [(timer, ends("a"), "TimedOut"), (ends("a"), timer, "over")])
def test_the_time_of_the_run_ends_in_a_pause_before_or_after_the_last_result(
    first: Step, second: Step, expected: str
) -> None:
    run = run_of(LAST, restart=True, head="timeout: 1s\n")
    run.control("pause", "p")
    first(run)
    second(run)
    run.control("resume", "r")
    assert outcome(run) == expected


def test_a_signal_in_a_pause_is_in_time_though_the_pause_outlasts_the_limit() -> None:
    run = run_of(SIGNAL, restart=True)
    run.control("pause", "p")
    go(run)
    assert not run.run.timers
    run.now_ms += 1_000_000
    run.control("resume", "r")
    assert outcome(run) == "came"


def test_a_sub_workflow_that_was_late_is_cancelled_only_at_the_resume() -> None:
    run = run_of(CHILD, restart=False)
    run.control("pause", "p")
    sent = len(run.mail)
    timer(run)
    assert len(run.mail) == sent
    run.control("resume", "r")
    assert "cancel" in [body.action for _, body in run.mail[sent:]]
    assert outcome(run) == "TimedOut"
