"""How a worker hears that its results are durable."""

from __future__ import annotations

from support.worker_engine import Engine, result, spec
from wfe.wire.frames import Kind
from wfe.wire.messages import Dispatch


def test_a_frame_of_tasks_may_bring_an_acknowledgement_along():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.end(result("a"))
    engine.receive(0, Kind.DISPATCH, Dispatch(2, [spec("b")], acked=1))
    assert engine.actor.links[0].unacknowledged() == 0
    assert engine.actor.held == 1


def test_a_frame_of_tasks_that_acknowledges_nothing_leaves_results_where_they_are():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.end(result("a"))
    engine.dispatch(0, 2, spec("b"))
    assert engine.actor.links[0].unacknowledged() == 1
