"""Lines that tasks print: taken without a commit, bounded in memory and on disk, read while they move to the store."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from support.shard_cases import chain, host
from support.shards import Host
from wfe.journal import task_logs as stored
from wfe.journal.schema import TASK_LOGS, unseal
from wfe.limits import LOG_FLUSH_MS, LOG_PENDING_BYTES, LOG_RUN_BYTES, RETENTION_MS_MIN
from wfe.model.ids import partition_of
from wfe.shard import task_logs
from wfe.wire.frames import Kind, decode_header
from wfe.wire.messages import Ack, ErrorReply, SignalRun
from wfe.wire.task_logs import LogBatch, LogFrame, LogLine, LogPage, LogQuery

_encode = msgspec.msgpack.encode


def batch(run_id: str, *texts: str, node: str = "s", attempt: int = 1, dropped: int = 0) -> LogBatch:
    lines = [LogLine(1, "info", text) for text in texts]
    return LogBatch(run_id, node, 0, attempt, len(lines), Raw(_encode(lines)), dropped)


def say(shard: Host, seq: int, *batches: LogBatch, peer: bytes = b"w1") -> None:
    shard.worker_frame(Kind.TASK_LOGS, LogFrame(seq, list(batches)), peer)
    shard.turn()


def read(shard: Host, run_id: str, **query: object) -> LogPage:
    found = shard.ask(Kind.LOGS, partition_of(run_id), LogQuery(run_id, **query), LogPage)  # type: ignore[arg-type]
    assert isinstance(found, LogPage)
    return found


def texts(page: LogPage) -> list[str]:
    return [line.text for entry in page.entries for line in entry.lines]


def flush(shard: Host) -> None:
    for _ in range(40):
        shard.now_ms += LOG_FLUSH_MS
        shard.turn()
    assert shard.shard.task_logs.clean


def test_lines_are_read_at_once_and_after_they_were_written() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    commits = shard.shard.core.counters["commits"]
    say(shard, 1, batch(run_id, "one", "two"))
    assert texts(read(shard, run_id)) == ["one", "two"]
    flush(shard)
    say(shard, 2, batch(run_id, "three"))
    page = read(shard, run_id)
    assert texts(page) == ["one", "two", "three"]
    assert not page.ended
    assert shard.shard.core.counters["commits"] == commits
    assert shard.disk_is_sound()


def test_what_was_written_survives_a_crash_and_what_was_not_is_lost_alone() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    say(shard, 1, batch(run_id, "kept"))
    flush(shard)
    say(shard, 2, batch(run_id, "lost"))
    shard.crash()
    shard.hello()
    say(shard, 3, batch(run_id, "later"))
    assert texts(read(shard, run_id)) == ["kept", "later"]


def test_a_frame_that_comes_twice_counts_once() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    say(shard, 1, batch(run_id, "one"))
    say(shard, 1, batch(run_id, "one"))
    say(shard, 3, batch(run_id, "three"))
    shard.hello(b"w2")
    say(shard, 1, batch(run_id, "other worker"), peer=b"w2")
    assert texts(read(shard, run_id)) == ["one", "three", "other worker"]


def acknowledged(shard: Host) -> list[int]:
    """Numbers of frames that the worker need not keep any more."""
    found = [
        msgspec.msgpack.decode(parts[1], type=Ack).seq for _, parts in shard.workers if kind_of(parts) == Kind.LOGS_ACK
    ]
    shard.workers.clear()
    return found


def kind_of(parts: list[bytes]) -> int:
    return decode_header(parts[0]).kind


def test_frames_are_acknowledged_in_order_once_they_are_written_or_dropped() -> None:
    shard = host()
    here = shard.start("waiting", run_id=shard.run_id(0)).run_id
    there = shard.start("waiting", run_id=shard.run_id(1)).run_id
    say(shard, 1, batch(here, "one"))
    say(shard, 2, batch("nobody", "refused"))
    say(shard, 3, batch(there, "two"), batch(here, "three"))
    assert 3 not in acknowledged(shard)
    flush(shard)
    assert acknowledged(shard)[-1] == 3
    say(shard, 4, batch("nobody", "refused"))
    assert acknowledged(shard) == [4]
    assert not shard.shard.task_logs._frames


def test_a_backup_makes_lines_wait_and_loses_none() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    say(shard, 1, batch(run_id, "one"))
    assert shard.shard.task_logs._writing
    shard.shard.checkpoints.held = True  # while what to write is being looked up
    shard.turn()
    assert not shard.shard.task_logs._writing
    say(shard, 2, batch(run_id, "two"))
    flushed = shard.shard.core.counters["log_lines_stored"]
    assert texts(read(shard, run_id)) == ["one", "two"]
    shard.shard.checkpoints.held = False
    flush(shard)
    assert texts(read(shard, run_id)) == ["one", "two"]
    assert shard.shard.core.counters["log_lines_stored"] == 2 > flushed
    assert acknowledged(shard)[-1] == 2


def test_a_clock_that_is_set_back_does_not_hide_what_is_said_later() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    shard.now_ms += 3_600_000
    say(shard, 1, batch(run_id, "before"))
    flush(shard)
    page = read(shard, run_id)
    shard.now_ms -= 3_600_000
    shard.crash()
    shard.hello()
    number = shard.request(Kind.LOGS, partition_of(run_id), LogQuery(run_id, page.cursor, wait=True))
    say(shard, 2, batch(run_id, "after"))
    flush(shard)
    assert texts(shard.reply(number, LogPage)) == ["after"]
    say(shard, 3, batch(run_id, "and on"))
    assert texts(read(shard, run_id)) == ["before", "after", "and on"]


def test_filters_and_tail() -> None:
    shard = host()
    run_id = shard.start("chain", 1).run_id
    say(shard, 1, batch(run_id, "a1", "a2", node="t0"), batch(run_id, "b1", "b2", node="t1", attempt=2))
    assert texts(read(shard, run_id, node="t0")) == ["a1", "a2"]
    assert texts(read(shard, run_id, attempt=2)) == ["b1", "b2"]
    assert texts(read(shard, run_id, tail=3)) == ["a2", "b1", "b2"]
    assert texts(read(shard, run_id, tail=0)) == []
    page = read(shard, run_id)
    assert texts(read(shard, run_id, after=page.entries[0].number)) == ["b1", "b2"]
    assert read(shard, run_id, after=page.cursor).entries == []


@pytest.mark.parametrize("wait", [False, True])
def test_a_node_that_the_workflow_does_not_have_is_refused_with_those_that_it_has(wait: bool) -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    query = LogQuery(run_id, node="nap", wait=wait)
    refused = shard.ask(Kind.LOGS, partition_of(run_id), query, LogPage)
    assert isinstance(refused, ErrorReply)
    assert (refused.code, refused.message) == ("invalid_input", "the workflow has no node 'nap'; it has: s")
    assert not shard.shard.task_logs.followers
    assert texts(read(shard, run_id, node="s")) == []


def test_who_waits_hears_of_new_lines_and_of_the_end() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    number = shard.request(Kind.LOGS, partition_of(run_id), LogQuery(run_id, wait=True))
    for _ in range(3):
        shard.turn()
    assert shard.reply(number, LogPage) is None
    say(shard, 1, batch(run_id, "news"))
    for _ in range(3):
        shard.turn()
    page = shard.reply(number, LogPage)
    assert texts(page) == ["news"]
    number = shard.request(Kind.LOGS, partition_of(run_id), LogQuery(run_id, page.cursor, wait=True))
    for _ in range(3):
        shard.turn()
    shard.ask(Kind.SIGNAL, partition_of(run_id), SignalRun(run_id, "go", Raw(_encode(1)), "event"))
    for _ in range(3):
        shard.turn()
    last = shard.reply(number, LogPage)
    assert (last.entries, last.ended) == ([], True)


def test_a_run_keeps_its_newest_lines_and_says_how_many_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LOG_RUN_LINES", 20)
    shard = host()
    run_id = shard.start("waiting").run_id
    for number in range(1, 11):
        say(shard, number, batch(run_id, *(f"{number}.{place}" for place in range(5)), dropped=2))
        flush(shard)
    page = read(shard, run_id)
    assert len(texts(page)) <= 20
    assert texts(page)[-1] == "10.4"
    assert page.dropped + sum(entry.dropped + len(entry.lines) for entry in page.entries) == 10 * 7


def test_a_flood_takes_bounded_memory_and_is_counted() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    text = "x" * (LOG_RUN_BYTES // 10)
    for number in range(1, 100):
        shard.worker_frame(Kind.TASK_LOGS, LogFrame(number, [batch(run_id, text, f"{number}")]))
    page = read(shard, run_id)
    assert sum(len(line.text) for entry in page.entries for line in entry.lines) <= LOG_RUN_BYTES
    assert texts(page)[-1] == "99"
    assert sum(len(entry.lines) + entry.dropped for entry in page.entries) == 2 * 99
    assert shard.shard.core.counters["log_lines_dropped"] == page.entries[0].dropped


def test_many_runs_that_flood_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_logs, "LOG_PENDING_BYTES", LOG_PENDING_BYTES // 100)
    shard = host()
    runs = [shard.start("waiting").run_id for _ in range(5)]
    shard.shard.core.disk_full = True  # nothing is written
    for number in range(1, 10):
        say(shard, number, *(batch(run_id, "x" * 10_000) for run_id in runs))
    kept = sum(len(texts(read(shard, run_id))) for run_id in runs)
    assert kept == LOG_PENDING_BYTES // 100 // 10_000
    shard.shard.core.disk_full = False
    flush(shard)
    say(shard, 10, batch(runs[4], "room again"))
    assert read(shard, runs[4]).entries[-1].dropped == 9 - kept // 5


def test_the_disk_is_bounded_by_letting_the_oldest_runs_go() -> None:
    shard = host()
    shard.shard.task_logs._share_bytes = 30_000
    runs = []
    for number in range(1, 11):
        runs.append(shard.start("waiting").run_id)
        shard.now_ms += 5
        say(shard, number, batch(runs[-1], *["x" * 1_000] * 9))
        flush(shard)
    held = [len(texts(read(shard, run_id))) for run_id in runs]
    assert held[0] == held[1] == 0
    assert held[-1] == held[-2] == 9
    assert shard.disk.store(f"p{partition_of(runs[0])}").table_bytes(TASK_LOGS) <= 40_000
    assert shard.disk_is_sound()


def test_lines_go_with_their_run() -> None:
    shard = host(chain(1))
    shard.shard.core.settings.retention_ms = RETENTION_MS_MIN
    run_id = shard.start("chain", 1).run_id
    say(shard, 1, batch(run_id, "said"))
    shard.settle()
    flush(shard)
    shard.checkpoint()
    for _ in range(300):
        shard.now_ms += 1_000
        shard.turn()
    assert shard.shard.core.counters["runs_expired"] == 1
    store = shard.disk.store(f"p{partition_of(run_id)}")
    assert store.range(TASK_LOGS, b"", None, limit=10) == []


def test_bad_frames_and_questions_change_nothing() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    too_many, malformed = LogBatch(run_id, "s", 0, 1, 99, Raw(b"\x90")), LogBatch(run_id, "s", 0, 1, 0, Raw(b"\x01"))
    say(shard, 1, batch("no run", "x"), too_many, malformed)
    assert texts(read(shard, run_id)) == []
    assert shard.shard.core.counters["log_batches_refused"] == 2
    for query in (LogQuery(run_id, -1), LogQuery("nothing")):
        assert isinstance(shard.ask(Kind.LOGS, partition_of(run_id), query, LogPage), ErrorReply)
    unknown = shard.run_id(partition_of(run_id))
    refused = shard.ask(Kind.LOGS, partition_of(run_id), LogQuery(unknown), LogPage)
    assert refused.code == "unknown_run"


def test_a_damaged_row_costs_its_lines_alone() -> None:
    shard = host()
    run_id = shard.start("waiting").run_id
    for number in (1, 2):
        say(shard, number, batch(run_id, f"line {number}"))
        flush(shard)
    rows = shard.disk._file(f"p{partition_of(run_id)}").rows[TASK_LOGS]
    first = sorted(rows)[1]
    assert unseal(TASK_LOGS, first, rows[first])
    rows[first] = rows[first][:-1] + bytes([rows[first][-1] ^ 1])
    assert texts(read(shard, run_id)) == ["line 2"]


def test_nothing_is_kept_when_that_is_wished() -> None:
    shard = host()
    shard.shard.task_logs._share_bytes = 0
    run_id = shard.start("waiting").run_id
    say(shard, 1, batch(run_id, "x"))
    assert texts(read(shard, run_id)) == []
