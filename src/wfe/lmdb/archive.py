"""A backup's directory, as the coordinator uses it: `journal.backup.Archive`. One thread; writes nowhere else.

Invariants: nothing is written into a directory that holds anything; the manifest appears under its name only when all
else is durable.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from wfe.errors import BackupError, DataError, WfeError
from wfe.journal.backup import CATALOGUE_PLACE, MANIFEST_NAME, ArchiveDone, Manifest, encode_manifest
from wfe.journal.checkpoint import Token
from wfe.lmdb.environment import translated
from wfe.lmdb.reader import ReaderThread
from wfe.lmdb.snapshots import make_directory, sync_directory
from wfe.ports import Snapshot
from wfe.wire.backups import CopiedFile


class DirectoryArchive:
    """``data``: the server's data directory, which can hold no backup; ``catalogue`` begins a snapshot of it."""

    def __init__(self, data: Path, catalogue: Callable[[], Snapshot], done: ArchiveDone) -> None:
        self._data, self._catalogue, self._done = data, catalogue, done
        self._thread: ReaderThread | None = None

    def open(self, number: int, directory: str) -> None:
        self._submit(partial(open_directory, Path(directory), self._data), number)

    def finish(self, number: int, directory: str, manifest: Manifest) -> None:
        self._submit(partial(self._finish, Path(directory), manifest), number)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    def _submit(self, work: Callable[[], object], number: int) -> None:
        if self._thread is None:
            self._thread = ReaderThread(self._heard, "archive")
        self._thread.submit(work, number)

    def _heard(self, token: Token, result: object, error: Exception | None) -> None:
        assert isinstance(token, int)
        assert result is None or isinstance(result, Manifest)
        if error is not None and not isinstance(error, WfeError):
            error = BackupError(f"the backup cannot be written: {error}")
        self._done(token, result, error)

    def _finish(self, directory: Path, manifest: Manifest) -> Manifest:
        snapshot = self._catalogue()
        try:
            copied = snapshot.copy_to(str(directory / CATALOGUE_PLACE))
        finally:
            snapshot.close()
        manifest.files.append(CopiedFile(CATALOGUE_PLACE, copied.size_bytes, copied.digest))
        with translated(directory, "write to"):
            write_durably(directory / MANIFEST_NAME, encode_manifest(manifest))
        return manifest


def open_directory(directory: Path, data: Path) -> None:
    """Makes the directory, or finds it empty; DataError when it cannot hold a backup."""
    with translated(directory, "write to"):
        own, server = directory.resolve(), data.resolve()
        if own == server or server in own.parents:
            raise DataError(f"{directory} lies in the data directory; put backups elsewhere, best on another disk")
        if directory.exists() and not directory.is_dir():
            raise DataError(f"{directory} is no directory")
        if directory.is_dir() and any(directory.iterdir()):
            raise DataError(f"{directory} is not empty; each backup needs a directory of its own")
        make_directory(directory)
        probe = directory / ".wfe"
        write_durably(probe, b"\n")
        probe.unlink()


def write_durably(path: Path, data: bytes) -> None:
    """All of it or nothing, durable when it returns; only this user may read it."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
