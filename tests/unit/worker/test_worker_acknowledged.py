"""How a worker hears that its results are durable."""

from __future__ import annotations

from support.worker_engine import Engine, result, spec
from wfe.wire.frames import Kind
from wfe.wire.messages import Dispatch
from wfe.worker.link import ACK_PATIENCE_MS, LinkState


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


def test_a_result_that_is_never_acknowledged_is_presented_again_however_busy_the_worker_is():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.end(result("a"))
    until_ms, number = engine.now_ms + ACK_PATIENCE_MS, 1
    while engine.now_ms < until_ms:  # the shard waits for its owner: later results are not acknowledged either
        engine.now_ms += 1_000
        number += 1
        engine.dispatch(0, number, spec(f"b{number}"))
        engine.end(result(f"b{number}"))
        engine.ack(0, 0)
        assert engine.actor.links[0].state is LinkState.OPEN
    engine.actor.on_tick(engine.now_ms)
    assert engine.actor.links[0].state is LinkState.HELLO
