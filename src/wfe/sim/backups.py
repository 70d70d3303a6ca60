"""Backups in the simulated world: the archive on the simulated disk, somebody who asks for backups, and their audit.

The audit judges each whole backup with the production's own checks (records, joins of logs and stores, mail numbers):
findings are a violation, whatever faults there were. `Operator.start` is called by whoever wants backups in a world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.errors import WfeError
from wfe.journal.backup import CATALOGUE_PLACE, Manifest, decode_manifest, encode_manifest, log_place, store_place
from wfe.journal.verify import scan_log, verify_catalogue, verify_join, verify_store
from wfe.journal.verify_mail import Records, replay_records, stored_record, verify_mail
from wfe.journal.verify_store import Entity, Finding
from wfe.sim.node import Violation
from wfe.wire.backups import Backup, CopiedFile

if TYPE_CHECKING:
    from wfe.sim.cuts import Cuts
    from wfe.sim.disk import SimDisk
    from wfe.sim.engine import EngineNode
    from wfe.sim.world import World

PAUSES_US = (50_000, 500_000, 3_000_000)


class SimArchive:
    """`journal.backup.Archive`: each step happens a while later, as a step of the coordinator's process."""

    def __init__(self, engine: EngineNode) -> None:
        self._engine = engine

    def open(self, number: int, directory: str) -> None:
        self._engine.after(self._engine.world.disk_delay_us(), "open a backup", self._heard, number, None, None)

    def finish(self, number: int, directory: str, manifest: Manifest) -> None:
        delay_us = self._engine.world.disk_delay_us()
        self._engine.after(delay_us, "finish a backup", self._finish, number, directory, manifest)

    def close(self) -> None:
        """There is no thread."""

    def _finish(self, number: int, directory: str, manifest: Manifest) -> None:
        snapshot = self._engine.catalogue.snapshot()
        try:
            copied = snapshot.copy_to(f"{directory}/{CATALOGUE_PLACE}")
        except WfeError as error:
            self._heard(number, None, error)
            return
        manifest.files.append(CopiedFile(CATALOGUE_PLACE, copied.size_bytes, copied.digest))
        if findings := audit(self._engine.world.disk, directory, decode_manifest(encode_manifest(manifest))):
            raise Violation(f"the backup {directory} is not sound: {findings[:3]}")
        world = self._engine.world
        world.operator.finished(number, directory, manifest)
        self._heard(number, manifest, None)

    def _heard(self, number: int, manifest: Manifest | None, error: WfeError | None) -> None:
        self._engine.actor.backups.on_archived(number, manifest, error, self._engine.now_ms())


def audit(disk: SimDisk, directory: str, manifest: Manifest) -> list[Finding]:
    """What a restore would find wrong."""
    findings: list[Finding] = []
    held: dict[Entity, int] = {}
    records: Records = {}
    for number in range(manifest.partitions):
        store = disk.store(f"{directory}/{store_place(number)}")
        findings += verify_store(store, held)
        if (record := stored_record(store)) is not None:
            records[number] = record
    for shard in manifest.shards:
        log = disk.log(f"{directory}/{log_place(shard.index)}")
        scan = scan_log(log)
        findings += scan.findings + verify_join(scan, held, range(manifest.partitions))
        if not scan.findings:
            replay_records(log, records)
    catalogue = disk.store(f"{directory}/{CATALOGUE_PLACE}")
    return findings + verify_mail(records) + verify_catalogue(catalogue)


class Operator:
    """Asks for one backup after the other; counts how they end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.chance("backups")
        self._pause_us = self._random.choice(PAUSES_US)
        self._asked = 0
        self.done = 0
        self.given_up: dict[str, int] = {}
        self.latest: tuple[str, Manifest, Cuts] | None = None
        """The newest whole backup: where, what, and what the auditor knew when it was cut."""

    def finished(self, number: int, directory: str, manifest: Manifest) -> None:
        """A backup is whole; an older one is thrown away."""
        disk = self._world.disk
        if self.latest is not None:
            for name in [name for name in disk.names() if name.startswith(f"{self.latest[0]}/")]:
                disk.remove_file(name)
        self.latest = (directory, manifest, self._world.auditor.cuts.of(number))

    def start(self) -> None:
        self._world.schedule.after(self._random.randrange(self._pause_us), self._ask)

    def _ask(self) -> None:
        if self._world.calm:
            return
        self._asked += 1
        self._look(f"backup-{self._asked}")

    def _look(self, name: str) -> None:
        """Begins the backup, or asks how it goes."""
        engine = self._world.engine
        self._world.trace.step(self._world.schedule.now_us, f"ask for {name}")
        if not engine.alive or not hasattr(engine, "actor"):
            self.start()
            return
        try:
            report = engine.actor.backups.request(Backup(name, f"/{name}"), engine.now_ms())
        except WfeError as error:
            self.given_up[error.code] = self.given_up.get(error.code, 0) + 1
            self.start()
            return
        if report.phase == "done":
            self.done += 1
            self.start()
        else:
            self._world.schedule.after(50_000, self._look, name)
