"""What a checkpoint step writes of one run: what memory has of it as rows of its partition's store.

Pure but for one thing: the entry settles which large values it needs, and which of them the store has. A summary in a
row is what lists and recovery read without the snapshot: a field that they are to know is added here and in
`journal.schema`.
"""

from __future__ import annotations

from wfe.journal.rows import blob_ops, ended_run_ops, open_run_ops
from wfe.journal.schema import EndedRow, OpenRow
from wfe.partition.entry import Entry
from wfe.partition.views import open_approvals, shown_status
from wfe.ports import Op


def open_ops(entry: Entry) -> list[Op]:
    """A run that goes on: its row, its snapshot and its new history."""
    run = entry.run
    row = OpenRow(
        run.id,
        run.workflow,
        run.version,
        shown_status(run, entry.leases),
        run.key,
        run.started_ms,
        run.tags,
        run.priority,
        min(run.timers.values(), default=0),
        bool(run.open),
        run.seq,
        run.definition,
        run.namespace,
        run.parent,
        open_approvals(run, entry.plan),
        [channel for channel in run.waits.values() if "\x1f" in channel] if run.waits else [],
    )
    snapshot = entry.snapshot()
    ops = open_run_ops(row, snapshot, entry.chunks)
    return ops + _blob_ops(entry, snapshot) if run.blobs or entry.stored_blobs else ops


def ended_ops(entry: Entry) -> list[Op]:
    """A run that has ended: the one row that stays of it."""
    run = entry.run
    row = EndedRow(
        run.id,
        run.workflow,
        run.version,
        run.status,
        run.key,
        run.started_ms,
        run.ended_ms,
        run.tags,
        run.priority,
        run.seq,
        run.definition,
        run.namespace,
        run.parent,
    )
    earlier = None if entry.stored else ()
    snapshot = entry.snapshot()
    ops = ended_run_ops(row, snapshot, entry.chunks, entry.stored, earlier)
    return ops + _blob_ops(entry, snapshot) if run.blobs or entry.stored_blobs else ops


def _blob_ops(entry: Entry, snapshot: bytes) -> list[Op]:
    run = entry.run
    added, removed = entry.settle_blobs(snapshot)
    return blob_ops(run.id, {name: bytes(run.blobs[name]) for name in added}, removed)
