"""What is tried on worlds that ended well: restores of their backups, and damage to their files."""

from __future__ import annotations

import pytest

from wfe.journal import schema
from wfe.ports import Op
from wfe.sim.aftermath import check_damage, check_restore, restore
from wfe.sim.node import Violation
from wfe.sim.world import World, quiet

STEPS = 2_000


def ended(seed: int) -> World:
    quiet()
    world = World(seed)
    if not world.swarm.backups:
        world.operator.start()
    world.run_safety(STEPS)
    world.run_live()
    return world


def backed_up() -> World:
    """A world whose newest backup has runs, some of them in the stores already; none of them expires."""
    for seed in range(100):
        if World(seed).swarm.expiry:
            continue
        world = ended(seed)
        again = restore(world)
        if again is not None and rows_of(again):
            return world
    raise AssertionError("no world made a backup")


def rows_of(world: World) -> list[tuple[int, str, bytes]]:
    """(partition, table, key) of a run in each store."""
    return [
        (number, table, key)
        for number in range(world.partitions)
        for table in (schema.OPEN, schema.ENDED)
        for key, _ in world.disk.store(f"store-{number}").range(table, b"", None, limit=1)
    ]


def test_a_restored_world_begins_with_what_was_durable_at_the_cut_and_ends_all_of_it() -> None:
    world = backed_up()
    check_restore(world)
    assert world.auditor.counts["restores"] == 1


def test_a_restore_that_lacks_a_run_is_noticed() -> None:
    again = restore(backed_up())
    assert again is not None
    number, table, key = rows_of(again)[0]
    again.disk.store(f"store-{number}").commit([Op(table, key, None)])
    with pytest.raises(Violation):
        _live(again)


def test_damage_is_noticed_and_a_world_without_checksums_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ended(3)
    check_damage(world)
    monkeypatch.setattr("wfe.journal.tables.unseal", lambda table, key, value: value[schema.SEAL_BYTES :])
    with pytest.raises(Violation, match="the checks name"):
        _damage_often(world)


def _live(world: World) -> None:
    world.run_safety(400)
    world.run_live()


def _damage_often(world: World) -> None:
    for _ in range(200):
        check_damage(world)
