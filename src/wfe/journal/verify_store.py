"""What `wfe verify` checks in stores: every seal, every row's decoding, and that rows of one run agree with each other.

Reads through the port only, changes nothing, and goes on after a finding, so that one pass lists all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import TypeAlias, TypeVar

from msgspec import Struct
from msgspec.msgpack import Decoder

from wfe.errors import DataCorrupt, WfeError
from wfe.journal import schema
from wfe.journal.catalogue import SERVER_KEY, OwnerRow, WorkflowRow
from wfe.journal.chunks import last_seq
from wfe.journal.rows import key_digest
from wfe.journal.schema import EndedRow, KeyRow, MetaRow, OpenRow, SnapshotRow, TenureRow, name_of, unseal
from wfe.journal.tables import Tables, decode_row
from wfe.model.blob import NAME_BYTES, names_in, references_in
from wfe.model.blob import name_of as name_of_blob
from wfe.model.ids import RUN_ID_CHARS, is_run_id, partition_of
from wfe.model.malformed import MALFORMED
from wfe.ports import Store

Entity: TypeAlias = tuple[int, str]
"""A partition and a run id, or "" for the partition's own record."""

SWEPT = "swept"
"""In place of a run's id: the epoch in which runs were last removed from this store."""

_Row = TypeVar("_Row")


class Finding(Struct, frozen=True):
    """Something wrong. ``record`` names the place, e.g. ``log/17`` or ``ended/00...``."""

    record: str
    message: str


def verify_store(store: Store, held: dict[Entity, int] | None = None) -> list[Finding]:
    """Checks a partition's store. ``held`` is filled with the last sequence per entity, for `verify.verify_join`."""
    return _StoreCheck(store, {} if held is None else held).run()


def verify_catalogue(store: Store) -> list[Finding]:
    """The catalogue: seals, decoding, and that every version's definition is there."""
    check = _Reader(store)
    if SERVER_KEY not in check.keys(schema.CATALOGUE_META):
        check.add(schema.CATALOGUE_META, SERVER_KEY, "the catalogue does not say what it is")
    definitions = set(check.keys(schema.CATALOGUE_DEFINITIONS))
    for key, row in check.rows(Decoder(WorkflowRow), schema.CATALOGUE_WORKFLOWS):
        if row.current not in (row.kept or {0}):
            check.add(schema.CATALOGUE_WORKFLOWS, key, f"the current version {row.current} does not exist")
        for tag, number in row.tags.items():
            if number not in row.kept:
                check.add(schema.CATALOGUE_WORKFLOWS, key, f"the tag {tag!r} names version {number}: there is none")
        for version, known in row.kept.items():
            if known.hash.encode() not in definitions:
                check.add(schema.CATALOGUE_WORKFLOWS, key, f"the definition of version {version} is missing")
    for _ in check.rows(Decoder(OwnerRow), schema.CATALOGUE_OWNERS):
        pass
    return check.findings


def message_of(error: WfeError) -> str:
    """An error's message without the record, which the finding names itself."""
    return str(error).rsplit(" (", 1)[0]


class _Reader:
    """Reads rows and turns what is wrong with them into findings."""

    def __init__(self, store: Store) -> None:
        self.findings: list[Finding] = []
        self._tables = Tables(store)

    def add(self, table: int, key: bytes, message: str) -> None:
        self.findings.append(Finding(name_of(table, key), message))

    def rows(self, decoder: Decoder[_Row], table: int) -> Iterator[tuple[bytes, _Row]]:
        """Rows that decode."""
        for key, value in self._tables.sealed(table):
            try:
                row = decode_row(decoder, table, key, value)
            except WfeError as error:
                self.add(table, key, message_of(error))
            else:
                yield key, row

    def payloads(self, table: int) -> Iterator[tuple[bytes, bytes]]:
        """Payloads with a good checksum."""
        for key, value in self._tables.sealed(table):
            try:
                payload = unseal(table, key, value)
            except WfeError as error:
                self.add(table, key, message_of(error))
            else:
                yield key, payload

    def keys(self, table: int) -> list[bytes]:
        """Keys of rows with a good checksum."""
        return [key for key, _ in self.payloads(table)]


