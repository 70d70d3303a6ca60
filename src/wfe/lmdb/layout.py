"""The layout of a data directory, who may use it, and how to open what is in it.

::

    DATA/format              text: the format version of the directory
    DATA/lock                flock'ed by the coordinator for as long as it lives
    DATA/catalogue/          LMDB: the coordinator's catalogue
    DATA/logs/<shard>/       LMDB: a shard's log
    DATA/partitions/<nnn>/   LMDB: a partition's store

Invariants: one server per directory; ``format`` is written before anything else and never lowered. Log and stores are
environments of their own: one environment for all made a commit's p99 twenty times worse.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from wfe.config import Durability
from wfe.errors import DataError, DataFormat, DataInUse
from wfe.journal.schema import CATALOGUE_TABLES, FORMAT_VERSION, PARTITION_TABLES
from wfe.limits import LOG_MAP_BYTES, MIB, STORE_MAP_BYTES
from wfe.lmdb.environment import DATA_FILE, translated
from wfe.lmdb.log import LmdbLog
from wfe.lmdb.store import LmdbStore

LOG_GROWN_BYTES: Final = 16 * MIB
"""A log's file is filled with zeros up to here when it is made (see `_grow`)."""
CATALOGUE_MAP_BYTES: Final = 1024 * MIB


def log_path(data: Path, shard: int) -> Path:
    """Where a shard's log is."""
    return data / "logs" / str(shard)


def store_path(data: Path, partition: int) -> Path:
    """Where a partition's store is."""
    return data / "partitions" / f"{partition:03d}"


def catalogue_path(data: Path) -> Path:
    """Where the catalogue is."""
    return data / "catalogue"


def shards_with_logs(data: Path) -> list[int]:
    """The shards that have a log in this directory, in order."""
    return _numbers(data / "logs")


def partitions_with_stores(data: Path) -> list[int]:
    """The partitions that have a store in this directory, in order."""
    return _numbers(data / "partitions")


def open_log(data: Path, shard: int, *, durability: Durability = "sync", readonly: bool = False) -> LmdbLog:
    """A shard's log; made when it is not there."""
    path = log_path(data, shard)
    if not readonly and not (path / DATA_FILE).exists():
        LmdbLog(path, durability=durability, map_bytes=LOG_MAP_BYTES).close()
        _grow(path / DATA_FILE, LOG_GROWN_BYTES)
    return LmdbLog(path, durability=durability, map_bytes=LOG_MAP_BYTES, readonly=readonly)


def open_store(data: Path, partition: int, *, durability: Durability = "sync", readonly: bool = False) -> LmdbStore:
    """A partition's store; made when it is not there. Wrap it in a `journal.store.PartitionStore`."""
    return LmdbStore(
        store_path(data, partition),
        tables=PARTITION_TABLES,
        durability=durability,
        map_bytes=STORE_MAP_BYTES,
        readonly=readonly,
    )


def open_catalogue(data: Path, *, durability: Durability = "sync", readonly: bool = False) -> LmdbStore:
    """The catalogue's store; made when it is not there. Wrap it in a `journal.catalogue.Catalogue`."""
    return LmdbStore(
        catalogue_path(data),
        tables=CATALOGUE_TABLES,
        durability=durability,
        map_bytes=CATALOGUE_MAP_BYTES,
        readonly=readonly,
    )


class DataLock:
    """Holds a data directory for one process; the system lets go of it when the process dies, however it dies.

    `DataInUse`: another process holds it; `DataFormat`: a newer wfe made it; `DataError`: it cannot be used.
    """

    def __init__(self, data: Path, *, create: bool = True) -> None:
        """``create``: make the directory when it is missing, and write its format."""
        with translated(data, "use"):
            if create:
                data.mkdir(parents=True, exist_ok=True)
            elif not (data / "format").exists():
                raise DataError(f"{data} is no data directory of wfe: it has no file named format")
            self._file = (data / "lock").open("a+")
        try:
            _lock(self._file, data)
            check_format(data, create=create)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Lets go of the directory."""
        self._file.close()

    def __enter__(self) -> DataLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_format(data: Path, *, create: bool = False) -> int:
    """The directory's format version; writes ours into a directory that has none when ``create``."""
    path = data / "format"
    with translated(data, "use"):
        if not path.exists() and create:
            foreign = sorted(
                entry.name for entry in data.iterdir() if entry.name in {"logs", "partitions", "catalogue"}
            )
            if foreign:
                raise DataError(f"{data} has {', '.join(foreign)} but no file named format; restore a backup")
            _write_durably(path, f"{FORMAT_VERSION}\n")
        text = path.read_text(encoding="ascii", errors="replace").strip()
    if not text.isdigit():
        raise DataError(f"{path} holds {text!r}, not a format version; is {data} a data directory of wfe?")
    if int(text) > FORMAT_VERSION:
        raise DataFormat(
            f"{data} has format {text}, this version of wfe reads up to {FORMAT_VERSION}; upgrade wfe, or choose "
            "another --data"
        )
    return int(text)


def _lock(file: IO[str], data: Path) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise _in_use(data) from error
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(data) from error


def _in_use(data: Path) -> DataInUse:
    return DataInUse(f"another server uses {data}; stop it, or choose another --data")


def _grow(path: Path, size_bytes: int) -> None:
    """Fills a new file with zeros, before any environment has it open. A commit into blocks that exist takes a fifth
    less than one that extends the file, and a log whose front is trimmed stays within them.
    """
    with translated(path.parent, "write to"), path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        while (room := size_bytes - file.tell()) > 0:
            file.write(bytes(min(room, MIB)))
        file.flush()
        os.fsync(file.fileno())


def _write_durably(path: Path, text: str) -> None:
    """All of the text or nothing, durable when it returns."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    if sys.platform != "win32":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _numbers(path: Path) -> list[int]:
    if not path.is_dir():
        return []
    return sorted(int(entry.name) for entry in path.iterdir() if entry.name.isdigit() and entry.is_dir())
