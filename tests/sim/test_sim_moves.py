"""Partitions move between simulated shards while everything else goes wrong; what the auditor would find if they did so
carelessly is in `mutants_moves`."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from wfe.sim.node import Violation
from wfe.sim.swarm import choose
from wfe.sim.world import World, quiet

STEPS = 2_500


def moving(seed: int) -> World:
    """A world with two shards at least, in which partitions move."""
    quiet()
    swarm = choose(Random(f"{seed}/swarm"))
    return World(seed, swarm=replace(swarm, moves=True, shards=max(2, swarm.shards)))


@pytest.mark.parametrize("first", range(0, 24, 6))
def test_every_promise_is_kept_while_partitions_move(first: int) -> None:
    handed = 0
    for seed in range(first, first + 6):
        world = moving(seed)
        try:
            world.run_safety(STEPS)
            world.run_live()
        except Violation as violation:
            raise AssertionError(f"seed {seed}: {violation}") from violation
        handed += world.auditor.counts.get("partitions_handed", 0)
    assert handed > 0


def test_moves_end_as_they_should() -> None:
    world = moving(3)
    world.run_safety(STEPS)
    world.run_live()
    assert not world.engine.actor.rebalancing.active
    assert not world.engine.actor.topology.held
    assert all(shard.shard is not None and shard.shard.handovers.idle for shard in world.shards())
    owned = [number for shard in world.shards() if shard.shard is not None for number in shard.shard.core.partitions]
    assert sorted(owned) == list(range(world.partitions))
