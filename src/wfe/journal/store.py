"""A partition's store as its readers see it: open and ended runs, history, keys, the partition's own record.

Reads may block on the disk: call them at recovery, or from a reader thread. Writes are lists of `Op` from the row
builders (`journal.rows`, also found here), which the checkpointer commits; this class itself only writes the meta row
of a new store. Every method may raise `DataCorrupt` (naming the record), `DataFormat` or `DataError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from msgspec.msgpack import Decoder, Encoder

from wfe.errors import DataError, DataFormat, Fenced
from wfe.journal import schema, task_logs
from wfe.journal.chunks import last_seq
from wfe.journal.rows import definition_ops, ended_run_ops, key_digest, key_ops, open_run_ops, record_ops
from wfe.journal.schema import (
    EndedRow,
    EndedSummary,
    KeyRow,
    MetaRow,
    OpenRow,
    SnapshotRow,
    TenureRow,
    after_prefix,
    history_key,
    seal,
    unseal,
)
from wfe.journal.tables import PAGE_ROWS, Tables, decode_row
from wfe.ports import Op, Store
from wfe.wire.task_logs import StoredBatch

__all__ = [
    "EndedRow",
    "EndedSummary",
    "OpenRow",
    "PartitionStore",
    "definition_ops",
    "ended_run_ops",
    "key_ops",
    "open_run_ops",
    "record_ops",
]

AWAITED_TEXTS_MAX = 4
"""More texts than that are not looked for in every row: decoding some rows in vain takes less time."""
_meta = Decoder(MetaRow)
_tenure = Decoder(TenureRow)
_open = Decoder(OpenRow)
_snapshot = Decoder(SnapshotRow)
_ended = Decoder(EndedRow)
_summary = Decoder(EndedSummary)
_key = Decoder(KeyRow)


class Swept(NamedTuple):
    """Expired runs with what removes them, and where to go on ("": no run behind them can have expired)."""

    runs: list[tuple[str, list[Op]]]
    cursor: str


class PartitionStore:
    """Reads one partition's store."""

    def __init__(self, store: Store, partition: int, partitions: int) -> None:
        """Checks that the store is this partition's, or makes a new one so. `DataFormat` when it is of a newer wfe."""
        self._store = store
        self._tables = Tables(store)
        self.partition = partition
        value = store.get(schema.META, schema.META_KEY)
        if value is None:
            row = MetaRow(schema.FORMAT_VERSION, partition, partitions)
            payload = Encoder().encode(row)
            store.commit([Op(schema.META, schema.META_KEY, seal(schema.META, schema.META_KEY, payload))])
            return
        meta = decode_row(_meta, schema.META, schema.META_KEY, value)
        if meta.format > schema.FORMAT_VERSION:
            raise DataFormat(
                f"the store of partition {partition} has format {meta.format}, this version of wfe reads up to "
                f"{schema.FORMAT_VERSION}; upgrade wfe"
            )
        if (meta.partition, meta.partitions) != (partition, partitions):
            raise DataError(
                f"this is the store of partition {meta.partition} of {meta.partitions}, not of {partition} of "
                f"{partitions}; directories under partitions/ must keep their names"
            )

    def tenure(self) -> TenureRow | None:
        """Who took the partition over, and from where on that shard's log counts; None: it has never moved."""
        return self._tables.row(_tenure, schema.META, schema.TENURE_KEY)

    def take_over(self, shard: int, position: int, epoch: int) -> None:
        """A shard begins with what is here: its log counts from behind this position on. Durable when it returns.

        To be called before that shard appends anything of this partition, while nobody else writes. `Fenced` when a
        higher epoch has it.
        """
        found = self.tenure()
        if found is not None and found.epoch > epoch:
            raise Fenced(f"epoch {found.epoch} has taken over partition {self.partition}; {epoch} is late")
        payload = Encoder().encode(TenureRow(shard, position, epoch))
        self._store.commit([Op(schema.META, schema.TENURE_KEY, seal(schema.META, schema.TENURE_KEY, payload))])

    def open_runs(self, after: str = "") -> Iterator[OpenRow]:
        """Every open run behind ``after``, oldest first."""
        start = after.encode() + b"\0" if after else b""
        for key, value in self._tables.sealed(schema.OPEN, start):
            yield decode_row(_open, schema.OPEN, key, value)

    def awaiting(self, channels: Set[str]) -> Iterator[OpenRow]:
        """Open runs that await a signal on one of these channels, oldest first. Every row is checked, few are decoded:
        those with the channel's text in them or, for many channels, with what parts its name from the correlation."""
        texts = [channel.encode() for channel in channels]
        if len(texts) > AWAITED_TEXTS_MAX:
            texts = [b"\x1f"]
        for key, value in self._tables.sealed(schema.OPEN):
            data = unseal(schema.OPEN, key, value)
            if any(text in data for text in texts):
                row = decode_row(_open, schema.OPEN, key, value)
                if not channels.isdisjoint(row.awaits):
                    yield row

    def open_page(self, after: str, limit: int) -> list[OpenRow]:
        """At most ``limit`` open runs behind ``after`` ("": from the oldest on)."""
        start = after.encode() + b"\0" if after else b""
        rows = self._store.range(schema.OPEN, start, None, limit=limit)
        return [decode_row(_open, schema.OPEN, key, value) for key, value in rows]

    def open_count(self) -> int:
        """How many runs are open here."""
        return self._store.count(schema.OPEN)

    def open_run(self, run_id: str) -> OpenRow | None:
        """The row of one open run."""
        return self._tables.row(_open, schema.OPEN, run_id.encode())

    def snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        """``(seq, state)`` of an open run; of an ended one use `ended`."""
        row = self._tables.row(_snapshot, schema.SNAPSHOTS, run_id.encode())
        return (row.seq, row.state) if row else None

    def blobs(self, run_id: str) -> dict[bytes, bytes]:
        """The large values that a run's snapshot refers to, by name."""
        prefix = run_id.encode()
        rows = self._tables.sealed(schema.BLOBS, prefix, after_prefix(prefix))
        return {key[len(prefix) :]: unseal(schema.BLOBS, key, value) for key, value in rows}

    def ended(self, run_id: str) -> EndedRow | None:
        """An ended run with its snapshot; its history is here only when it is small (use `history`)."""
        row = self._tables.row(_ended, schema.ENDED, run_id.encode())
        if row and row.snapshot_spilled:
            spilled = self._tables.row(_snapshot, schema.SNAPSHOTS, run_id.encode())
            row.snapshot = spilled.state if spilled else b""
        return row

    def seq_of(self, run_id: str) -> int | None:
        """The last event of an open or ended run that this store holds; None: the run is unknown here."""
        key = run_id.encode()
        row: OpenRow | EndedSummary | None = self._tables.row(_open, schema.OPEN, key) or self._tables.row(
            _summary, schema.ENDED, key
        )
        return row.seq if row else None

    def newest(self) -> str:
        """The greatest id of all runs here; "" when there is none. Greater ids are surely unknown here."""
        last = [self._store.range(table, b"", None, limit=1, reverse=True) for table in (schema.OPEN, schema.ENDED)]
        return max((page[0][0].decode() for page in last if page), default="")

    def swept(self) -> int:
        """The epoch in which ended runs were last removed; 0: never."""
        row = self._tables.row(_snapshot, schema.RECORD, schema.SWEPT_KEY)
        return row.seq if row else 0

    def sweep(self, after: str, until: Mapping[str, int], started_until: int) -> Swept:
        """A page of ended runs from ``after`` on, as far as they were started by ``started_until``: those that had
        ended by the time that ``until`` has for their definition's hash, and what removes each."""
        found: list[tuple[str, list[Op]]] = []
        rows = self._store.range(schema.ENDED, after.encode() + b"\0" if after else b"", None, limit=PAGE_ROWS)
        for key, value in rows:
            summary = decode_row(_summary, schema.ENDED, key, value)
            if summary.started_at > started_until:
                return Swept(found, "")
            if summary.ended_at <= until.get(summary.definition, -1):
                found.append((summary.run_id, self._removal(key, decode_row(_ended, schema.ENDED, key, value))))
        return Swept(found, rows[-1][0].decode() if len(rows) == PAGE_ROWS else "")

    def _removal(self, key: bytes, row: EndedRow) -> list[Op]:
        """Everything that an ended run has in this store."""
        ops = [Op(schema.ENDED, key, None)]
        if row.snapshot_spilled:
            ops.append(Op(schema.SNAPSHOTS, key, None))
        for table in (schema.HISTORY, schema.BLOBS) if row.spilled else (schema.BLOBS,):
            ops.extend(Op(table, one, None) for one, _ in self._tables.sealed(table, key, after_prefix(key)))
        ops += task_logs.removal_ops(self._store, row.run_id)
        if row.key:
            name = (row.namespace, row.workflow, row.key)
            if (bound := self.key(*name)) is not None and bound[0] == row.run_id:
                ops.append(Op(schema.KEYS, key_digest(*name), None))
        return ops

    def history(self, run_id: str, after_seq: int = 0, limit: int = PAGE_ROWS) -> list[tuple[int, bytes]]:
        """At most ``limit`` chunks ``(first_seq, events)`` that hold events above ``after_seq``, in order."""
        start, stop = history_key(run_id, 0), after_prefix(run_id.encode())
        around = self._store.range(schema.HISTORY, start, history_key(run_id, after_seq + 1), limit=1, reverse=True)
        rows = self._store.range(schema.HISTORY, history_key(run_id, after_seq + 1), stop, limit=limit)
        chunks = [
            (int.from_bytes(key[-8:], "big"), unseal(schema.HISTORY, key, value)) for key, value in [*around, *rows]
        ]
        # Read last: a run that ended between these reads has moved its chunks into its single row.
        ended = self._tables.row(_ended, schema.ENDED, run_id.encode())
        if ended and not ended.spilled:
            chunks = ended.history
        return [(first, events) for first, events in chunks if last_seq(first, events) > after_seq][:limit]

    def key(self, namespace: str, workflow: str, key: str) -> tuple[str, bytes] | None:
        """``(run_id, input_digest)`` of the run that this idempotency key names."""
        row = self._tables.row(_key, schema.KEYS, key_digest(namespace, workflow, key))
        if row is None or (row.namespace, row.workflow, row.key) != (namespace, workflow, key):
            return None
        return row.run_id, row.input_digest

    def record(self) -> tuple[int, bytes] | None:
        """``(seq, state)`` of the partition's own record."""
        row = self._tables.row(_snapshot, schema.RECORD, schema.RECORD_KEY)
        return (row.seq, row.state) if row else None

    def definition(self, definition_hash: str) -> bytes | None:
        """A definition's canonical JSON."""
        return self._tables.payload(schema.DEFINITIONS, definition_hash.encode())

    def definitions(self) -> list[str]:
        """The hashes of all definitions kept here."""
        return [key.decode() for key, _ in self._tables.sealed(schema.DEFINITIONS)]

    def list_open(self, *, after: str = "", limit: int = 100) -> list[OpenRow]:
        """Open runs, newest first; ``after`` (a run id) pages on towards older ones."""
        stop = after.encode() if after else None
        rows = self._store.range(schema.OPEN, b"", stop, limit=limit, reverse=True)
        return [decode_row(_open, schema.OPEN, key, value) for key, value in rows]

    def list_ended(self, *, after: str = "", limit: int = 100) -> list[EndedSummary]:
        """Ended runs, newest first; ``after`` (a run id) pages on towards older ones."""
        stop = after.encode() if after else None
        rows = self._store.range(schema.ENDED, b"", stop, limit=limit, reverse=True)
        return [decode_row(_summary, schema.ENDED, key, value) for key, value in rows]

    def counts(self) -> dict[str, int]:
        """Rows by kind: open, ended, keys, definitions, history (chunks)."""
        tables = (schema.OPEN, schema.ENDED, schema.KEYS, schema.DEFINITIONS, schema.HISTORY)
        return {schema.TABLE_NAMES[table]: self._store.count(table) for table in tables}

    def task_log(self, run_id: str, after: int = 0) -> task_logs.StoredLog:
        """What is kept of the lines that a run's tasks printed and logged, behind the place ``after``."""
        return task_logs.read_log(self._store, run_id, after)

    def task_log_flush(self, runs: Mapping[str, Sequence[StoredBatch]], bytes_max: int) -> task_logs.Flush:
        """What writes further lines of runs, with what makes room for them; it may give them higher numbers."""
        return task_logs.plan_flush(self._store, runs, bytes_max)

    def size_bytes(self) -> int:
        """Bytes in use on disk."""
        return self._store.size_bytes()

    def used_bytes(self) -> int:
        """Bytes that hold something."""
        return self._store.used_bytes()

    def close(self) -> None:
        self._store.close()
