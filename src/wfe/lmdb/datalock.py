"""Who may use a data directory: the lock, and the format version. Touches ``DATA/lock`` and ``DATA/format`` only.

Invariants: one server per directory, for as long as its process lives; ``format`` is written whole or not at all, and
never lowered.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from wfe.errors import DataError, DataFormat, DataInUse
from wfe.journal.schema import FORMAT_VERSION
from wfe.lmdb.environment import translated


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
        self._file = lock_file(data)
        try:
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


def lock_file(data: Path) -> IO[str]:
    """``DATA/lock``, held until it is closed. `DataInUse`: another process holds it."""
    with translated(data, "use"):
        file = (data / "lock").open("a+")
    try:
        _lock(file, data)
    except BaseException:
        file.close()
        raise
    return file


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
            write_format(data, FORMAT_VERSION)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    if not text.isdigit():
        raise DataError(f"{path} holds {text!r}, not a format version; is {data} a data directory of wfe?")
    if int(text) > FORMAT_VERSION:
        raise DataFormat(
            f"{data} has format {text}, this version of wfe reads up to {FORMAT_VERSION}; upgrade wfe, or choose "
            "another --data"
        )
    return int(text)


def write_format(data: Path, version: int) -> None:
    """Says that the directory is a data directory, durably."""
    _write_durably(data / "format", f"{version}\n")


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
