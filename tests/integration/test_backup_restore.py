"""Backups on real LMDB: copies under writes, the manifest, full disks, damage, and what restore refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from msgspec.msgpack import encode

from wfe.errors import DataCorrupt, DataError, DataFormat, DataFull, DataInUse
from wfe.journal.backup import BACKUP_FORMAT, Manifest, ShardCopier, ShardPart, decode_manifest, encode_manifest
from wfe.journal.catalogue import Catalogue
from wfe.journal.log import Chunk, ShardLog
from wfe.journal.rows import record_ops
from wfe.journal.store import PartitionStore
from wfe.limits import RESTORE_EPOCHS
from wfe.lmdb import restore as restoring
from wfe.lmdb.archive import DirectoryArchive
from wfe.lmdb.datalock import DataLock
from wfe.lmdb.layout import open_catalogue, open_log, open_store
from wfe.lmdb.reader import ReaderThread
from wfe.lmdb.restore import restore
from wfe.lmdb.verify import verify_data
from wfe.model.event import MailSent, MailTaken, PartitionChunk
from wfe.model.mail import NULL
from wfe.partition.mailbox import RecordState, encode_record, evolve_record
from wfe.wire.backups import CopiedFile

WAIT_S = 30


class Engine:
    """A data directory with two partitions on one shard, and what makes backups of it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.lock = DataLock(data)
        self.catalogue = Catalogue(open_catalogue(data), partitions=2, server_id="old")
        self.catalogue.assign({0: 0, 1: 0})
        self.epoch = self.catalogue.next_epoch()
        self.stores = {number: open_store(data, number) for number in (0, 1)}
        for number, store in self.stores.items():
            PartitionStore(store, number, 2)
        self.raw = open_log(data, 0)
        self.log = ShardLog(self.raw, self.epoch)
        self.news: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self.copier = ShardCopier(0, self.raw, self.stores, ReaderThread, self._heard)
        self.archive = DirectoryArchive(data, self.catalogue.snapshot, self._heard)

    def _heard(self, *news: Any) -> None:
        self.news.put(news)

    def append(self, *events: Any, partition: int = 0, first: int = 1) -> None:
        chunk = encode(PartitionChunk(1_700_000_000_000, list(events)))
        self.log.append([Chunk(partition, self.epoch, "", first, len(events), chunk)])

    def next_news(self) -> tuple[Any, ...]:
        return self.news.get(timeout=WAIT_S)

    def backup(self, directory: Path) -> Manifest:
        self.archive.open(1, str(directory))
        assert self.next_news() == (1, None, None)
        self.copier.submit(1, str(directory))
        assert self.next_news() == (1, None, None)
        _, files, error = self.next_news()
        assert error is None, error
        manifest = Manifest(
            BACKUP_FORMAT, "0", "old", 1_700_000_000_000, 2, self.catalogue.epoch, [ShardPart(0, 1, [0, 1])], files
        )
        self.archive.finish(1, str(directory), manifest)
        _, manifest, error = self.next_news()
        assert error is None, error
        return manifest

    def close(self) -> None:
        self.copier.close()
        self.archive.close()
        self.raw.close()
        for store in self.stores.values():
            store.close()
        self.catalogue.close()
        self.lock.close()


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    made = Engine(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def backup(engine: Engine, tmp_path: Path) -> Path:
    engine.append(MailSent(1, 1, NULL))
    engine.append(MailTaken(0, 1), partition=1)
    engine.backup(tmp_path / "backup")
    return tmp_path / "backup"


def test_a_restored_directory_holds_what_was_copied_and_is_another_server(
    engine: Engine, backup: Path, tmp_path: Path
) -> None:
    done = restore(backup, tmp_path / "new", "fresh")
    assert (done.files, done.epoch) == (4, engine.epoch + RESTORE_EPOCHS)
    report = verify_data(tmp_path / "new")
    assert (report.findings, report.log_events, report.partitions) == ([], 2, 2)
    catalogue = Catalogue(open_catalogue(tmp_path / "new"))
    assert (catalogue.server_id, catalogue.owners()) == ("fresh", {0: 0, 1: 0})
    assert catalogue.next_epoch() == done.epoch + 1
    catalogue.close()


def test_what_is_written_after_the_snapshots_have_begun_is_in_no_copy(engine: Engine, tmp_path: Path) -> None:
    engine.append(MailSent(1, 1, NULL))
    snapshot = engine.raw.snapshot()
    engine.append(MailSent(1, 2, NULL), first=2)
    copied = snapshot.copy_to(str(tmp_path / "copies" / "logs" / "0"))
    snapshot.close()
    assert copied.size_bytes == (tmp_path / "copies" / "logs" / "0" / "data.mdb").stat().st_size
    log = open_log(tmp_path / "copies", 0, readonly=True)
    assert [position for position, _ in log.read(0)] == [1]
    log.close()


def test_files_of_a_backup_are_for_their_owner_only(backup: Path) -> None:
    files = [path for path in backup.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


# ---- what cannot be backed up into ----


def refusal(engine: Engine, directory: Path) -> Exception:
    engine.archive.open(1, str(directory))
    error: Exception = engine.next_news()[2]
    assert error is not None
    return error


def test_a_directory_that_is_not_empty_is_refused_and_left_alone(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("x")
    assert "not empty" in str(refusal(engine, tmp_path / "full"))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter"]


def test_a_backup_into_the_data_directory_is_refused(engine: Engine) -> None:
    assert "data directory" in str(refusal(engine, engine.data / "backup"))
    assert not (engine.data / "backup").exists()


def test_a_file_or_a_place_below_a_file_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert isinstance(refusal(engine, tmp_path / "file"), DataError)
    assert isinstance(refusal(engine, tmp_path / "file" / "below"), DataError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "may be written" in str(refusal(engine, tmp_path / "locked"))


def test_a_disk_that_fills_up_is_said_so_and_the_engine_goes_on(
    engine: Engine, tmp_path: Path, limit_file_size: Callable[[int], None]
) -> None:
    engine.stores[0].commit(record_ops(1, bytes(200_000)))
    limit_file_size(65_536)
    engine.copier.submit(1, str(tmp_path / "backup"))
    assert engine.next_news() == (1, None, None)
    _, files, error = engine.next_news()
    assert (files, type(error)) == (None, DataFull)
    engine.append(MailSent(1, 1, NULL))


@pytest.fixture
def limit_file_size() -> Any:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ---- what restore refuses ----


def refuse(backup: Path, data: Path, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        restore(backup, data, "fresh")
    assert not data.exists(), "nothing was written"


def test_an_unfinished_backup_is_none(backup: Path, tmp_path: Path) -> None:
    (backup / "backup.json").unlink()
    refuse(backup, tmp_path / "new", DataError, "no finished backup")


def test_any_flipped_byte_is_found_before_anything_is_written(backup: Path, tmp_path: Path) -> None:
    for path in sorted(path for path in backup.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(bytes(damaged))
        refuse(backup, tmp_path / "new", (DataCorrupt, DataFormat), ".")  # type: ignore[arg-type]
        path.write_bytes(whole)
    restore(backup, tmp_path / "new", "fresh")


def test_a_missing_file_and_one_that_was_cut_short_are_found(backup: Path, tmp_path: Path) -> None:
    path = backup / "logs" / "0" / "data.mdb"
    os.truncate(path, path.stat().st_size - 1)
    refuse(backup, tmp_path / "new", DataCorrupt, "not what was copied")
    path.unlink()
    refuse(backup, tmp_path / "new", DataError, "cannot read")


def test_a_backup_of_a_newer_wfe_is_refused(backup: Path, tmp_path: Path) -> None:
    manifest = decode_manifest((backup / "backup.json").read_bytes())
    manifest.format = BACKUP_FORMAT + 1
    (backup / "backup.json").write_bytes(encode_manifest(manifest))
    refuse(backup, tmp_path / "new", DataFormat, "upgrade")


def test_a_manifest_that_misses_a_partition_is_refused(backup: Path, tmp_path: Path) -> None:
    manifest = decode_manifest((backup / "backup.json").read_bytes())
    manifest.files = [file for file in manifest.files if file.name != "partitions/001"]
    (backup / "backup.json").write_bytes(encode_manifest(manifest))
    refuse(backup, tmp_path / "new", DataCorrupt, "does not name each")


@pytest.mark.parametrize(("sent", "taken"), [(1, 2), (2, 0)])
def test_copies_whose_mail_numbers_disagree_are_refused(engine: Engine, tmp_path: Path, sent: int, taken: int) -> None:
    """What a backup without a barrier would hold: a receiver ahead of its sender, or a letter that is gone."""
    from wfe.model.event import MailSettled

    events = [MailSent(1, seq, NULL) for seq in range(1, sent + 1)]
    engine.append(*events, *([MailSettled(1, sent)] if taken < sent else []))
    record = RecordState()
    for seq in range(1, taken + 1):
        evolve_record(record, MailTaken(0, seq))
    engine.stores[1].commit(record_ops(record.seq, encode_record(record)))
    engine.backup(tmp_path / "backup")
    refuse(tmp_path / "backup", tmp_path / "new", DataCorrupt, "mail/0/1")


def test_a_target_that_is_in_use_or_not_empty_is_refused(engine: Engine, backup: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInUse):
        restore(backup, engine.data, "fresh")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        restore(backup, tmp_path / "full", "fresh")
    with pytest.raises(DataError, match="apart"):
        restore(backup, backup / "new", "fresh")


def test_an_empty_target_is_used(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    restore(backup, tmp_path / "new", "fresh")
    assert verify_data(tmp_path / "new").ok


def test_a_target_without_room_is_refused(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda path: usage._replace(free=10))
    refuse(backup, tmp_path / "new", DataFull, "make room")


def test_a_restore_that_fails_half_way_leaves_nothing(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = restoring._copy

    def fails(source: Path, directory: Path, expected: str) -> None:
        if directory.name == "catalogue":
            raise OSError(28, "No space left on device")
        copy(source, directory, expected)

    monkeypatch.setattr(restoring, "_copy", fails)
    refuse(backup, tmp_path / "new", DataFull, "No space|no space")


def test_a_backup_is_no_data_directory_to_serve_from(backup: Path) -> None:
    with pytest.raises(DataError, match="restore"):
        DataLock(backup)


def test_manifest_names_are_places_and_never_paths(backup: Path) -> None:
    manifest = decode_manifest((backup / "backup.json").read_bytes())
    manifest.files[0] = CopiedFile("../../outside", 1, "0")
    with pytest.raises(DataCorrupt):
        decode_manifest(encode_manifest(manifest))
