"""The one thing that the journal knows about a chunk of events: how many there are, read from the headers. Pure.

A chunk is an encoded `model.event.EventChunk` (or `PartitionChunk`): the msgpack array ``[time_ms, [event, ...]]``. Its
events stay undecoded here, so that listing history or checking a disk costs nothing per event and does not depend on
which events this version knows.
"""

from __future__ import annotations

from typing import Final

from wfe.errors import DataCorrupt

_INT_BYTES: Final = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""Size of a msgpack integer by its first byte; other first bytes are the whole integer."""


def event_count(chunk: bytes) -> int:
    """The number of events in a chunk. `DataCorrupt` when the bytes are no chunk."""
    if len(chunk) < 3 or not 0x92 <= chunk[0] <= 0x9F:
        raise DataCorrupt("a chunk of events does not decode")
    at = 1 + _INT_BYTES.get(chunk[1], 1)
    head = chunk[at] if at < len(chunk) else 0
    if head & 0xF0 == 0x90:
        return head & 0x0F
    if head == 0xDC:
        return int.from_bytes(chunk[at + 1 : at + 3], "big")
    if head == 0xDD:
        return int.from_bytes(chunk[at + 1 : at + 5], "big")
    raise DataCorrupt("a chunk of events does not decode")


def last_seq(first_seq: int, chunk: bytes) -> int:
    """The sequence number of a chunk's last event; ``first_seq - 1`` when it has none."""
    return first_seq + event_count(chunk) - 1
