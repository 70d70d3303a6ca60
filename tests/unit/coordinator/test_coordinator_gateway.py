"""The gateway as a child of the coordinator."""

from __future__ import annotations

from support.coordinator_world import TOKEN, World
from wfe.config import GatewayOptions
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
