"""The gateway as a child of the coordinator."""

from __future__ import annotations

from support.coordinator_world import TOKEN, World
from wfe.config import GatewayOptions, TracerOptions
from wfe.coordinator.supervision import ChildState
from wfe.limits import RESTART_INTENSITY


def test_a_gateway_is_started_only_where_http_is_asked_for() -> None:
    assert "gateway-0" not in dict(World().start().effects.spawned)
    world = World(http="127.0.0.1:7780").start()
    options = world.last_options("gateway-0")
    assert isinstance(options, GatewayOptions)
    assert (options.http, options.token, options.connect) == ("127.0.0.1:7780", TOKEN, "ipc://front")


def test_a_gateway_that_ends_is_started_again_for_good() -> None:
    world = World(http="127.0.0.1:7780").serving()
    for _ in range(RESTART_INTENSITY + 3):
        world.actor.on_child_exit("gateway-0", 1, world.now_ms)
        world.pass_time(10_000)
        assert world.actor.supervisor.children["gateway-0"].state is ChildState.RUNNING
    assert not world.effects.killed


def test_a_drain_asks_the_gateway_to_leave_and_waits_for_it() -> None:
    world = World(shards=1, http="127.0.0.1:7780").serving()
    world.actor.drain(world.now_ms)
    assert world.effects.terminated == ["gateway-0"]
    world.actor.on_child_exit("shard-0", 0, world.now_ms)
    assert not world.actor.done
    world.actor.on_child_exit("gateway-0", 0, world.now_ms)
    assert world.actor.done


def test_the_server_is_ready_once_its_gateway_listens_and_only_then_names_its_url() -> None:
    world = World(shards=1, http="127.0.0.1:7780").serving()
    assert not world.actor.ready()
    assert world.actor.status(world.now_ms).http == ""
    world.hello(b"another", worker="gateway-99999")
    assert not world.actor.ready(), "it is another server's, or stands alone"
    world.hello(b"ours", worker=f"gateway-{world.actor.supervisor.children['gateway-0'].pid}")
    assert world.actor.ready()
    assert world.actor.status(world.now_ms).http == "http://127.0.0.1:7780"


def test_a_gateway_that_fails_holds_up_no_server_and_is_not_named_while_it_is_away() -> None:
    world = World(shards=1, http="127.0.0.1:7780").serving()
    world.actor.on_child_exit("gateway-0", 2, world.now_ms)
    assert world.actor.ready()
    assert world.actor.status(world.now_ms).http == ""
    world.pass_time(10_000)
    child = world.actor.supervisor.children["gateway-0"]
    world.hello(b"ours", worker=f"gateway-{child.pid}")
    assert world.actor.status(world.now_ms).http == "http://127.0.0.1:7780"
    world.actor.on_child_exit("gateway-0", -9, world.now_ms)
    assert world.actor.status(world.now_ms).http == ""


def test_a_tracer_is_started_only_where_traces_are_asked_for_and_leaves_after_the_workers() -> None:
    assert "tracer-0" not in dict(World().start().effects.spawned)
    world = World(shards=1, workers=1, otel="http://127.0.0.1:4318").serving()
    options = world.last_options("tracer-0")
    assert isinstance(options, TracerOptions)
    assert (options.otel, options.token, options.connect) == ("http://127.0.0.1:4318", TOKEN, "ipc://front")
    assert world.last_options("worker-0").otel == "http://127.0.0.1:4318"
    assert world.last_options("shard-0").trace_share == 0.5
    world.actor.drain(world.now_ms)
    assert "tracer-0" not in world.effects.terminated
    world.actor.on_child_exit("worker-0", 0, world.now_ms)
    assert "tracer-0" in world.effects.terminated
