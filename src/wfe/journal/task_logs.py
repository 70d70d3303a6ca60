"""What a store keeps of the lines that tasks print and log: reading them, and planning what a flush writes.

Runs on the reader thread, above the `Store` port. A run has a row that counts (`LogCountRow`, key: its id) and rows
of batches behind it. Invariants: a run keeps at most LOG_RUN_BYTES and LOG_RUN_LINES, the newest ones (a little less
after a trim, so that not every flush trims); beyond ``bytes_max`` the lines of the oldest runs go.
A damaged row costs its lines, not the shard: logs are no transitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.msgpack import Decoder, Encoder

from wfe.errors import DataCorrupt, DataFormat
from wfe.journal.schema import TASK_LOGS, LogCountRow, after_prefix, log_key, seal
from wfe.journal.tables import PAGE_ROWS, Tables, decode_row
from wfe.limits import LOG_RUN_BYTES, LOG_RUN_LINES
from wfe.model.ids import RUN_ID_CHARS
from wfe.ports import Op, Store
from wfe.wire.task_logs import StoredBatch

ROOM_PERCENT: Final = 90
"""A trim goes down to this share of the bound."""
ROW_BYTES: Final = 64
"""What a batch takes besides its lines, about."""

_encode = Encoder().encode
_counts = Decoder(LogCountRow)
_batches = Decoder(list[StoredBatch])


class StoredLog(NamedTuple):
    """Batches of a run behind a place, and how many lines made room for newer ones."""

    batches: list[StoredBatch]
    dropped: int


class Flush(NamedTuple):
    """``highest``: the greatest number of a batch that is written."""

    ops: list[Op]
    highest: int


class _Kept(NamedTuple):
    """A row of batches in a store. ``missing``: lines that were dropped before it was written."""

    key: bytes
    bytes: int
    lines: int
    missing: int


def size_of(batch: StoredBatch) -> int:
    """What a batch counts as."""
    return len(batch.lines) + ROW_BYTES


def read_log(store: Store, run_id: str, after: int) -> StoredLog:
    """The lines of a run behind ``after``."""
    start, stop = log_key(run_id, after + 1), after_prefix(run_id.encode())
    found = []
    for key, value in Tables(store).sealed(TASK_LOGS, start, stop):
        found += [batch for batch in _row_of(key, value) if batch.number > after]
    # A row is written under the number of its last batch, so that whoever has read a part of it finds the rest.
    return StoredLog(found, _count_of(store, run_id).dropped)


def plan_flush(store: Store, runs: Mapping[str, Sequence[StoredBatch]], bytes_max: int) -> Flush:
    """What writes these batches, and makes room for them. Numbers begin behind those that there are: the clock that
    they come from may have been set back."""
    ops = _evicted(store, frozenset(runs), bytes_max)
    highest = 0
    for run_id, batches in runs.items():
        last = _count_of(store, run_id).last
        for batch in batches:
            last = batch.number = max(batch.number, last + 1)
        highest = max(highest, last)
        ops += _run_ops(store, run_id, batches)
    return Flush(ops, highest)


def removal_ops(store: Store, run_id: str) -> list[Op]:
    """What removes all lines of a run."""
    prefix = run_id.encode()
    return [Op(TASK_LOGS, key, None) for key, _ in Tables(store).sealed(TASK_LOGS, prefix, after_prefix(prefix))]


def _run_ops(store: Store, run_id: str, batches: Sequence[StoredBatch]) -> list[Op]:
    before = _count_of(store, run_id)
    kept = list(batches)
    size = sum(map(size_of, kept))
    lines = sum(batch.count for batch in kept)
    dropped = before.dropped
    while len(kept) > 1 and (size > LOG_RUN_BYTES or lines > LOG_RUN_LINES):
        oldest = kept.pop(0)
        size, lines, dropped = size - size_of(oldest), lines - oldest.count, dropped + oldest.count + oldest.dropped
    count = LogCountRow(before.bytes + size, before.lines + lines, dropped, kept[-1].number)
    ops = []
    if count.bytes > LOG_RUN_BYTES or count.lines > LOG_RUN_LINES:
        ops = _trim(store, run_id, count)
    key = log_key(run_id, kept[-1].number)
    ops.append(Op(TASK_LOGS, key, seal(TASK_LOGS, key, _encode(kept))))
    head = run_id.encode()
    ops.append(Op(TASK_LOGS, head, seal(TASK_LOGS, head, _encode(count))))
    return ops


def _trim(store: Store, run_id: str, count: LogCountRow) -> list[Op]:
    """Removes the oldest rows of a run, and counts what they held."""
    bytes_wanted = LOG_RUN_BYTES * ROOM_PERCENT // 100
    lines_wanted = LOG_RUN_LINES * ROOM_PERCENT // 100
    ops = []
    for row in _rows_of(store, run_id):
        if count.bytes <= bytes_wanted and count.lines <= lines_wanted:
            break
        ops.append(Op(TASK_LOGS, row.key, None))
        count.bytes = max(0, count.bytes - row.bytes)
        count.lines = max(0, count.lines - row.lines)
        count.dropped += row.lines + row.missing
    return ops


def _rows_of(store: Store, run_id: str) -> list[_Kept]:
    found = []
    for key, value in Tables(store).sealed(TASK_LOGS, log_key(run_id, 0), after_prefix(run_id.encode())):
        batches = _row_of(key, value)
        lines, missing = sum(batch.count for batch in batches), sum(batch.dropped for batch in batches)
        found.append(_Kept(key, sum(map(size_of, batches)), lines, missing))
    return found


def _evicted(store: Store, writing: frozenset[str], bytes_max: int) -> list[Op]:
    """Removes the lines of the oldest runs while all of them take more than ``bytes_max``."""
    excess = store.table_bytes(TASK_LOGS) - bytes_max
    if excess <= 0:
        return []
    excess += bytes_max * (100 - ROOM_PERCENT) // 100
    ops: list[Op] = []
    start = b""
    while excess > 0 and (rows := store.range(TASK_LOGS, start, None, limit=PAGE_ROWS)):
        for key, value in rows:
            if key[:RUN_ID_CHARS].decode("ascii", "replace") not in writing:
                ops.append(Op(TASK_LOGS, key, None))
                excess -= len(key) + len(value)
        last = rows[-1][0][:RUN_ID_CHARS]
        if excess <= 0 and last.decode("ascii", "replace") not in writing:
            ops += removal_ops(store, last.decode("ascii", "replace"))
        start = rows[-1][0] + b"\0"
    return ops


def _count_of(store: Store, run_id: str) -> LogCountRow:
    key = run_id.encode()
    try:
        return Tables(store).row(_counts, TASK_LOGS, key) or LogCountRow(0, 0)
    except (DataCorrupt, DataFormat):
        return LogCountRow(0, 0)


def _row_of(key: bytes, value: bytes) -> list[StoredBatch]:
    try:
        return decode_row(_batches, TASK_LOGS, key, value)
    except (DataCorrupt, DataFormat):
        return []
