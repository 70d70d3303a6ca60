"""Snapshots of LMDB environments, and their compact copies: `ports.Snapshot`. Writes to the place of a copy only.

A snapshot is a read transaction; while it is open LMDB reuses no page that it can see, so files grow meanwhile.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import lmdb

from wfe.errors import DataError
from wfe.lmdb.environment import DATA_FILE, translated
from wfe.ports import Copied


class EnvironmentSnapshot:
    """What an environment holds now, until `close`."""

    def __init__(self, env: lmdb.Environment, path: Path) -> None:
        self._env, self._path = env, path
        with translated(path, "read"):
            self._txn: lmdb.Transaction | None = env.begin()

    def copy_to(self, place: str) -> Copied:
        """A directory with a data file of its own, free pages left out; durable when it returns."""
        target = Path(place)
        with translated(target.parent, "write to"):
            make_directory(target)
            descriptor = os.open(target / DATA_FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with translated(target, "write to"):
                self._env.copyfd(descriptor, compact=True, txn=self._txn)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with translated(target, "write to"):
            sync_directory(target)
            sync_directory(target.parent)
        return digest_of(target / DATA_FILE)

    def close(self) -> None:
        if self._txn is not None:
            self._txn.abort()
            self._txn = None


def digest_of(file: Path) -> Copied:
    """Size and digest of a file's bytes. DataError when it cannot be read."""
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, new_digest).hexdigest()
            return Copied(stream.tell(), digest)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error


def new_digest() -> hashlib.blake2b:
    """The digest of backups, nothing fed to it yet."""
    return hashlib.blake2b(digest_size=32)


def make_directory(path: Path) -> None:
    """Makes a directory and those above it, for this user only: what is in it are users' payloads."""
    if not path.is_dir():
        if not path.parent.is_dir():
            make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable, where the system can."""
    if os.name == "posix":
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
