"""From a recording of writes and syncs: every image of the files that a power loss could leave.

A sync of a file makes its earlier writes durable; of the writes since, any subset of 512-byte sectors may be there.
Renames and new sizes of synced files are taken as durable in order, as journalling file systems do after a sync of the
directory.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512
OPEN, WRITE, WRITE_THROUGH, SYNC, TRUNCATE, RENAME = 1, 2, 3, 4, 5, 6
_ZERO = bytes(SECTOR)
_HEAD = struct.Struct("<IIQQ")


@dataclass
class File:
    """``durable``: sectors that a power loss keeps (zeros are left out); ``pending``: written since the last sync."""

    path: str
    durable: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    pending_size: int = 0

    def write(self, offset: int, data: bytes) -> None:
        seen = dict(self.pending)
        first, last = offset // SECTOR, (offset + len(data) - 1) // SECTOR
        for number in range(first, last + 1):
            sector = bytearray(seen.get(number) or self.durable.get(number, _ZERO))
            start = max(offset, number * SECTOR)
            stop = min(offset + len(data), (number + 1) * SECTOR)
            sector[start - number * SECTOR : stop - number * SECTOR] = data[start - offset : stop - offset]
            self.pending.append((number, bytes(sector)))
        self.pending_size = max(self.pending_size, self.size, offset + len(data))

    def keep(self, sectors: list[tuple[int, bytes]]) -> None:
        for number, sector in sectors:
            if sector == _ZERO:
                self.durable.pop(number, None)
            else:
                self.durable[number] = sector

    def sync(self) -> None:
        self.keep(self.pending)
        self.size = max(self.size, self.pending_size)
        self.pending, self.pending_size = [], 0

    def image(self, choice: random.Random, share: float) -> tuple[dict[int, bytes], int]:
        """Sectors and size after a power loss in which each pending sector is there with this probability."""
        sectors, size = dict(self.durable), self.size
        for number, sector in self.pending:
            if choice.random() < share:
                sectors[number] = sector
                size = max(size, min(self.pending_size, (number + 1) * SECTOR))
        return sectors, size


class Recording:
    """Plays a recording back, operation by operation."""

    def __init__(self, data: bytes, root: str) -> None:
        self._data = data
        self._root = root
        self.files: dict[int, File] = {}
        self.acknowledged: list[dict[str, Any]] = []

    def steps(self) -> Iterator[int]:
        """Applies one operation at a time and says which; the state after it is in ``files`` and ``acknowledged``."""
        position = 0
        while position < len(self._data):
            op, number, offset, length = _HEAD.unpack_from(self._data, position)
            position += _HEAD.size
            payload = b""
            if op in (OPEN, WRITE, WRITE_THROUGH, RENAME):
                payload = self._data[position : position + length]
                position += length
            self._apply(op, number, offset, payload)
            yield op

    def _apply(self, op: int, number: int, offset: int, payload: bytes) -> None:
        if op == OPEN:
            self.files[number] = self._opened(payload.decode())
        elif op == RENAME:
            old, new = (part.decode() for part in payload.split(b"\0"))
            for file in self.files.values():
                if file.path == old or file.path.startswith(old + "/"):
                    file.path = new + file.path.removeprefix(old)
        elif op == TRUNCATE:
            file = self.files[number]
            file.size = offset
            file.durable = {n: s for n, s in file.durable.items() if n * SECTOR < offset}
            file.pending, file.pending_size = [], 0
        elif op == SYNC:
            self.files[number].sync()
        elif self.files[number].path.endswith("/acks"):
            self.acknowledged += [json.loads(line) for line in payload.splitlines()]
        else:
            file = self.files[number]
            before = len(file.pending)
            file.write(offset, payload)
            if op == WRITE_THROUGH:
                file.keep(file.pending[before:])
                del file.pending[before:]

    def _opened(self, path: str) -> File:
        """The file of a path: after a rename it is one that is known by another number."""
        return next((file for file in self.files.values() if file.path == path), None) or File(path)

    def write_image(self, target: Path, seed: int) -> None:
        """The directory as a power loss at this moment could leave it; the seed chooses which sectors are there."""
        choice = random.Random(seed)
        share = choice.choice((0.0, 0.1, 0.5, 0.9, 1.0, choice.random()))
        for file in {id(file): file for file in self.files.values()}.values():
            name = file.path.removeprefix(self._root)
            if name.endswith(("lock.mdb", "acks")) or not (file.size or file.pending):
                continue  # directories, which are only opened to be synced, never have a size
            sectors, size = file.image(choice, share)
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                for number in sorted(sectors):
                    out.seek(number * SECTOR)
                    out.write(sectors[number])
                out.truncate(size)
