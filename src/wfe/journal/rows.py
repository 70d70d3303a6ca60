"""Row builders: what a checkpoint step writes, as lists of `Op`. Pure functions; `Store.commit` applies them.

Invariants: an open run has one row in OPEN and one in SNAPSHOTS with the same seq, and its history in HISTORY; an ended
run has one row in ENDED and nothing else, unless it is large (`schema.INLINE_BYTES_MAX`). Ops of one run must be
committed in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from hashlib import blake2b

from msgspec.msgpack import Encoder

from wfe.journal import schema
from wfe.journal.schema import EndedRow, KeyRow, OpenRow, SnapshotRow, history_key, seal
from wfe.ports import Op

_encode = Encoder().encode


def open_run_ops(row: OpenRow, snapshot: bytes, chunks: Sequence[tuple[int, bytes]]) -> list[Op]:
    """An open run as of ``row.seq``: its row, its snapshot, and ``chunks`` of history that are new since the last time.

    A chunk is ``(first_seq, events)``, where events is an encoded `model.event.EventChunk`.
    """
    key = row.run_id.encode()
    ops = [
        _put(schema.OPEN, key, _encode(row)),
        _put(schema.SNAPSHOTS, key, _encode(SnapshotRow(row.seq, snapshot))),
    ]
    ops.extend(_put(schema.HISTORY, history_key(row.run_id, seq), events) for seq, events in chunks)
    return ops


def ended_run_ops(
    row: EndedRow,
    snapshot: bytes,
    chunks: Sequence[tuple[int, bytes]],
    had_open_row: bool,
    earlier_history: Sequence[tuple[int, bytes]] | None = (),
) -> list[Op]:
    """An ended run: its single row, and the removal of what an open run had.

    ``row`` needs only the summary fields; ``chunks`` are new; ``had_open_row``: the run was checkpointed while open.
    ``earlier_history`` is what HISTORY holds of the run (`PartitionStore.history`); None: not read, it stays in rows
    of its own, and the new chunks join it.
    """
    key = row.run_id.encode()
    earlier = earlier_history or ()
    history = [*earlier, *chunks]
    spilled = earlier_history is None or sum([len(events) for _, events in history]) > schema.INLINE_BYTES_MAX
    snapshot_spilled = len(snapshot) > schema.INLINE_BYTES_MAX
    ops: list[Op] = []
    if had_open_row:
        ops.append(Op(schema.OPEN, key, None))
        if not snapshot_spilled:
            ops.append(Op(schema.SNAPSHOTS, key, None))
    if spilled:
        ops.extend(_put(schema.HISTORY, history_key(row.run_id, seq), events) for seq, events in chunks)
    elif earlier:
        ops.extend(Op(schema.HISTORY, history_key(row.run_id, seq), None) for seq, _ in earlier)
    if snapshot_spilled:
        ops.append(_put(schema.SNAPSHOTS, key, _encode(SnapshotRow(row.seq, snapshot))))
    whole = copy(row)
    whole.snapshot = b"" if snapshot_spilled else snapshot
    whole.history = [] if spilled else history
    whole.spilled, whole.snapshot_spilled = spilled, snapshot_spilled
    ops.append(_put(schema.ENDED, key, _encode(whole)))
    return ops


def reopened_run_op(run_id: str) -> Op:
    """A run that had ended is open again: its single row goes, in the transaction of its open row."""
    return Op(schema.ENDED, run_id.encode(), None)


def blob_ops(run_id: str, added: Mapping[bytes, bytes], removed: Iterable[bytes]) -> list[Op]:
    """Large values of a run by name. Commit them in the transaction of the snapshot that refers to them."""
    ops = [_put(schema.BLOBS, schema.blob_key(run_id, name), data) for name, data in added.items()]
    ops.extend(Op(schema.BLOBS, schema.blob_key(run_id, name), None) for name in removed)
    return ops


def key_ops(namespace: str, workflow: str, key: str, run_id: str, input_digest: bytes) -> list[Op]:
    """An idempotency key and the run it names. Commit it no later than the run's own row."""
    row = KeyRow(namespace, workflow, key, run_id, input_digest)
    return [_put(schema.KEYS, key_digest(namespace, workflow, key), _encode(row))]


def record_ops(seq: int, snapshot: bytes) -> list[Op]:
    """The partition's own record as of its event ``seq``."""
    return [_put(schema.RECORD, schema.RECORD_KEY, _encode(SnapshotRow(seq, snapshot)))]


def swept_ops(epoch: int) -> list[Op]:
    """Runs were removed in this epoch: commit it in the transaction that removes them."""
    return [_put(schema.RECORD, schema.SWEPT_KEY, _encode(SnapshotRow(epoch, b"")))]


def definition_ops(definition_hash: str, canonical: bytes) -> list[Op]:
    """A definition, no later than the first run that uses it, so that replay needs nobody."""
    return [_put(schema.DEFINITIONS, definition_hash.encode(), canonical)]


def key_digest(namespace: str, workflow: str, key: str) -> bytes:
    """A store key for names of any length (LMDB's keys end at 511 bytes). The row repeats the names."""
    digest = blake2b(digest_size=16)
    for part in (namespace, workflow, key):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.digest()


def _put(table: int, key: bytes, payload: bytes) -> Op:
    return Op(table, key, seal(table, key, payload))
