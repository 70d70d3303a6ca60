"""The auditor tells whose `NoBranch` it is: that of a net that ended and finds no way out, or that of a net inside."""

from __future__ import annotations

from typing import Any

import pytest

from support.runs import START_MS, RunDriver
from wfe.model.definition import Definition, Edge, Graph, Node, Set
from wfe.model.event import FaultRaised, RunEvent
from wfe.model.event_nets import FiringEnded, FiringsOpened, NetEnded
from wfe.model.policy import ErrorInfo
from wfe.sim.interpreter import check_run
from wfe.sim.ledger import RunBook, Shape
from wfe.sim.node import Violation

LOST = Edge("inner", "after", when="n > 5")


def nested(*members: Node, edges: tuple[Edge, ...] = (), out: Edge = LOST) -> RunDriver:
    """A net within a net, which is left by ``out``."""
    inner = Graph(id="inner", do=members, edges=edges, split="xor")
    outer = Graph(id="outer", do=(inner, Set(id="after", value=1)), edges=(out,))
    return RunDriver(Definition(workflow="w", params={"n": {"type": "integer"}}, nodes=(outer,)), 3)


def passed_by(**options: Any) -> RunDriver:
    """Nothing is done when the one of these two comes that asks for it, so that it is passed by."""
    rules = {"enabled_while": 'done("b")', "on_missed": "skip", "split": "xor", **options}
    return nested(Set(id="a", value=1, **rules), Set(id="b", value=2), edges=(Edge("a", "b", when="n > 5"),))


def audit(run: RunDriver, events: list[RunEvent] | None = None) -> None:
    started, *_ = run.events
    book = RunBook("run", Shape(run.definition), started)  # type: ignore[arg-type]
    book.book(1, START_MS, run.events if events is None else events, START_MS)
    book.status, book.error = "failed", run.run.error
    check_run(book, {})


def error_type(run: RunDriver) -> str:
    assert run.run.error is not None
    return run.run.error.type


def test_a_net_may_fail_for_want_of_a_branch_where_a_node_inside_is_passed_by():
    run = passed_by()
    assert error_type(run) == "NoBranch"
    assert not any(isinstance(event, (NetEnded, FiringEnded)) for event in run.events)
    audit(run)


def test_a_net_that_has_ended_may_find_no_way_out():
    run = nested(Set(id="a", value=1))
    assert error_type(run) == "NoBranch"
    assert any(isinstance(event, NetEnded) for event in run.events)
    audit(run)


def test_a_net_in_which_nothing_is_passed_by_has_no_want_of_a_branch():
    run = nested(Set(id="a", value=1), out=Edge("inner", "after"))
    assert run.run.status == "completed"
    opened = next(n for n, event in enumerate(run.events) if isinstance(event, FiringsOpened) and event.node == 1)
    error = ErrorInfo("NoBranch", "made up", "a", types=("NoBranch",))
    with pytest.raises(Violation, match="no node is to be passed by"):
        audit(run, [*run.events[: opened + 1], FaultRaised(1, 1, error)])


def test_a_net_that_waits_for_its_moment_has_no_want_of_a_branch():
    run = passed_by()
    run.definition = passed_by(on_missed="wait").definition
    with pytest.raises(Violation, match="no node is to be passed by"):
        audit(run)
