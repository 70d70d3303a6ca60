"""Bodies of the frames that make a backup; `wire.messages` says the rules. ``number`` counts a coordinator's backups.

A number never comes back: a frame with an older number than the last one seen is late and changes nothing.
"""

from __future__ import annotations

from msgspec import Struct

from wfe.wire.runs import ErrorReply


class Backup(Struct, array_like=True):
    """Make a backup in ``directory``, an absolute path on the server's host, empty or not there yet.

    ``id`` is the client's: the same id again asks how that backup goes, and never begins another one.
    """

    id: str
    directory: str


class BackupReport(Struct, array_like=True):
    """How a backup goes. ``phase``: opening, quiescing, cutting, copying, closing, done (then it is whole)."""

    id: str
    directory: str
    phase: str
    files: int = 0
    size_bytes: int = 0
    held_ms: int = 0
    """For how long mail between shards stood still."""
    took_ms: int = 0


class Barrier(Struct, array_like=True):
    """A step of backup ``number``; ``directory`` with CUT only."""

    number: int
    directory: str = ""


class CopiedFile(Struct, array_like=True):
    """A log, store or catalogue in a backup: its place below the directory, size, and BLAKE2b digest (hex)."""

    name: str
    size_bytes: int
    digest: str


class CutDone(Struct, array_like=True):
    """A shard's part of the backup is on the disk; with ``error`` it is not, and never will be."""

    number: int
    files: list[CopiedFile] = []
    error: ErrorReply | None = None


class Release(Struct, array_like=True):
    """Mail may leave again. ``abandon``: the backup was given up, copying may stop."""

    number: int
    abandon: bool = False