class _StoreCheck(_Reader):
    """One pass over a partition's store."""

    def __init__(self, store: Store, held: dict[Entity, int]) -> None:
        super().__init__(store)
        self._held = held
        self._partition = -1
        self._seqs: dict[bytes, int] = {}
        """Last sequence of every run whose history is in HISTORY: open ones, and ended ones that are large."""
        self._with_snapshot: dict[bytes, int] = {}
        self._wanted: set[tuple[bytes, bytes]] = set()
        """Blobs that states refer to, by run and name."""

    def run(self) -> list[Finding]:
        self._check_meta()
        self._check_open()
        self._check_ended()
        self._check_snapshots()
        self._check_history()
        self._check_blobs()
        for key, row in self.rows(Decoder(KeyRow), schema.KEYS):
            if key != key_digest(row.namespace, row.workflow, row.key):
                self.add(schema.KEYS, key, f"the row of another key, {row.workflow}/{row.key}")
        for key, record in self.rows(Decoder(SnapshotRow), schema.RECORD):
            self._held[self._partition, SWEPT if key == schema.SWEPT_KEY else ""] = record.seq
        self.keys(schema.DEFINITIONS)
        for key, _ in self.payloads(schema.TASK_LOGS):
            self._check_log_key(key)
        return self.findings

    def _check_meta(self) -> None:
        for key, payload in self.payloads(schema.META):
            try:
                if key == schema.TENURE_KEY:
                    Decoder(TenureRow).decode(payload)
                else:
                    self._partition = Decoder(MetaRow).decode(payload).partition
            except MALFORMED as error:
                self.add(schema.META, key, f"a stored record does not decode: {error}")
        if self._partition < 0:
            self.add(schema.META, schema.META_KEY, "the store does not say which partition it is")

    def _check_place(self, table: int, key: bytes, run_id: str) -> None:
        if key != run_id.encode():
            self.add(table, key, f"the row of another run, {run_id}")
        elif not is_run_id(run_id) or (self._partition >= 0 and partition_of(run_id) != self._partition):
            self.add(table, key, f"the run is none of partition {self._partition}")

    def _check_log_key(self, key: bytes) -> None:
        run_id = key[:RUN_ID_CHARS].decode("ascii", "replace")
        if not is_run_id(run_id) or (self._partition >= 0 and partition_of(run_id) != self._partition):
            self.add(schema.TASK_LOGS, key, f"the run is none of partition {self._partition}")

    def _check_open(self) -> None:
        for key, row in self.rows(Decoder(OpenRow), schema.OPEN):
            self._check_place(schema.OPEN, key, row.run_id)
            self._seqs[key] = self._with_snapshot[key] = row.seq
            self._held[self._partition, row.run_id] = row.seq

    def _check_ended(self) -> None:
        for key, row in self.rows(Decoder(EndedRow), schema.ENDED):
            self._check_place(schema.ENDED, key, row.run_id)
            if key in self._seqs:
                self.add(schema.ENDED, key, "the run is open and ended at once")
            self._held[self._partition, row.run_id] = row.seq
            self._refer(key, row.snapshot)
            if row.snapshot_spilled:
                self._with_snapshot[key] = row.seq
            if row.spilled:
                self._seqs[key] = row.seq
            else:
                self._check_chunks(schema.ENDED, key, row.history, row.seq)

    def _check_snapshots(self) -> None:
        found = set()
        for key, row in self.rows(Decoder(SnapshotRow), schema.SNAPSHOTS):
            found.add(key)
            self._refer(key, row.state)
            expected = self._with_snapshot.get(key)
            if expected is None:
                self.add(schema.SNAPSHOTS, key, "a snapshot without a run")
            elif expected != row.seq:
                self.add(schema.SNAPSHOTS, key, f"the snapshot is of event {row.seq}, the run's row of {expected}")
        for key in self._with_snapshot:
            if key not in found:
                self.add(schema.SNAPSHOTS, key, "the run's snapshot is missing or damaged")

    def _refer(self, run: bytes, state: bytes) -> None:
        """Notes what a snapshot (or a blob) refers to. What does not decode is found by whoever reads it."""
        if names_in(state):
            with suppress(*MALFORMED):
                self._wanted.update((run, name) for name in references_in(state))

    def _check_blobs(self) -> None:
        found = set()
        for key, data in self.payloads(schema.BLOBS):
            run, name = key[:-NAME_BYTES], key[-NAME_BYTES:]
            found.add((run, name))
            self._refer(run, data)
            if name != name_of_blob(data):
                self.add(schema.BLOBS, key, "a blob with the name of another content")
            if (self._partition, run.decode("ascii", "replace")) not in self._held:
                self.add(schema.BLOBS, key, "a blob without a run")
        for run, name in sorted(self._wanted - found):
            self.add(schema.BLOBS, run + name, "a value that the run's state refers to is missing or damaged")

    def _check_history(self) -> None:
        found = set()
        for key, group in groupby(self.payloads(schema.HISTORY), key=lambda row: row[0][:-8]):
            found.add(key)
            chunks = [(int.from_bytes(row[-8:], "big"), events) for row, events in group]
            if key in self._seqs:
                self._check_chunks(schema.HISTORY, key, chunks, self._seqs[key])
            else:
                self.add(schema.OPEN, key, "history without a run")
        for key, seq in self._seqs.items():
            if seq and key not in found:
                self.add(schema.OPEN, key, "the run's history is missing or damaged")

    def _check_chunks(self, table: int, key: bytes, chunks: list[tuple[int, bytes]], last: int) -> None:
        """Chunks follow each other from the first event to ``last``."""
        seq = 0
        for first, events in chunks:
            if first != seq + 1:
                self.add(table, key, f"events {seq + 1} to {first - 1} are missing from the run's history")
            try:
                seq = last_seq(first, events)
            except DataCorrupt as error:
                self.add(table, key, message_of(error))
                return
        if seq != last:
            self.add(table, key, f"the history ends at event {seq}, the run's row at {last}")
