"""Opening LMDB environments, and their errors in our terms. May touch the file system below the given path only.

Invariants: ``writemap`` is never used (a full disk would be SIGBUS); with durability "sync" both syncs stay on, since
anything less lost acknowledged data in simulated power failures.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Final

import lmdb

from wfe.config import Durability
from wfe.errors import DataCorrupt, DataError, DataFull, TooFewDescriptors, WfeError
from wfe.limits import MIB

if sys.platform != "win32":
    # Here and not where it is needed: there nothing can be opened any more, modules included.
    import resource

DATA_FILE: Final = "data.mdb"
FULL_BYTES: Final = MIB
"""A write that failed on a file system with less room than this met a full disk: LMDB calls a short write EIO."""
SPARSE: Final = sys.platform == "linux"
"""Elsewhere a large map costs address space or disk (Windows allocates the file), so maps are smaller there."""
OTHER_MAP_BYTES_MAX: Final = 1024 * MIB

_MAGIC: Final = Struct("=II")
_MAGIC_NUMBER: Final = 0xBEEFC0DE
_LAYOUT: Final = 1
"""Of LMDB's pages: in this one the fields of a header are at these offsets, behind the 16 bytes that each page has."""
_PAGE_SIZE: Final = Struct("=I")
_TRANSACTION: Final = Struct("=Q")
_MAGIC_AT: Final = 16
_PAGE_SIZE_AT: Final = 40
_TRANSACTION_AT: Final = 144
_HEADER_BYTES: Final = 152

_FEW_TEXTS: Final = tuple(os.strerror(code) for code in (errno.EMFILE, errno.ENFILE))
_FULL_TEXTS: Final = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT))


def open_environment(
    path: Path,
    *,
    map_bytes: int,
    tables: int,
    durability: Durability = "sync",
    readonly: bool = False,
    grown_bytes: int = 0,
) -> lmdb.Environment:
    """Opens (or makes) the environment in the directory ``path``. ``tables`` 0: only the unnamed database.

    `DataError` when the directory cannot be used, `DataFull` when there is no room, `DataCorrupt` when the file is no
    LMDB file. ``readonly`` takes no lock: only for directories that no server uses. ``grown_bytes``: how far the file
    of a new environment is filled with zeros. A commit into blocks that exist takes a fifth less than one that extends
    the file, and a log whose front is trimmed stays within them.
    """
    with translated(path, "open"):
        if not readonly and not (path / DATA_FILE).exists():
            _make(path, grown_bytes)
        _check_headers(path / DATA_FILE)
        env = lmdb.open(
            str(path),
            map_size=map_bytes if SPARSE else min(map_bytes, OTHER_MAP_BYTES_MAX),
            max_dbs=tables,
            subdir=True,
            readonly=readonly,
            lock=not readonly,
            create=not readonly,
            sync=durability == "sync",
            metasync=durability == "sync",
            readahead=False,
            mode=0o600,
        )
        if not readonly:
            env.reader_check()
        _fill_tail(env, path / DATA_FILE)
        return env


def _make(path: Path, grown_bytes: int) -> None:
    """Makes an environment whole or not at all: LMDB does not sync its first pages, and what a power loss leaves of
    them can never be opened again. So it is made beside its place, synced, and moved there.
    """
    making = path.with_name(f".{path.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    lmdb.open(str(making), map_size=MIB, subdir=True, mode=0o600).close()
    with (making / DATA_FILE).open("r+b") as file:
        file.seek(0, os.SEEK_END)
        while (room := grown_bytes - file.tell()) > 0:
            file.write(bytes(min(room, MIB)))
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.rmdir()  # empty: an environment without its data file is nothing
    making.rename(path)
    if os.name == "posix":  # elsewhere directories cannot be synced
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _check_headers(file: Path) -> None:
    """LMDB follows the one of a file's two headers that has the higher transaction number. One flipped bit of a number
    would bring older data back, and nothing else would tell. But transactions write them in turns: so the numbers
    differ by one (in a new file both are 0), and the odd one is the second's. `DataCorrupt` when they do not. The bit
    that is worth 2 may escape: it can make the older number the next one.
    """
    with file.open("rb") as opened:
        first = opened.read(_HEADER_BYTES)
        if len(first) < _HEADER_BYTES or _MAGIC.unpack_from(first, _MAGIC_AT) != (_MAGIC_NUMBER, _LAYOUT):
            return  # LMDB says itself what is wrong with it, or lays out its pages in another way
        opened.seek(_PAGE_SIZE.unpack_from(first, _PAGE_SIZE_AT)[0])
        second = opened.read(_HEADER_BYTES)
    if len(second) < _HEADER_BYTES:
        return
    even, odd = (_TRANSACTION.unpack_from(header, _TRANSACTION_AT)[0] for header in (first, second))
    if even == odd == 0 or (even % 2 == 0 and abs(even - odd) == 1):
        return
    raise DataCorrupt(f"the headers of {file} do not fit each other ({even}, {odd}); restore a backup", str(file))


def _fill_tail(env: lmdb.Environment, file: Path) -> None:
    """Extends a file that lost its tail (a copy that was cut short) by a hole, so that reading it finds damage, where
    reading the map beyond the end of the file would end the process with SIGBUS. Changes no page that is there.
    """
    needed = (int(env.info()["last_pgno"]) + 1) * int(env.stat()["psize"])
    if file.stat().st_size < needed:
        os.truncate(file, needed)


@contextmanager
def translated(path: Path, action: str) -> Iterator[None]:
    """Turns LMDB's and the system's errors into ours; ``action`` is a verb for the message."""
    try:
        yield
    except WfeError:
        raise
    except (lmdb.Error, OSError) as error:
        raise error_of(error, path, action) from error


def error_of(error: Exception, path: Path, action: str) -> DataError:
    """Our error for one of LMDB's or the system's."""
    text = str(error)
    if isinstance(error, lmdb.MapFullError):
        return DataFull(f"cannot {action} {path}: it has reached its largest size (the map is full)")
    if isinstance(error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)):
        return DataCorrupt(f"cannot {action} {path}: {text}; restore a backup", str(path / DATA_FILE))
    if any(few in text for few in _FEW_TEXTS):
        return TooFewDescriptors(
            f"cannot {action} {path}: {text}; let this process open more files (ulimit -n, LimitNOFILE=)"
        )
    full = isinstance(error, lmdb.DiskError) or any(full in text for full in _FULL_TEXTS)
    if full or (isinstance(error, lmdb.Error) and _free_bytes(path) < FULL_BYTES):
        return DataFull(f"cannot {action} {path}: no space left on its disk; make room")
    return DataError(f"cannot {action} {path}: {text}; check that the directory exists and may be written")


def _free_bytes(path: Path) -> int:
    """Room for the file on its file system, and under the process's limit on file sizes; unknown counts as plenty."""
    try:
        stat = os.statvfs(path)
        free = stat.f_bavail * stat.f_frsize
        if sys.platform != "win32":
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
            if limit != resource.RLIM_INFINITY:
                free = min(free, limit - (path / DATA_FILE).stat().st_size)
    except (OSError, AttributeError):
        return sys.maxsize
    return free
