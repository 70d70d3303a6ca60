"""What a backup consists of, written once above the ports: places, the manifest, and a shard's part of the copying.

A backup is a barrier across shards (`shard.backup`, `coordinator.backups`), then copies of snapshots. Invariants: the
manifest is written last, so a directory without one is no backup; its checksum covers all of it, and it has the digest
of every copy, so that nothing is restored that differs from what was copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from wfe.errors import DataCorrupt, DataFormat, WfeError
from wfe.journal.checkpoint import ReadDone, StoreReader, Token
from wfe.journal.schema import FORMAT_VERSION
from wfe.model.malformed import MALFORMED
from wfe.ports import Log, Snapshot, Store
from wfe.wire.backups import CopiedFile

BACKUP_FORMAT: Final = 1
MANIFEST_NAME: Final = "backup.json"
CATALOGUE_PLACE: Final = "catalogue"


def log_place(shard: int) -> str:
    """Where a shard's log is, below a backup as below a data directory."""
    return f"logs/{shard}"


def store_place(partition: int) -> str:
    """Where a partition's store is."""
    return f"partitions/{partition:03d}"


# ---- the manifest ---------------------------------------------------------------------------------------------------


class ShardPart(Struct):
    """A shard at the time of the backup."""

    index: int
    epoch: int
    partitions: list[int]


class Manifest(Struct):
    """What makes a directory a backup. ``epoch``: the last one given out; times in ms since 1970."""

    format: int
    wfe: str
    server: str
    created_at: int
    partitions: int
    epoch: int
    shards: list[ShardPart]
    files: list[CopiedFile]
    data_format: int = FORMAT_VERSION
    """Of the data directory that it becomes."""
    checksum: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


_decode_manifest = msgspec.json.Decoder(Manifest).decode


class _Format(Struct):
    format: int


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest with its checksum, as the file holds it."""
    sealed = msgspec.structs.replace(manifest, checksum=_checksum(manifest))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """A manifest from a file. `DataFormat` when a newer wfe wrote it, `DataCorrupt` when it is damaged."""
    try:
        version = msgspec.json.decode(data, type=_Format).format
        if version > BACKUP_FORMAT:
            raise DataFormat(
                f"the backup has format {version}, this version of wfe reads up to {BACKUP_FORMAT}; upgrade wfe"
            )
        manifest = _decode_manifest(data)
    except MALFORMED as error:
        raise DataCorrupt(f"the backup's manifest does not decode: {error}", MANIFEST_NAME) from error
    if manifest.checksum != _checksum(manifest):
        raise DataCorrupt("the backup's manifest fails its checksum", MANIFEST_NAME)
    names = [file.name for file in manifest.files]
    if sorted(names) != sorted(places_of(manifest)):
        raise DataCorrupt("the backup's manifest does not name each log, store and the catalogue once", MANIFEST_NAME)
    return manifest


def places_of(manifest: Manifest) -> list[str]:
    """Everything that a whole backup holds."""
    logs = [log_place(shard.index) for shard in manifest.shards]
    return [*logs, *(store_place(number) for number in range(manifest.partitions)), CATALOGUE_PLACE]


def _checksum(manifest: Manifest) -> str:
    plain = msgspec.json.encode(msgspec.structs.replace(manifest, checksum=""))
    return hashlib.blake2b(plain, digest_size=16).hexdigest()


# ---- seams ----------------------------------------------------------------------------------------------------------

CopyDone: TypeAlias = Callable[[int, list[CopiedFile] | None, Exception | None], None]
"""``done(number, files, error)``: without files and error, all snapshots have begun. Perhaps on another thread."""


class Copier(Protocol):
    """Copies a shard's log and stores, off its loop."""

    def submit(self, number: int, directory: str) -> None:
        """Never blocks: begins the snapshots of backup ``number`` and says so, copies, and says so."""
        ...

    def cancel(self) -> None:
        """What is under way may stop at the next file; nothing more is said of it."""
        ...

    @property
    def busy(self) -> bool:
        """Whether log and stores are used, if only by what was cancelled."""
        ...

    def close(self) -> None:
        """Cancels, and waits until nothing of log and stores is used any more."""
        ...


class Archive(Protocol):
    """What the coordinator does to a backup's directory. Never blocks; the outcome comes to `Backups.on_archived`."""

    def open(self, number: int, directory: str) -> None:
        """Makes the directory, or finds it empty, and sees that it can be written."""
        ...

    def finish(self, number: int, directory: str, manifest: Manifest) -> None:
        """Copies the catalogue, then writes the manifest, which makes the directory a backup."""
        ...

    def close(self) -> None:
        """Waits for what is under way."""
        ...


ArchiveDone: TypeAlias = Callable[[int, Manifest | None, WfeError | None], None]
"""``done(number, manifest, error)``: without both, the directory is open. Perhaps on another thread."""


# ---- a shard's part -------------------------------------------------------------------------------------------------


class _Job:
    """The snapshots of one backup, and the copies of them. Stores begin first: no checkpoint runs meanwhile, and what
    the log forgets was in the stores before.
    """

    def __init__(self, number: int, directory: str, parts: Mapping[str, Log | Store]) -> None:
        self.number, self._directory, self._parts = number, directory, parts
        self._snapshots: dict[str, Snapshot] = {}
        self.cancelled = False

    def begin(self) -> None:
        try:
            for place, part in self._parts.items():
                if self.cancelled:
                    break
                self._snapshots[place] = part.snapshot()
        except BaseException:
            self.close()
            raise

    def copy(self) -> list[CopiedFile]:
        """Empty when it was cancelled, or never begun."""
        files = []
        try:
            for place, snapshot in self._snapshots.items():
                if self.cancelled:
                    return []
                copied = snapshot.copy_to(f"{self._directory}/{place}")
                snapshot.close()
                files.append(CopiedFile(place, copied.size_bytes, copied.digest))
        finally:
            self.close()
        return files

    def close(self) -> None:
        for snapshot in self._snapshots.values():
            snapshot.close()
        self._snapshots = {}


class ShardCopier:
    """`Copier` over the ports. ``background`` makes the thread that it works on, when it is first needed."""

    def __init__(
        self,
        index: int,
        log: Log,
        stores: Mapping[int, Store],
        background: Callable[[ReadDone], StoreReader],
        done: CopyDone,
    ) -> None:
        self._index, self._log, self._stores = index, log, stores
        self._make_background, self._done = background, done
        self._background: StoreReader | None = None
        self._job: _Job | None = None
        self._asked = self._heard_of = 0

    @property
    def busy(self) -> bool:
        return self._asked != self._heard_of

    def submit(self, number: int, directory: str) -> None:
        self.cancel()
        if self._background is None:
            self._background = self._make_background(self._heard)
        parts: dict[str, Log | Store] = {store_place(number): store for number, store in self._stores.items()}
        parts[log_place(self._index)] = self._log
        job = self._job = _Job(number, directory, parts)
        self._asked += 2
        self._background.submit(job.begin, (job, False))
        self._background.submit(job.copy, (job, True))

    def cancel(self) -> None:
        if self._job is not None:
            self._job.cancelled = True
            self._job = None

    def close(self) -> None:
        self.cancel()
        if self._background is not None:
            self._background.close()

    def _heard(self, token: Token, result: object, error: Exception | None) -> None:
        assert isinstance(token, tuple)
        job, copied = token
        self._heard_of += 1
        if job.cancelled:
            return
        if error is not None:
            job.cancelled = True
            self._done(job.number, None, error)
        elif copied:
            assert isinstance(result, list)
            self._done(job.number, result, None)
        else:
            self._done(job.number, None, None)
