"""A worker whose server was replaced, by one restored from a backup, perhaps."""

from __future__ import annotations

from support.worker_engine import Engine, result, spec
from wfe.model.needs import needs_of
from wfe.wire.frames import Kind
from wfe.wire.lending import Want
from wfe.wire.messages import ShardLoad, Welcome
from wfe.worker.actor import COORDINATOR


def test_what_the_former_server_gave_is_neither_held_nor_reported_to_another_one() -> None:
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.end(result("b"))
    engine.take(Kind.RESULTS)
    engine.endpoints[0].epoch = 1_000_001
    engine.receive(COORDINATOR, Kind.WELCOME, Welcome("restored", 32, 0, engine.endpoints))
    assert engine.cancelled == ["a"]
    (hello,) = engine.take(Kind.WORKER_HELLO)
    assert hello.held == []
    engine.welcome_from(0)
    engine.end(result("a"))
    assert engine.take(Kind.RESULTS) == []


def test_what_was_granted_to_a_shard_that_the_other_server_does_not_have_is_there_for_those_that_it_has() -> None:
    engine = Engine(shards=2, resources={"gpu": 1_000}).join()
    one = needs_of((), {"gpu": 1})
    assert one is not None
    engine.receive(1, Kind.LOAD, ShardLoad(0, 0, [Want(one, 1)]))
    engine.endpoints.pop()
    engine.receive(COORDINATOR, Kind.WELCOME, Welcome("restored", 32, 0, engine.endpoints))
    engine.welcome_from(0)
    engine.take(Kind.GRANT)
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(one, 1)]))
    assert [grants.tasks for grants in engine.take(Kind.GRANT, 0)] == [[Want(one, 1)]]


def test_the_same_server_under_a_new_epoch_gets_what_is_held_and_unacknowledged() -> None:
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.end(result("b"))
    engine.take(Kind.RESULTS)
    engine.endpoints[0].epoch = 2
    engine.welcome()
    sent = list(engine.sent)
    assert [ref.run_id for _, kind, hello in sent if kind == Kind.WORKER_HELLO for ref in hello.held] == ["a"]
    assert [r.run_id for _, kind, frame in sent if kind == Kind.RESULTS for r in frame.results] == ["b"]
