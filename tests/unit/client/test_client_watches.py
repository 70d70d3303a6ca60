"""Ends of runs that are lost on the way are asked for again, and nobody asks for what nobody wants."""

from __future__ import annotations

from support.client_world import World, a_run
from support.fake_front import FakeFront, decode
from wfe.client.session import PROBE_MS
from wfe.errors import UnknownRun
from wfe.wire.frames import Kind


def test_an_end_that_was_lost_is_asked_for_again() -> None:
    world = World()
    world.front.run = lambda name, value: None
    batch = world.start(a_run())
    watch = batch.watches[0]
    assert watch is not None
    world.front.end(batch.runs[0].run_id, "completed", 42)  # its OUTCOMES frame is thrown away
    world.run(30_000)
    assert watch.outcome is not None
    assert decode(bytes(watch.outcome.output), int) == 42


def test_a_restarted_shard_is_asked_again_at_once() -> None:
    world = World()
    world.front.run = lambda name, value: None
    batch = world.start(a_run())
    watch = batch.watches[0]
    assert watch is not None
    world.run(200)
    world.front.end(batch.runs[0].run_id, "completed", 42)
    world.front.epoch += 1
    world.run(PROBE_MS + 100)
    assert watch.outcome is not None


def test_watching_a_run_of_somebody_else_asks_the_server_once() -> None:
    world = World()
    world.front.run = lambda name, value: None
    batch = world.start(a_run(watch=False))
    run_id = batch.runs[0].run_id
    first, second = world.session.watch(run_id, world.now_ms), world.session.watch(run_id, world.now_ms)
    world.run(100)
    assert first is second
    assert len(world.front.sent(Kind.AWAIT)) == 1
    world.inbox += world.front.end(run_id, "cancelled")
    world.settle()
    assert first.outcome is not None
    assert first.outcome.status == "cancelled"


def test_an_unknown_run_fails_its_own_watch_only() -> None:
    world = World(FakeFront(partitions=1))
    known = world.start(a_run(watch=False)).runs[0].run_id
    unknown = known[:-1] + ("0" if known[-1] != "0" else "1")
    watches = [world.session.watch(run_id, world.now_ms) for run_id in (unknown, known)]
    world.run(100)
    assert isinstance(watches[0].error, UnknownRun)
    assert watches[1].outcome is not None


def test_a_watch_that_nobody_holds_is_dropped() -> None:
    world = World()
    world.front.run = lambda name, value: None
    world.start(a_run())
    world.run(60_000)
    assert len(world.session.watches) == 0
    assert world.front.sent(Kind.AWAIT) == []


def test_a_client_that_waits_for_an_end_sleeps_while_the_server_is_gone() -> None:
    world = World()
    world.front.run = lambda name, value: None
    watch = world.start(a_run()).watches[0]
    world.front.deaf = True
    world.run(20_000)
    assert not world.session.connected
    assert watch is not None
    assert world.session.due_ms > world.now_ms
