"""What is tried on a world that has ended well: its newest backup is restored into a new world, which must go on from
there; and single bits of its files are flipped, or a log's last record torn, which must be noticed and change nothing.

Plays `lmdb.restore`. Invariants: the world's own files stay as they are; all chance comes from the world.
"""

from __future__ import annotations

from ast import literal_eval
from dataclasses import replace
from typing import TYPE_CHECKING

from wfe.errors import WfeError
from wfe.journal.backup import CATALOGUE_PLACE, log_place, store_place
from wfe.journal.catalogue import Catalogue
from wfe.journal.schema import name_of
from wfe.journal.verify import scan_log, verify_store
from wfe.limits import RESTORE_EPOCHS
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimDisk
from wfe.sim.network import Weather
from wfe.sim.node import Violation
from wfe.sim.shards import DrainNode, log_name, store_name

if TYPE_CHECKING:
    from wfe.sim.cuts import Cuts
    from wfe.sim.world import World

RESTORED_STEPS = 400
DAMAGES = 2
ANOTHER = 1_000_000_000
"""Seeds of restored worlds are apart from all others."""


class Restored:
    """What a new world begins with."""

    def __init__(self, disk: SimDisk, cuts: Cuts, wall_ms: int) -> None:
        self.disk, self.cuts, self.wall_ms = disk, cuts, wall_ms


def restore(world: World) -> World | None:
    """A world that goes on from the newest backup, without faults; None when there is none."""
    if world.operator.latest is None:
        return None
    directory, manifest, cuts = world.operator.latest
    disk = SimDisk(SeededRandom(world.chance("restore").getrandbits(64)))
    places = {store_place(number): store_name(number) for number in range(manifest.partitions)}
    places |= {log_place(shard.index): log_name(shard.index) for shard in manifest.shards}
    places[CATALOGUE_PLACE] = "catalogue"
    for file in manifest.files:
        disk.put_file(places[file.name], world.disk.file(f"{directory}/{file.name}").twin())
    catalogue = Catalogue(disk.store("catalogue"))
    catalogue.adopt("restored", max(catalogue.epoch, manifest.epoch) + RESTORE_EPOCHS)
    later_ms = world.chance("restore").choice((0, 1_000, 600_000))
    wall_ms = world.wall_offset_ms + world.schedule.now_us // 1_000 + later_ms
    swarm = replace(world.swarm, faults=(), weather=Weather(), backups=False, moves=False)
    again = type(world)(world.seed + ANOTHER, swarm=swarm, restored=Restored(disk, cuts, wall_ms))
    again.speech = world.speech
    return again


def check_restore(world: World) -> None:
    """The restored world has what was durable at the cut, and every run in it ends."""
    again = restore(world)
    if again is None:
        return
    try:
        again.run_safety(RESTORED_STEPS)
        again.run_live()
    except Violation as violation:
        raise Violation(f"restored from {world.operator.latest and world.operator.latest[0]}: {violation}") from None
    world.auditor.count("restores")
    world.trace.step(world.schedule.now_us, f"restored {again.trace.digest()}")


def check_damage(world: World) -> None:
    """Damaged records are named by the checks, and recovery fails or is right."""
    random = world.chance("damage")
    options = [node.options for node in world.shards()]
    for node in world.shards():
        node.die(-9)
    whole = world.disk
    try:
        for _ in range(DAMAGES):
            world.disk = whole.twin()
            name = random.choice(sorted(n for n in whole.names() if n.startswith(("log-", "store-"))))
            _damage(world.disk, name, tear=name.startswith("log-") and random.random() < 0.3)
            for shard in options:
                node = DrainNode(world, f"damaged-{shard.index}", shard)
                try:
                    world.auditor.recovering(node)
                    node.shard = node.build(None, None)
                    world.auditor.recovered(node)
                except WfeError as error:
                    world.auditor.count("damages_noticed")
                    world.trace.step(world.schedule.now_us, f"damage to {name} is noticed: {error.code}")
                finally:
                    node.alive = False
    finally:
        world.disk = whole


def _damage(disk: SimDisk, name: str, *, tear: bool) -> None:
    place = disk.tear(name) if tear else disk.flip_bit(name)
    if not place:
        return
    if name.startswith("log-"):
        record = f"log/{place}"
        found = [finding.record for finding in scan_log(disk.log(name)).findings]
    else:
        record = name_of(*literal_eval(str(place)))
        found = [finding.record for finding in verify_store(disk.store(name))]
    if record not in found:
        raise Violation(f"{record} of {name} is damaged, the checks name {found}")
