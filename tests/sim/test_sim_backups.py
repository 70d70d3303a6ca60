"""Backups in simulated worlds: each whole one is sound, whatever died; without the barrier it would not be."""

from __future__ import annotations

import pytest

from wfe.shard.sending import Sending
from wfe.sim.backups import Operator
from wfe.sim.node import Violation
from wfe.sim.world import World, quiet

STEPS = 4_000
WITHOUT_BARRIER_SEEDS = range(80, 260)
"""About one seed in seventy finds it."""


def backing(seed: int) -> tuple[World, Operator]:
    quiet()
    world = World(seed)
    world.swarm.open_runs_max = 10_000  # much mail
    if not world.swarm.backups:
        world.operator.start()
    return world, world.operator


@pytest.mark.parametrize("first", [0, 4])
def test_every_backup_that_says_done_is_sound(first: int) -> None:
    done = 0
    for seed in range(first, first + 4):
        world, operator = backing(seed)
        world.run_safety(STEPS)
        world.run_live()
        done += operator.done
    assert done > 0


def test_without_holding_mail_back_the_audit_finds_numbers_that_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sending, "hold", lambda self: None)
    monkeypatch.setattr(Sending, "settled", True)
    found = ""
    for seed in WITHOUT_BARRIER_SEEDS:
        world, _ = backing(seed)
        if world.swarm.shards < 2:
            continue
        world.disk_max_us = 50_000  # draws the cuts of the shards apart
        try:
            world.run_safety(STEPS)
        except Violation as violation:
            found = str(violation)
            if "mail/" in found:
                return
    raise AssertionError(f"no backup was found wrong; the last finding: {found or 'none'}")
