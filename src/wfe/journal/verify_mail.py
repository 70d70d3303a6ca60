"""What `wfe verify` and `wfe restore` check between partitions: that mail numbers agree. Reads through the ports only.

For every sender and receiver, what the receiver has taken lies between what the sender has settled and what it has
sent: below, a letter would be lost (its sender has forgotten it); above, a new letter would be taken for an old one.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from wfe.errors import DataCorrupt, WfeError
from wfe.journal import schema
from wfe.journal.log import decode_chunks, decode_header
from wfe.journal.schema import SnapshotRow
from wfe.journal.tables import Tables
from wfe.journal.verify_store import Finding
from wfe.model.event import PartitionChunk
from wfe.partition.mailbox import RecordState, decode_record, evolve_record
from wfe.ports import Log, Store

Records: TypeAlias = dict[int, RecordState]
"""Each partition's own record, folded from its store and the logs."""

_row = msgspec.msgpack.Decoder(SnapshotRow)
_chunk = msgspec.msgpack.Decoder(PartitionChunk).decode
_BROKEN = (msgspec.MsgspecError, RecursionError, ValueError, KeyError, TypeError)


def stored_record(store: Store) -> RecordState | None:
    """A partition's record as its store has it; None when it cannot be read (which `verify_store` has found)."""
    try:
        row = Tables(store).row(_row, schema.RECORD, schema.RECORD_KEY)
        return RecordState() if row is None else decode_record(row.state)
    except (WfeError, *_BROKEN):
        return None


def replay_records(log: Log, records: Records) -> None:
    """Books what a log holds beyond the stores. Records that do not fit are given up: they cannot be judged."""
    for position, data in log.read(0):
        header = decode_header(position, data)
        for chunk in decode_chunks(header, data):
            record = records.get(chunk.partition)
            if chunk.entity or record is None or chunk.first_seq <= record.seq:
                continue
            try:
                if chunk.first_seq != record.seq + 1:
                    raise DataCorrupt("events of a partition's record are missing", f"log/{position}")
                for event in _chunk(chunk.events).events:
                    evolve_record(record, event)
            except (DataCorrupt, *_BROKEN):
                del records[chunk.partition]


def verify_mail(records: Records) -> list[Finding]:
    """Every pair of partitions that were read."""
    findings = []
    pairs = {(sender, receiver) for sender, record in records.items() for receiver in record.outboxes}
    pairs |= {(sender, receiver) for receiver, record in records.items() for sender in record.taken}
    for sender, receiver in sorted(pairs):
        if sender not in records or receiver not in records:
            continue
        outbox = records[sender].outboxes.get(receiver)
        taken = records[receiver].taken.get(sender, 0)
        sent = outbox.next - 1 if outbox is not None else 0
        settled = outbox.letters[0][0] - 1 if outbox is not None and outbox.letters else sent
        if not settled <= taken <= sent:
            findings.append(
                Finding(
                    f"mail/{sender}/{receiver}",
                    f"partition {sender} has sent {sent} letters and forgotten {settled}, {receiver} has taken {taken}",
                )
            )
    return findings
