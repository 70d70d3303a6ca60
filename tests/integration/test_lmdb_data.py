"""Real LMDB environments: data directories, full disks, damage, fencing between processes, and SIGKILL."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.msgpack import encode

from wfe.errors import DataCorrupt, DataError, DataFormat, DataFull, DataInUse, Fenced
from wfe.journal.catalogue import Catalogue
from wfe.journal.log import Chunk, ShardLog
from wfe.journal.rows import blob_ops
from wfe.journal.schema import BLOBS, FORMAT_VERSION, PARTITION_TABLES
from wfe.journal.store import EndedRow, OpenRow, PartitionStore, ended_run_ops, open_run_ops
from wfe.journal.verify import verify_store
from wfe.lmdb.layout import (
    DataLock,
    catalogue_path,
    check_format,
    log_path,
    open_catalogue,
    open_log,
    open_store,
    partitions_with_stores,
    shards_with_logs,
    store_path,
)
from wfe.lmdb.log import LmdbLog
from wfe.lmdb.store import LmdbStore
from wfe.lmdb.verify import verify_data
from wfe.model.blob import name_of
from wfe.model.ids import mint_run_id
from wfe.ports import Op

RUN = mint_run_id(1, 1_700_000_000_000, 1)
ENDED = mint_run_id(1, 1_700_000_000_000, 2)


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process with pipes; it prints what it has done and reads what it shall do."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def events(*seqs: int) -> tuple[int, bytes]:
    return seqs[0], encode([1_700_000_000_000, [["event", seq] for seq in seqs]])


def chunk(seq: int, run_id: str = RUN) -> Chunk:
    return Chunk(1, 1, run_id, seq, 1, events(seq)[1])


def made(data: Path) -> Path:
    """A small sound directory: two partitions, one log with events behind what the store holds."""
    with DataLock(data):
        catalogue = Catalogue(open_catalogue(data), partitions=2, server_id="s")
        catalogue.assign({0: 0, 1: 0})
        catalogue.close()
        for partition in (0, 1):
            raw = open_store(data, partition)
            PartitionStore(raw, partition, 2)
            if partition:
                raw.commit(open_run_ops(OpenRow(RUN, "w", 1, "running", seq=2), b"state", [events(1, 2)]))
                raw.commit(ended_run_ops(EndedRow(ENDED, "w", 1, "completed", seq=1), b"", [events(1)], False))
            raw.close()
        log = ShardLog(open_log(data, 0), 1)
        for seq in (2, 3, 4):
            log.append([chunk(seq)])
        log.close()
    return data


# ---- the directory --------------------------------------------------------------------------------------------------


def test_a_directory_is_made_with_its_format_and_its_parts(tmp_path: Path) -> None:
    data = made(tmp_path / "new" / "data")
    assert (data / "format").read_text() == f"{FORMAT_VERSION}\n"
    assert check_format(data) == FORMAT_VERSION
    assert (shards_with_logs(data), partitions_with_stores(data)) == ([0], [0, 1])
    assert store_path(data, 7).name == "007"
    assert log_path(data, 3).name == "3"


def test_a_directory_in_use_is_refused_until_its_holder_dies(tmp_path: Path) -> None:
    process = child(
        """
        import sys; from pathlib import Path; from wfe.lmdb.layout import DataLock
        lock = DataLock(Path(sys.argv[1])); print("held", flush=True); sys.stdin.read()
        """,
        str(tmp_path),
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DataInUse, match="another server"):
            DataLock(tmp_path)
        with pytest.raises(DataInUse):
            verify_data(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    DataLock(tmp_path).close()


@pytest.mark.parametrize(
    ("text", "error"), [(str(FORMAT_VERSION + 1), DataFormat), ("", DataError), ("hello", DataError)]
)
def test_a_directory_of_an_unknown_format_is_refused(tmp_path: Path, text: str, error: type[DataError]) -> None:
    (tmp_path / "format").write_text(text)
    with pytest.raises(error):
        DataLock(tmp_path)
    (tmp_path / "format").write_text(f"{FORMAT_VERSION}\n")
    DataLock(tmp_path).close()


def test_a_directory_with_data_but_no_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(DataError, match="no file named format"):
        DataLock(tmp_path)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("hello")
    with pytest.raises(DataError):
        DataLock(path)
    with pytest.raises(DataError):
        LmdbLog(path)
    with pytest.raises(DataError):
        LmdbStore(path / "below")


def test_a_newer_store_format_is_not_opened_as_an_old_one(tmp_path: Path) -> None:
    data = made(tmp_path)
    raw = open_store(data, 1)
    with pytest.raises(DataError, match="not of 0 of 2"):
        PartitionStore(raw, 0, 2)
    raw.close()


# ---- verify ---------------------------------------------------------------------------------------------------------


def test_a_store_that_is_older_than_a_table_has_no_rows_of_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    run_id = mint_run_id(3, 1_000, 7)
    large = Raw(encode("x" * 40_000))
    old = LmdbStore(path, tables=[table for table in PARTITION_TABLES if table != BLOBS])
    PartitionStore(old, 3, 32)
    old.close()
    readonly = LmdbStore(path, readonly=True)
    assert (readonly.count(BLOBS), PartitionStore(readonly, 3, 32).blobs(run_id)) == (0, {})
    assert verify_store(readonly) == []
    readonly.close()
    store = LmdbStore(path)
    store.commit(blob_ops(run_id, {name_of(large): bytes(large)}, ()))
    assert PartitionStore(store, 3, 32).blobs(run_id) == {name_of(large): bytes(large)}
    store.close()


def test_sound_data_has_no_findings_and_is_not_changed(tmp_path: Path) -> None:
    data = made(tmp_path)
    before = {path: path.read_bytes() for path in sorted(data.rglob("*.mdb")) if path.name == "data.mdb"}
    report = verify_data(data)
    assert report.findings == []
    assert report.ok
    assert (report.logs, report.partitions, report.open_runs, report.ended_runs) == (1, 2, 1, 1)
    assert (report.log_records, report.log_events) == (3, 3)
    assert before == {path: path.read_bytes() for path in before}


def test_a_damaged_row_is_named_with_its_place(tmp_path: Path) -> None:
    data = made(tmp_path)
    file = store_path(data, 1) / "data.mdb"
    raw = file.read_bytes()
    place = raw.rindex(b"state")
    file.write_bytes(raw.replace(b"state", b"stale"))
    assert place
    report = verify_data(data)
    assert not report.ok
    assert f"partitions/001:snapshots/{RUN}" in {finding.record for finding in report.findings}


def test_events_that_neither_store_nor_log_holds_are_found(tmp_path: Path) -> None:
    data = made(tmp_path)
    log = ShardLog(open_log(data, 0), 2)
    log.append([chunk(9)])
    log.close()
    (finding,) = verify_data(data).findings
    assert finding.message == "events 5 to 8 are in no store and no log"


def test_an_old_log_of_a_moved_partition_is_no_finding(tmp_path: Path) -> None:
    data = made(tmp_path)
    log = ShardLog(open_log(data, 1), 2)
    log.append([chunk(5)])
    log.close()
    raw = open_store(data, 1)
    raw.commit(open_run_ops(OpenRow(RUN, "w", 1, "running", seq=4), b"state", [events(3, 4)]))
    raw.close()
    assert verify_data(data).findings == []


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data directory"):
        verify_data(tmp_path)


@pytest.mark.parametrize("kind", ["garbage", "empty", "missing"])
def test_a_file_that_is_no_lmdb_file_is_a_finding(tmp_path: Path, kind: str) -> None:
    data = made(tmp_path)
    for file in (store_path(data, 1) / "data.mdb", log_path(data, 0) / "data.mdb", catalogue_path(data) / "data.mdb"):
        file.write_bytes(os.urandom(64 * 1024) if kind == "garbage" else b"")
        if kind == "missing":
            file.unlink()
    places = {finding.record for finding in verify_data(data).findings}
    assert places == {"partitions/001", "logs/0", "catalogue"}


@pytest.mark.parametrize("pages", [3, 5, 8])
def test_a_file_that_was_cut_short_is_found_and_kills_nobody(tmp_path: Path, pages: int) -> None:
    data = made(tmp_path)
    raw = open_store(data, 1)
    raw.commit([Op(7, b"%d" % n, bytes(3000)) for n in range(100)])
    raw.close()
    os.truncate(store_path(data, 1) / "data.mdb", pages * 4096)
    code = "import sys; from wfe.lmdb.verify import verify_data; print(len(verify_data(sys.argv[1]).findings) > 0)"
    done = subprocess.run([sys.executable, "-c", code, str(data)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_garbage_is_refused_when_opened_for_work(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(os.urandom(64 * 1024))
    with pytest.raises(DataCorrupt, match="restore a backup"):
        LmdbLog(tmp_path)


# ---- full disks -----------------------------------------------------------------------------------------------------


def test_a_full_map_is_a_full_disk_and_stops_the_log(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path, map_bytes=1 << 20)
    log.fence(1)
    position = 0
    try:
        while position < 1000:
            log.append(position + 1, bytes(50_000))
            position += 1
    except DataFull as error:
        assert "largest size" in str(error)  # noqa: PT017 - the loop must end with this error
    assert 5 < position < 1000
    with pytest.raises(DataError, match="must stop"):
        log.append(position + 1, b"small")
    log.close()
    again = LmdbLog(tmp_path, map_bytes=1 << 22)
    assert again.last() == position
    assert [p for p, _ in again.read(0)] == list(range(1, position + 1))
    again.close()


def test_a_full_map_stops_a_store_without_half_a_commit(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, tables=(1,), map_bytes=1 << 20)
    store.commit([Op(1, b"a", b"1")])
    with pytest.raises(DataFull):
        store.commit([Op(1, b"a", b"2"), *(Op(1, b"%d" % n, bytes(50_000)) for n in range(100))])
    assert store.get(1, b"a") == b"1"
    with pytest.raises(DataError, match="must stop"):
        store.commit([Op(1, b"a", b"3")])
    store.close()


FILL = """
import resource, sys
from pathlib import Path
from wfe.errors import DataFull
from wfe.lmdb.log import LmdbLog
log = LmdbLog(Path(sys.argv[1])); log.fence(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
position = 0
try:
    while True:
        log.append(position + 1, bytes(10_000)); position += 1
except DataFull as error:
    print(position, "no space" in str(error))
"""


STARVE = """
import os, resource, sys
from pathlib import Path
import wfe.lmdb.log
from wfe.errors import TooFewDescriptors
held = os.dup(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (held + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    wfe.lmdb.log.LmdbLog(Path(sys.argv[1]))
except TooFewDescriptors as error:
    print(error)
"""


def test_too_few_descriptors_are_told_from_other_errors(tmp_path: Path) -> None:
    LmdbLog(tmp_path).close()
    done = subprocess.run([sys.executable, "-c", STARVE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "ulimit -n" in done.stdout, done.stderr


def test_a_disk_without_room_is_told_from_other_errors_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=False)
    written, named = done.stdout.split()
    assert named == "True", done.stderr
    log = LmdbLog(tmp_path)
    assert 50 < log.last() == int(written)
    assert len(list(log.read(0))) == int(written)
    log.close()


# ---- processes ------------------------------------------------------------------------------------------------------

APPEND = """
import sys
from pathlib import Path
from wfe.errors import Fenced
from wfe.journal.log import Chunk, ShardLog
from wfe.lmdb.layout import open_log
log = ShardLog(open_log(Path(sys.argv[1]), 0), 1)
try:
    while True:
        print(log.append([Chunk(0, 1, "", log.position + 1, 1, b"\\x91\\x01")]), flush=True)
        if sys.argv[2] == "step": sys.stdin.readline()
except Fenced as error:
    print("fenced", flush=True)
"""


def test_a_writer_that_was_replaced_finds_out_at_its_next_append(tmp_path: Path) -> None:
    with child(APPEND, str(tmp_path), "step") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        log = ShardLog(open_log(tmp_path, 0), 2)
        log.append([chunk(1)])
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "fenced\n"
        process.wait()
    assert [position for position, _ in log.replay()] == [1, 2]
    with pytest.raises(Fenced):
        ShardLog(log._log, 1)
    log.close()


@pytest.mark.parametrize("acknowledged", [1, 20, 57])
def test_what_was_acknowledged_before_sigkill_is_replayed(tmp_path: Path, acknowledged: int) -> None:
    with child(APPEND, str(tmp_path), "run") as process:
        assert process.stdout is not None
        last = 0
        while last < acknowledged:
            last = int(process.stdout.readline())
        process.kill()
        last = max([last, *(int(line) for line in process.stdout if line.endswith("\n"))])
    log = ShardLog(open_log(tmp_path, 0), 2)
    positions = [position for position, _ in log.replay()]
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) >= last
    log.close()


@pytest.mark.parametrize("durability", ["sync", "os", "none"])
def test_each_durability_writes_the_same_data(tmp_path: Path, durability: str) -> None:
    log = open_log(tmp_path, 0, durability=durability)  # type: ignore[arg-type]
    ShardLog(log, 1).append([chunk(1)])
    assert log._env.flags()["sync"] is (durability == "sync")
    assert log._env.flags()["metasync"] is (durability == "sync")
    assert log._env.flags()["writemap"] is False
    log.close()
    assert [position for position, _ in ShardLog(open_log(tmp_path, 0), 2).replay()] == [1]


def test_this_process_may_use_its_own_file_size_limit() -> None:
    """The limit that the full-disk test sets belongs to its child; a leak would break whatever runs after it."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
