"""A task that workers died of runs alone: what runs ends first, what is sent meanwhile goes back."""

from __future__ import annotations

from support.worker_engine import Engine, result, spec
from wfe.wire.frames import Kind
from wfe.wire.messages import Dispatch, TaskRef
from wfe.worker.isolation import ALONE_MS, PATIENCE_MS


def alone(engine: Engine, shard: int, seq: int, name: str) -> None:
    engine.receive(shard, Kind.DISPATCH, Dispatch(seq, [spec(name)], True))


def names(engine: Engine) -> list[str]:
    return [started.run_id for started in engine.started]


def test_it_waits_for_what_runs_and_all_credit_is_called_back() -> None:
    engine = Engine(shards=2).join()
    engine.dispatch(0, 1, spec("a"))
    engine.sent.clear()
    alone(engine, 0, 2, "suspect")
    assert names(engine) == ["a"]
    assert [link for link, kind, _ in engine.sent if kind == Kind.RECALL] == [1], "that of shard 0 is void"
    assert engine.take(Kind.CREDIT) == []
    engine.end(result("a"))
    assert names(engine) == ["a", "suspect"]


def test_what_is_sent_meanwhile_is_not_taken_and_goes_back_unbegun() -> None:
    engine = Engine(shards=2).join()
    alone(engine, 0, 1, "suspect")
    engine.sent.clear()
    engine.dispatch(1, 1, spec("innocent"))
    assert names(engine) == ["suspect"]
    ((link, hello),) = ((link, body) for link, kind, body in engine.sent if kind == Kind.WORKER_HELLO)
    assert (link, hello.held) == (1, [])
    engine.welcome_from(1)
    alone(engine, 1, 1, "another suspect")
    assert names(engine) == ["suspect"]
    assert engine.actor.held == 1


def test_when_it_has_ended_the_worker_takes_work_again() -> None:
    engine = Engine(shards=1).join()
    alone(engine, 0, 1, "suspect")
    engine.sent.clear()
    engine.end(result("suspect"))
    assert [body.results[0].run_id for _, kind, body in engine.sent if kind == Kind.RESULTS] == ["suspect"]
    assert engine.take(Kind.CREDIT)
    engine.dispatch(0, 2, spec("a"))
    assert names(engine) == ["suspect", "a"]


def test_long_tasks_beside_it_do_not_hold_it_up_for_ever_nor_does_it_them() -> None:
    engine = Engine(shards=1).join()
    engine.dispatch(0, 1, spec("long"))
    alone(engine, 0, 2, "suspect")
    engine.tick(PATIENCE_MS - 1)
    engine.load(0, 0, 2)
    assert names(engine) == ["long"]
    engine.tick(1)
    assert names(engine) == ["long", "suspect"]
    engine.sent.clear()
    for _ in range(ALONE_MS // 1_000):
        assert engine.take(Kind.CREDIT) == []
        engine.tick(1_000)
        engine.load(0, 0, 2)
    assert engine.take(Kind.CREDIT), "it has run for so long that others may come"


def test_withdrawn_before_it_began_it_never_begins() -> None:
    engine = Engine(shards=1).join()
    engine.dispatch(0, 1, spec("a"))
    alone(engine, 0, 2, "suspect")
    engine.receive(0, Kind.CANCEL_TASKS, [TaskRef("suspect", 0, 0, 1)])
    engine.end(result("a"))
    assert names(engine) == ["a"]
    assert engine.actor.held == 0
    assert engine.take(Kind.CREDIT)
