"""`wfe restore`: checks a whole backup, then makes a data directory of it. Changes nothing in the backup.

Invariants: nothing is written before everything was checked, and what is written is compared again with the manifest's
digests; the file ``format`` comes last, so no server starts on half a restore; the new directory is another server's
(a fresh id), whose epochs begin far above those of the one it comes from, so that workers and leases of that one are
fenced. The token is not part of a backup: the restored server makes its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from msgspec import Struct

from wfe.errors import DataCorrupt, DataError, DataFormat, DataFull
from wfe.journal.backup import MANIFEST_NAME, Manifest, decode_manifest
from wfe.journal.catalogue import Catalogue
from wfe.journal.schema import FORMAT_VERSION
from wfe.limits import MIB, RESTORE_EPOCHS
from wfe.lmdb.datalock import lock_file, write_format
from wfe.lmdb.environment import DATA_FILE, translated
from wfe.lmdb.layout import open_catalogue
from wfe.lmdb.snapshots import digest_of, make_directory, new_digest, sync_directory
from wfe.lmdb.verify import DataReport, verify_tree

SHOWN_FINDINGS = 5


class Restored(Struct):
    """What a restore made. ``created_at``: when the backup was made, in ms since 1970."""

    backup: str
    data: str
    created_at: int
    files: int
    size_bytes: int
    open_runs: int
    ended_runs: int
    epoch: int


def restore(backup: Path, data: Path, server_id: str) -> Restored:
    """Makes ``data``, which is empty or not there, from a backup. ``server_id``: of the new server, fresh.

    `DataError`: no backup, or ``data`` cannot be used (`DataInUse`, `DataFull`); `DataCorrupt`: the backup is damaged.
    """
    _refuse_target(data, backup)
    manifest = read_manifest(backup)
    report = check_backup(backup, manifest)
    _refuse_small_disk(data, manifest.size_bytes)
    made = not data.exists()
    with translated(data, "write to"):
        make_directory(data)
    lock = lock_file(data)
    try:
        epoch = _write(backup, data, manifest, server_id)
    except BaseException:
        _undo(data, made)
        raise
    finally:
        lock.close()
    return Restored(
        str(backup),
        str(data),
        manifest.created_at,
        len(manifest.files),
        manifest.size_bytes,
        report.open_runs,
        report.ended_runs,
        epoch,
    )


def read_manifest(backup: Path) -> Manifest:
    """DataError when the directory is no finished backup; DataFormat, DataCorrupt."""
    try:
        data = (backup / MANIFEST_NAME).read_bytes()
    except OSError as error:
        raise DataError(
            f"{backup} is no finished backup: it has no file {MANIFEST_NAME} ({error.strerror or error})"
        ) from error
    manifest = decode_manifest(data)
    if manifest.data_format > FORMAT_VERSION:
        raise DataFormat(
            f"the backup holds data of format {manifest.data_format}, this version of wfe reads up to "
            f"{FORMAT_VERSION}; upgrade wfe"
        )
    return manifest


def check_backup(backup: Path, manifest: Manifest) -> DataReport:
    """Sizes and digests of all files, then every record in them. DataCorrupt with what was found."""
    for file in manifest.files:
        path = backup / file.name / DATA_FILE
        found = digest_of(path)
        if (found.size_bytes, found.digest) != (file.size_bytes, file.digest):
            raise DataCorrupt("a file of the backup is not what was copied: use another backup", str(path))
    report = verify_tree(backup, manifest.data_format)
    if report.findings:
        shown = "; ".join(f"{finding.record}: {finding.message}" for finding in report.findings[:SHOWN_FINDINGS])
        raise DataCorrupt(f"the backup holds damaged data ({len(report.findings)} findings): {shown}", str(backup))
    return report


def _refuse_target(data: Path, backup: Path) -> None:
    with translated(data, "use"):
        own, other = data.resolve(), backup.resolve()
        if own == other or other in own.parents or own in other.parents:
            raise DataError(f"{data} and the backup {backup} must be apart from each other")
        if data.exists() and not data.is_dir():
            raise DataError(f"{data} is no directory")
        if data.is_dir() and any(data.iterdir()):
            if (data / "lock").exists():
                lock_file(data).close()  # DataInUse while a server runs
            raise DataError(f"{data} is not empty; restore into a directory that is empty or not there")


def _refuse_small_disk(data: Path, size_bytes: int) -> None:
    above = data
    while not above.exists():
        above = above.parent
    with translated(data, "use"):
        free = shutil.disk_usage(above).free
    if free < size_bytes + MIB:
        raise DataFull(f"{size_bytes} bytes are to be restored, and {above} has room for {free}; make room first")


def _write(backup: Path, data: Path, manifest: Manifest, server_id: str) -> int:
    """Copies, then makes the catalogue the new server's; returns its epoch."""
    with translated(data, "write to"):
        for file in manifest.files:
            _copy(backup / file.name / DATA_FILE, data / file.name, file.digest)
    catalogue = Catalogue(open_catalogue(data))
    try:
        catalogue.adopt(server_id, max(catalogue.epoch, manifest.epoch) + RESTORE_EPOCHS)
    finally:
        catalogue.close()
    with translated(data, "write to"):
        for directory in (data / "logs", data / "partitions", data):
            sync_directory(directory)
        write_format(data, manifest.data_format)
    return catalogue.epoch


def _copy(source: Path, directory: Path, expected: str) -> None:
    make_directory(directory)
    digest = new_digest()
    descriptor = os.open(directory / DATA_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target, source.open("rb") as stream:
        while block := stream.read(MIB):
            digest.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    sync_directory(directory)
    if digest.hexdigest() != expected:
        raise DataCorrupt("a file of the backup changed while it was restored", str(source))


def _undo(data: Path, made: bool) -> None:
    """The directory was empty, or not there, and is so again."""
    for name in ("logs", "partitions", "catalogue"):
        shutil.rmtree(data / name, ignore_errors=True)
    for name in ("format", "format.new", "lock"):
        (data / name).unlink(missing_ok=True)
    if made:
        shutil.rmtree(data, ignore_errors=True)
