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

from pathlib import Path
from typing import Final

from wfe.config import Durability
from wfe.journal.schema import CATALOGUE_TABLES, PARTITION_TABLES
from wfe.limits import LOG_MAP_BYTES, MIB, STORE_MAP_BYTES
from wfe.lmdb.datalock import DataLock, check_format
from wfe.lmdb.log import LmdbLog
from wfe.lmdb.store import LmdbStore

__all__ = [
    "DataLock",
    "catalogue_path",
    "check_format",
    "log_path",
    "open_catalogue",
    "open_log",
    "open_store",
    "partitions_with_stores",
    "shards_with_logs",
    "store_path",
]

LOG_GROWN_BYTES: Final = 16 * MIB
"""A log's file is filled with zeros up to here when it is made (see `environment.open_environment`)."""
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
    return LmdbLog(
        log_path(data, shard),
        durability=durability,
        map_bytes=LOG_MAP_BYTES,
        readonly=readonly,
        grown_bytes=LOG_GROWN_BYTES,
    )


def open_store(
    data: Path, partition: int, *, durability: Durability = "sync", readonly: bool = False, epoch: int = 0
) -> LmdbStore:
    """A partition's store; made when it is not there. Wrap it in a `journal.store.PartitionStore`."""
    return LmdbStore(
        store_path(data, partition),
        tables=PARTITION_TABLES,
        durability=durability,
        map_bytes=STORE_MAP_BYTES,
        readonly=readonly,
        epoch=epoch,
    )


def open_catalogue(data: Path, *, durability: Durability = "sync", readonly: bool = False) -> LmdbStore:
    """The catalogue's store; made when it is not there. Wrap it in a `journal.catalogue.Catalogue`."""
    return LmdbStore(
        catalogue_path(data),
        tables=CATALOGUE_TABLES,
        durability=durability,
        map_bytes=CATALOGUE_MAP_BYTES,
        readonly=readonly,
        independent=True,
    )


def _numbers(path: Path) -> list[int]:
    if not path.is_dir():
        return []
    return sorted(int(entry.name) for entry in path.iterdir() if entry.name.isdigit() and entry.is_dir())
