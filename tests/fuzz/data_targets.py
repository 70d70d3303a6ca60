"""What lies on disk: log records, rows of stores and of the catalogue, snapshots, chunks of events.

Each input is read as it is, and again under a checksum that is right, so that what lies behind the checksum is met too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from zlib import crc32

import msgspec
from msgspec import Raw

from support.coordinator_world import MemoryStore
from wfe.errors import DataCorrupt, DataError
from wfe.journal import schema
from wfe.journal.catalogue import EPOCH_KEY, SERVER_KEY, Catalogue, OwnerRow, ServerRow, VersionRow, WorkflowRow
from wfe.journal.chunks import event_count
from wfe.journal.log import _CRCS, _FIELDS, HEADER_BYTES, Chunk, ShardLog, encode_record
from wfe.journal.rows import key_digest
from wfe.journal.schema import EndedRow, KeyRow, MetaRow, OpenRow, SnapshotRow, history_key, seal
from wfe.journal.store import PartitionStore
from wfe.journal.verify import verify_catalogue, verify_log, verify_store
from wfe.model.event import EventChunk, KeyBound, MailSent, PartitionChunk, RunStarted, TaskDone, TaskFailed
from wfe.model.ids import mint_run_id
from wfe.model.policy import ErrorInfo
from wfe.model.state import Frame, RunState
from wfe.partition.entry import decode_events, decode_state
from wfe.partition.mailbox import Outbox, RecordState, decode_record, decode_record_events
from wfe.ports import Op

encode = msgspec.msgpack.encode
RUN_ID = mint_run_id(0, 1_000_000_000, 7)
_RUN = RUN_ID.encode()
_EVENTS = [
    RunStarted(RUN_ID, "flow", 1, "0" * 32, Raw(b"\x05"), 5),
    TaskDone(0, 0, 1, Raw(b"\x81\xa1a\x01")),
    TaskFailed(1, 2, 1, ErrorInfo("ValueError", "boom", types=("ValueError",)), 9),
]
CHUNK = encode(EventChunk(5, _EVENTS))
RECORD_CHUNK = encode(PartitionChunk(5, [MailSent(1, 1, Raw(b"\xc0")), KeyBound("default", "f", "k", RUN_ID, b"x")]))
STATE = encode(
    RunState(
        RUN_ID,
        "flow",
        1,
        "0" * 32,
        Raw(b"\x05"),
        5,
        frames={0: Frame(0, 0, 0, 0, [1], {0: 1}, {1: Raw(b"\x01")})},
        open={3: 1},
        tags={"a": "b"},
    )
)
RECORD = encode(RecordState(3, {1: Outbox(2, [(1, Raw(b"\xc0"))])}, {2: 7}))


class OneRecord:
    """A `Log` that holds one record."""

    def __init__(self, record: bytes) -> None:
        self.record = record

    def fence(self, epoch: int) -> None:
        pass

    def last(self) -> int:
        return 1

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        yield from [(1, self.record)] if after < 1 else []


LOG_RECORDS = [
    encode_record(1, 1, 0, [Chunk(0, 1, RUN_ID, 1, 3, CHUNK), Chunk(0, 1, "", 1, 2, RECORD_CHUNK)])[0],
    encode_record(1, 1, 7, [])[0],
]


def log_record(data: bytes) -> None:
    fields = data[: _FIELDS.size].ljust(_FIELDS.size, b"\0")
    body = data[HEADER_BYTES:]
    good = _FIELDS.pack(1, 0, _FIELDS.unpack(fields)[2], 1, 1)
    for record in (data, fields + _CRCS.pack(crc32(body, crc32(fields)), 0) + body):
        _read_log(record)
    _read_log(good + _CRCS.pack(crc32(body, crc32(good)), 0) + body)


def _read_log(record: bytes) -> None:
    log = OneRecord(record)
    verify_log(log)  # type: ignore[arg-type]
    try:
        for _ in ShardLog(log, 1).replay():  # type: ignore[arg-type]
            pass
    except DataError:
        return


_PARTITION_ROWS = [
    (schema.META, schema.META_KEY, encode(MetaRow(1, 0, 4))),
    (schema.OPEN, _RUN, encode(OpenRow(RUN_ID, "flow", 1, "running", seq=3))),
    (schema.SNAPSHOTS, _RUN, encode(SnapshotRow(3, STATE))),
    (schema.HISTORY, history_key(RUN_ID, 1), CHUNK),
    (schema.ENDED, _RUN, encode(EndedRow(RUN_ID, "flow", 1, "completed", seq=3, snapshot=STATE, history=[(1, CHUNK)]))),
    (schema.KEYS, key_digest("default", "f", "k"), encode(KeyRow("default", "f", "k", RUN_ID, b"x"))),
    (schema.RECORD, schema.RECORD_KEY, encode(SnapshotRow(3, RECORD))),
    (schema.DEFINITIONS, b"0" * 32, b"{}"),
]
_CATALOGUE_ROWS = [
    (schema.CATALOGUE_META, SERVER_KEY, encode(ServerRow(1, 4, "s"))),
    (schema.CATALOGUE_META, EPOCH_KEY, encode(5)),
    (schema.CATALOGUE_DEFINITIONS, b"0" * 32, b"{}"),
    (schema.CATALOGUE_WORKFLOWS, b"flow", encode(WorkflowRow("flow", 1, {1: VersionRow("0" * 32, 5)}))),
    (schema.CATALOGUE_OWNERS, b"\0\1", encode(OwnerRow(0, 1))),
]
_ROWS = [*_PARTITION_ROWS, *_CATALOGUE_ROWS]
STORE_ROWS = [bytes((place,)) + payload for place, (_, _, payload) in enumerate(_ROWS)]


def store_row(data: bytes) -> None:
    """The first byte chooses the row; the rest is its payload, or the whole stored value."""
    if not data:
        return
    table, key, _ = _ROWS[data[0] % len(_ROWS)]
    for value in (data[1:], seal(table, key, data[1:]), seal(table, key, b"")[: schema.SEAL_BYTES - 1]):
        store = MemoryStore()
        store.commit([Op(t, k, seal(t, k, payload)) for t, k, payload in _ROWS])
        store.commit([Op(table, key, value)])
        verify_store(store)
        verify_catalogue(store)
        with suppress(DataError):
            _read_catalogue(store)
        with suppress(DataError):
            _read_store(PartitionStore(store, 0, 4))


def _read_catalogue(store: MemoryStore) -> None:
    catalogue = Catalogue(store)
    catalogue.list()
    catalogue.owners()
    catalogue.definition("0" * 32)


def _read_store(store: PartitionStore) -> None:
    for read in (
        lambda: list(store.open_runs()),
        lambda: store.snapshot(RUN_ID),
        lambda: store.ended(RUN_ID),
        lambda: store.seq_of(RUN_ID),
        lambda: store.history(RUN_ID, 1),
        lambda: store.key("default", "f", "k"),
        store.record,
        store.definitions,
        store.list_ended,
    ):
        try:
            read()
        except DataError:
            continue


SNAPSHOTS = [STATE, RECORD, CHUNK, RECORD_CHUNK]


def snapshot(data: bytes) -> None:
    """States and events behind a checksum that is right."""
    for decode in (decode_state, decode_record, decode_events, decode_record_events, event_count):
        try:
            decode(data)
        except DataCorrupt:
            continue
