"""Snapshots and copies on the simulated disk: `ports.Snapshot`. A copy is a file of its own, by its place's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from wfe.errors import DataError
from wfe.ports import Copied

if TYPE_CHECKING:
    from wfe.sim.disk import SimDisk
    from wfe.sim.files import LogFile, StoreFile


class SimSnapshot:
    """What a log or store holds now. A copy meets the faults of any other write."""

    def __init__(self, disk: SimDisk, file: LogFile | StoreFile) -> None:
        self._disk = disk
        self._file = file.twin()

    def copy_to(self, place: str) -> Copied:
        if place in self._disk.names():
            raise DataError(f"cannot write to {place}: it exists (simulated)")

        def effect() -> Callable[[], None]:
            self._disk.put_file(place, self._file.twin())
            return lambda: self._disk.remove_file(place)

        self._disk.write(place, self._file.size, effect)
        return digest_of(self._file)

    def close(self) -> None:
        """It holds nothing of the disk."""


def digest_of(file: LogFile | StoreFile) -> Copied:
    """Size and digest of what a file holds."""
    digest = hashlib.blake2b(digest_size=32)
    for place in file.places():
        digest.update(repr(place).encode())
        digest.update(file.read_place(place))
    return Copied(file.size, digest.hexdigest())
