"""The layout of stores: table numbers, key codecs, the seal around every value, row Structs. Pure.

Invariants: a table number is never reused (retired ones stay listed); fields are appended with a default, never renamed
or reordered; a change of meaning raises the row's version, and a reader refuses a row that is newer than it knows.

Every stored value is ``crc32 (4 bytes) | row version (1 byte) | payload``; the CRC covers table, key, version and
payload, so that a value that was damaged, or copied to another place, is found. LMDB itself has no checksums.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from msgspec import Struct

from wfe.errors import DataCorrupt, DataFormat
from wfe.limits import KIB
from wfe.model.blob import NAME_BYTES as BLOB_NAME_BYTES
from wfe.model.ids import RUN_ID_CHARS
from wfe.wire.approvals import OpenApproval

FORMAT_VERSION: Final = 1
"""Of the data directory as a whole; a newer one is refused with `DataFormat`."""
ROW_VERSION: Final = 1

# Tables of a partition's store. Never reuse a number. Next free: 11.
META: Final = 1
OPEN: Final = 2
SNAPSHOTS: Final = 3
HISTORY: Final = 4
ENDED: Final = 5
KEYS: Final = 6
RECORD: Final = 7
DEFINITIONS: Final = 8
BLOBS: Final = 9
TASK_LOGS: Final = 10
PARTITION_TABLES: Final = (META, OPEN, SNAPSHOTS, HISTORY, ENDED, KEYS, RECORD, DEFINITIONS, BLOBS, TASK_LOGS)

# Tables of the catalogue's store. Never reuse a number. Next free: 105.
CATALOGUE_META: Final = 101
CATALOGUE_DEFINITIONS: Final = 102
CATALOGUE_WORKFLOWS: Final = 103
CATALOGUE_OWNERS: Final = 104
CATALOGUE_TABLES: Final = (CATALOGUE_META, CATALOGUE_DEFINITIONS, CATALOGUE_WORKFLOWS, CATALOGUE_OWNERS)

TABLE_NAMES: Final = {
    META: "meta",
    OPEN: "open",
    SNAPSHOTS: "snapshots",
    HISTORY: "history",
    ENDED: "ended",
    KEYS: "keys",
    RECORD: "record",
    DEFINITIONS: "definitions",
    BLOBS: "blobs",
    TASK_LOGS: "task_logs",
    CATALOGUE_META: "catalogue_meta",
    CATALOGUE_DEFINITIONS: "catalogue_definitions",
    CATALOGUE_WORKFLOWS: "catalogue_workflows",
    CATALOGUE_OWNERS: "catalogue_owners",
}

INLINE_BYTES_MAX: Final = 32 * KIB
"""History (and a snapshot) up to this size lives in an ended run's single row; larger ones keep rows of their own, so
that lists stay cheap."""

META_KEY: Final = b"partition"
RECORD_KEY: Final = b"record"
SWEPT_KEY: Final = b"swept"
"""In RECORD: a row whose ``seq`` is the epoch in which ended runs were last removed. Chunks in the log up to that epoch
may be of a run that is in no store any more."""

TENURE_KEY: Final = b"tenure"
"""In META: a `TenureRow`, once the partition has moved between shards."""

SEAL_BYTES: Final = 5


class MetaRow(Struct, array_like=True):
    """What a partition's store says about itself."""

    format: int
    partition: int
    partitions: int


class TenureRow(Struct, array_like=True):
    """Which shard took the partition over, under which epoch; of its log, what lies behind ``position`` counts.

    What is up to there, and all of the logs of other shards, was in this store when it changed hands.
    """

    shard: int
    position: int
    epoch: int


class OpenRow(Struct, array_like=True):
    """An open run, as lists and recovery need it. ``next_due_ms`` 0: no timer is armed. Times in ms since 1970.

    ``seq`` is the run's last event that its snapshot holds; ``parent`` is "" for a run nobody awaits.
    """

    run_id: str
    workflow: str
    version: int
    status: str
    key: str = ""
    started_at: int = 0
    tags: dict[str, str] = {}
    priority: int = 0
    next_due_ms: int = 0
    has_tasks: bool = False
    seq: int = 0
    definition: str = ""
    namespace: str = "default"
    parent: str = ""
    approvals: list[OpenApproval] = []
    awaits: list[str] = []
    """Channels of awaited signals that have a correlation (`model.state.channel_of`)."""


