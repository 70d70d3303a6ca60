"""Durable mail between partitions: numbered per (sender, receiver), kept until acknowledged, taken in order, once.

A partition's outbox and watermarks are part of its own record: folded from its events, never written apart.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from wfe.errors import DataCorrupt
from wfe.model.event import (
    DefinitionStored,
    KeyBound,
    LockLeft,
    LockQueued,
    MailSent,
    MailSettled,
    MailTaken,
    PartitionChunk,
    PartitionEvent,
)
from wfe.model.malformed import MALFORMED


class Outbox(Struct, array_like=True):
    """Mail to one receiver: ``next`` is the next number, ``letters`` the unacknowledged (seq, body), in order."""

    next: int = 1
    letters: list[tuple[int, Raw]] = []


class RecordState(Struct, array_like=True):
    """A partition's own record. ``taken``: watermark by sender. ``locks``: who wants a shared lock, holders first."""

    seq: int = 0
    outboxes: dict[int, Outbox] = {}
    taken: dict[int, int] = {}
    locks: dict[str, dict[str, None]] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RecordState).decode
_decode_chunk = msgspec.msgpack.Decoder(PartitionChunk).decode


def encode_record(record: RecordState) -> bytes:
    return _encode(record)


def decode_record(data: bytes) -> RecordState:
    """A partition's record from its snapshot. DataCorrupt when it is none."""
    try:
        return _decode(data)
    except MALFORMED as error:
        raise DataCorrupt(f"the record of a partition does not decode: {error}") from error


def decode_record_events(data: bytes) -> PartitionChunk:
    """A chunk of a partition's own events from the log. DataCorrupt when it is none."""
    try:
        return _decode_chunk(data)
    except MALFORMED as error:
        raise DataCorrupt(f"a chunk of a partition's events does not decode: {error}") from error


def evolve_record(record: RecordState, event: PartitionEvent) -> None:
    """Book an event in the partition's record. Definitions and keys have rows of their own in the store."""
    record.seq += 1
    match event:
        case MailSent(receiver, seq, body):
            outbox = record.outboxes.setdefault(receiver, Outbox())
            outbox.letters.append((seq, Raw(bytes(body))))
            outbox.next = seq + 1
        case MailSettled(receiver, seq):
            letters = record.outboxes[receiver].letters
            del letters[: seq - letters[0][0] + 1]  # numbers have no gaps
        case MailTaken(sender, seq):
            record.taken[sender] = seq
        case LockQueued(lock, run_id, node, act):
            record.locks.setdefault(lock, {})[f"{run_id}/{node}/{act}"] = None
        case LockLeft(lock, run_id, node, act):
            record.locks[lock].pop(f"{run_id}/{node}/{act}", None)
            if not record.locks[lock]:
                del record.locks[lock]
        case DefinitionStored() | KeyBound():
            pass


def settle_mail(record: RecordState, receiver: int, seq: int) -> MailSettled | None:
    """The event for an acknowledgement; None when it says nothing new."""
    outbox = record.outboxes.get(receiver)
    if outbox is None or not outbox.letters or outbox.letters[0][0] > seq:
        return None
    return MailSettled(receiver, min(seq, outbox.letters[-1][0]))


def accept_mail(record: RecordState, sender: int, seq: int) -> bool | None:
    """True: the next letter from this sender. False: an old one, only acknowledge. None: a gap, wait for the
    earlier."""
    watermark = record.taken.get(sender, 0)
    if seq <= watermark:
        return False
    return True if seq == watermark + 1 else None
