"""Drawn workflows, run through core: what Python says is what a run does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import wfe
from support.runs import RunDriver


class Progress(msgspec.Struct):
    count: int = 0
    names: list[str] = []


@wfe.task
def double(n: int) -> int:
    return n * 2


@wfe.task
def name(n: int) -> str:
    return f"n{n}"


@wfe.task
def fail(message: str) -> int:
    raise ValueError(message)


@wfe.task
def undo(what: str) -> None: ...


TASKS: dict[str, Callable[..., Any]] = {each.__name__: each for each in (double, name, fail, undo)}


def driver(workflow: Any, input: Any = None, *, restart: bool = False) -> RunDriver:
    return RunDriver(workflow.definition(), input, TASKS, restart=restart)


def output(workflow: Any, input: Any = None) -> Any:
    """The run's output: the same with a restart after every command, and from its events alone."""
    run = driver(workflow, input).finish()
    assert driver(workflow, input, restart=True).finish().output == run.output
    assert msgspec.msgpack.encode(run.replayed()) == msgspec.msgpack.encode(run.run)
    return run.output


# ---- loops and states


@wfe.workflow
def doubling(wf: wfe.Graph, limit: int) -> Progress:
    s = wf.state(Progress(count=1))
    with wf.loop():
        wf.break_if(s.count > limit)
        before = s.count
        s.count = double(s.count)
        s.names = s.names + [name(before)]  # noqa: RUF005
    return s


@wfe.workflow
def until(wf: wfe.Graph, limit: int) -> int:
    s = wf.state({"n": 0})
    with wf.loop():
        s["n"] += 1
        wf.break_if(s["n"] >= limit)
    return s["n"]


@wfe.workflow
def fibonacci(wf: wfe.Graph, n: int) -> int:
    s = wf.state({"a": 0, "b": 1, "i": 0})
    with wf.loop():
        wf.break_if(s["i"] == n)
        s["a"], s["b"] = s["b"], s["a"] + s["b"]
        s["i"] += 1
    return s["a"]


@wfe.workflow
def kept_reads(wf: wfe.Graph) -> list[int]:
    s = wf.state(Progress(count=1))
    first = s.count
    s.count = 5
    second = s.count + first
    with wf.when(s.count > 3):
        s.count = 7
    with wf.loop():
        s.count += first
        wf.break_if(s.count > 9)
    return [first, second, s.count]


@wfe.workflow
def last_of_a_loop(wf: wfe.Graph, limit: int) -> list[Any]:
    s = wf.state(Progress())
    with wf.loop():
        wf.break_if(s.count >= limit)
        s.count += 1
        found = double(s.count)
        with wf.when(s.count == 2):
            label = wf.format("second {}", found)
    return [wf.merge(found, 0), wf.merge(label, "none")]


@wfe.workflow
def nested(wf: wfe.Graph) -> list[int]:
    s = wf.state({"outer": 0, "sum": 0})
    with wf.loop():
        inner = wf.state(Progress())
        with wf.loop():
            inner.count += 1
            s["sum"] += inner.count
            wf.break_if(inner.count > s["outer"])
        s["outer"] += 1
        wf.break_if(s["outer"] == 3)
    return [s["outer"], s["sum"]]


@wfe.workflow
def folded(wf: wfe.Graph, items: list[int]) -> int:
    s = wf.state({"sum": 0})

    def body(item: int) -> None:
        s["sum"] = s["sum"] + double(item)

    wf.map(body, items, max_parallel=1)
    return s["sum"]


@wfe.workflow
def branches(wf: wfe.Graph) -> list[Any]:
    s = wf.state(Progress())
    with wf.parallel():
        with wf.branch():
            s.count = double(4)
        with wf.branch():
            s.names = [name(1)]
    return [s.count, s.names]


@pytest.mark.parametrize(
    ("workflow", "given", "wanted"),
    [
        (doubling, 10, {"count": 16, "names": ["n1", "n2", "n4", "n8"]}),
        (doubling, 0, {"count": 1, "names": []}),
        (until, 3, 3),
        (until, 0, 1),
        (fibonacci, 10, 55),
        (fibonacci, 0, 0),
        (kept_reads, None, [1, 6, 10]),
        (last_of_a_loop, 3, [6, "second 4"]),
        (last_of_a_loop, 1, [2, "none"]),
        (last_of_a_loop, 0, [0, "none"]),
        (nested, None, [3, 10]),
        (folded, [1, 2, 3], 12),
        (branches, None, [8, ["n1"]]),
    ],
)
def test_a_run_gives_what_python_would(workflow: Any, given: Any, wanted: Any) -> None:
    assert output(workflow, given) == wanted