class EndedSummary(Struct, array_like=True):
    """The head of an `EndedRow`: what lists show. Its fields are the first ones of the row, in the same order."""

    run_id: str
    workflow: str
    version: int
    status: str
    key: str = ""
    started_at: int = 0
    ended_at: int = 0
    tags: dict[str, str] = {}
    priority: int = 0
    seq: int = 0
    definition: str = ""
    namespace: str = "default"
    parent: str = ""


class EndedRow(Struct, array_like=True):
    """An ended run in a single row: the summary, the last snapshot, and the history as ``(first_seq, events)``.

    ``spilled``: the history is in rows of its own in HISTORY; ``snapshot_spilled``: so is the snapshot, in SNAPSHOTS
    (`PartitionStore.ended` and `PartitionStore.history` follow both).
    """

    run_id: str
    workflow: str
    version: int
    status: str
    key: str = ""
    started_at: int = 0
    ended_at: int = 0
    tags: dict[str, str] = {}
    priority: int = 0
    seq: int = 0
    definition: str = ""
    namespace: str = "default"
    parent: str = ""
    snapshot: bytes = b""
    history: list[tuple[int, bytes]] = []
    spilled: bool = False
    snapshot_spilled: bool = False


class SnapshotRow(Struct, array_like=True):
    """A run's or a partition's state as of event ``seq``, written as `FORMAT_VERSION` says."""

    seq: int
    state: bytes


class LogCountRow(Struct, array_like=True):
    """What is kept of a run's task logs: ``dropped`` lines made room for newer ones, ``last`` is the highest number."""

    bytes: int
    lines: int
    dropped: int = 0
    last: int = 0


class KeyRow(Struct, array_like=True):
    """An idempotency key: which run it names, and the digest of that run's input."""

    namespace: str
    workflow: str
    key: str
    run_id: str
    input_digest: bytes


assert EndedRow.__struct_fields__[: len(EndedSummary.__struct_fields__)] == EndedSummary.__struct_fields__
assert set(TABLE_NAMES) == {*PARTITION_TABLES, *CATALOGUE_TABLES}


def seal(table: int, key: bytes, payload: bytes, version: int = ROW_VERSION) -> bytes:
    """The value to store at (table, key)."""
    covered = b"%b%c%b" % (key, version, payload)
    return crc32(covered, table).to_bytes(4, "little") + covered[len(key) :]


def unseal(table: int, key: bytes, value: bytes) -> bytes:
    """The payload of a sealed value. `DataCorrupt` names the record; `DataFormat`: a newer wfe wrote it."""
    payload = value[SEAL_BYTES:]
    if (
        len(value) < SEAL_BYTES
        or crc32(payload, crc32(value[4:SEAL_BYTES], crc32(key, table))).to_bytes(4, "little") != value[:4]
    ):
        raise DataCorrupt("a stored record fails its checksum", name_of(table, key))
    if value[4] > ROW_VERSION:
        raise DataFormat(
            f"the record {name_of(table, key)} was written by a newer version of wfe (row version {value[4]}, "
            f"this one reads {ROW_VERSION}); upgrade wfe"
        )
    return payload


def name_of(table: int, key: bytes) -> str:
    """How errors and `wfe verify` name a record: the table, and the key as people can read it."""
    text = TABLE_NAMES.get(table, str(table))
    if (table == HISTORY and len(key) > 8) or (table == TASK_LOGS and len(key) > RUN_ID_CHARS):
        return f"{text}/{key[:-8].decode('ascii', 'replace')}/{int.from_bytes(key[-8:], 'big')}"
    if table == BLOBS and len(key) > BLOB_NAME_BYTES:
        return f"{text}/{key[:-BLOB_NAME_BYTES].decode('ascii', 'replace')}/{key[-BLOB_NAME_BYTES:].hex()}"
    if table == CATALOGUE_OWNERS and len(key) == 2:
        return f"{text}/{int.from_bytes(key, 'big')}"
    return (
        f"{text}/{key.decode('ascii')}"
        if key.isascii() and key.decode("ascii").isprintable()
        else f"{text}/{key.hex()}"
    )


def history_key(run_id: str, first_seq: int) -> bytes:
    """Chunks of one run lie together, in order."""
    return run_id.encode() + first_seq.to_bytes(8, "big")


def blob_key(run_id: str, name: bytes) -> bytes:
    """Blobs of one run lie together."""
    return run_id.encode() + name


def log_key(run_id: str, number: int) -> bytes:
    """Lines of one run lie together, in order, behind the row that counts them (whose key is the run's id)."""
    return run_id.encode() + number.to_bytes(8, "big")


def after_prefix(prefix: bytes) -> bytes:
    """The first key behind all keys with this prefix (run ids are ASCII, so the last byte can be raised)."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