def test_a_loop_past_its_bound_fails() -> None:
    @wfe.workflow
    def endless(wf: wfe.Graph) -> None:
        with wf.loop(max_iterations=5):
            double(1)

    run = driver(endless).finish()
    assert (run.run.status, run.run.error.type) == ("failed", "LoopLimit")  # type: ignore[union-attr]
    assert run.executions == ["double"] * 5


# ---- races


@wfe.workflow
def race(wf: wfe.Graph, wait: str) -> list[Any]:
    with wf.race() as r:
        slow = wf.wait_signal("go", int)
        with wf.branch(id="late"):
            wf.sleep(wait)
            fallback = double(21)
    with wf.when(r.won(slow)):
        chosen = double(slow + 1)
    with wf.otherwise(r.won("late")):
        other = name(fallback)
    return [wf.merge(slow, fallback), wf.merge(chosen, other)]


def test_the_first_of_a_race_wins_and_its_value_is_usable() -> None:
    assert output(race, "1h") == [42, "n42"]
    run = driver(race, "1h")
    run.signal("go", 7, "e")
    assert run.finish().output == [7, 16]
    assert run.executions == ["double_2"]


# ---- approvals, compensation, decisions


@wfe.workflow
def approved(wf: wfe.Graph) -> list[Any]:
    decided = wf.approval("manager", timeout="2d", on_timeout="reject", on_reject="continue")
    with wf.when(decided.approved):
        wf.end(["yes"])
    return [decided.approved, decided.by, decided.comment]


@wfe.workflow
def strict(wf: wfe.Graph) -> str:
    with wf.catch(wfe.Rejected) as refused:
        wf.approval("manager")
    with wf.when(refused.failed):
        wf.end(refused.message)
    return "yes"


def test_approvals_end_by_a_decision_or_by_time() -> None:
    assert driver(approved).finish().output[:2] == [False, "timeout"]
    run = driver(approved)
    run.signal("manager", {"approved": True, "by": "ann"}, "e")
    assert run.finish().output == ["yes"]
    run = driver(strict)
    run.signal("manager", {"approved": False, "by": "ann", "comment": "too dear"}, "e")
    assert "too dear" in run.finish().output


@wfe.workflow
def undone(wf: wfe.Graph, how: str) -> str:
    wf.compensate_with(undo.with_options(id="first"), "first")
    with wf.when(how == "now"):
        wf.compensate()
        wf.end("undone")
    n = double(1)
    wf.compensate_with(undo.with_options(id="second"), wf.format("{}", n))
    fail("broken")
    return "done"


def test_compensation_runs_last_first_or_at_once() -> None:
    run = driver(undone, "later").finish()
    assert (run.run.status, run.run.error.message) == ("failed", "broken")  # type: ignore[union-attr]
    assert run.executions == ["double", "fail", "second", "first"]
    run = driver(undone, "now").finish()
    assert (run.output, run.executions) == ("undone", ["first"])


@wfe.workflow
def sized(wf: wfe.Graph, n: int) -> str:
    size = wf.decision({"small": n < 10, "large": n < 100}, default="huge")
    wf.emit("sized", {"size": size})
    with wf.lock(["a", "b"], per_run=1):
        made = double(n)
    return wf.format("{} {}", size, made)


def test_decisions_events_and_locks() -> None:
    assert [output(sized, n) for n in (5, 50, 500)] == ["small 10", "large 100", "huge 1000"]


# ---- joins


@wfe.workflow
def quorum(wf: wfe.Graph) -> int:
    with wf.parallel():
        one = double(1)
        two = double(2)
        wf.sleep("1h", id="slow")
        decided = double.with_options(id="decided", after=[one, two, "slow"], join={"n": 2, "rest": "cancel"})(3)
    return decided


def test_a_join_of_some_does_not_wait_for_the_rest() -> None:
    run = driver(quorum).finish()
    assert run.output == 6
    assert run.now_ms < 1_000_000 + 3_600_000
