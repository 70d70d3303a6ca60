"""A shard's write-ahead log: batches of event chunks as records of the `Log` port. The only hot write.

A record is ``header | chunks``: the header (little endian) holds format version, chunk count, epoch, position and two
CRCs; the chunks are one msgpack array of ``[partition, epoch, entity, first_seq, count, events]``, where ``events`` is
the bytes that also become the run's history. ``crc`` covers the header's other fields and the chunks, and starts from
``previous``, the CRC of the record before: a record that was lost, damaged, swapped or left over from another writer
breaks the chain. Trimming removes the front of the chain, so the first record that is read vouches for its own
``previous``.

Invariants: positions are consecutive; epochs never decrease; after an error of ``append`` the log is unusable and its
owner must stop (a failed commit may or may not be on disk).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct as Layout
from typing import Final, NamedTuple
from zlib import crc32

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from wfe.errors import DataCorrupt, DataError, DataFormat
from wfe.model.malformed import MALFORMED
from wfe.ports import Log

RECORD_VERSION: Final = 1
_FIELDS: Final = Layout("<HHIQQ")
"""version, reserved, chunk count, epoch, position."""
_CRCS: Final = Layout("<II")
"""crc, previous."""
HEADER_BYTES: Final = _FIELDS.size + _CRCS.size


class Chunk(Struct, array_like=True, frozen=True, gc=False):
    """The new events of one entity in one batch: a run, or ("" ) the partition's own record.

    ``epoch`` is the partition's; ``events`` is an encoded `model.event.EventChunk` or `PartitionChunk`, opaque here, of
    ``count`` events, numbered from ``first_seq`` on.
    """

    partition: int
    epoch: int
    entity: str
    first_seq: int
    count: int
    events: bytes


class Header(NamedTuple):
    """A record's header; ``crc`` chains on ``previous``."""

    version: int
    chunks: int
    epoch: int
    position: int
    crc: int
    previous: int


_encode = Encoder().encode
_decode = Decoder(list[Chunk]).decode


def encode_record(position: int, epoch: int, previous: int, chunks: Sequence[Chunk]) -> tuple[bytes, int]:
    """The record and its CRC."""
    body = _encode(chunks)
    fields = _FIELDS.pack(RECORD_VERSION, 0, len(chunks), epoch, position)
    crc = crc32(body, crc32(fields, previous))
    return b"".join((fields, _CRCS.pack(crc, previous), body)), crc


def decode_header(position: int, record: bytes) -> Header:
    """The header of a record, its checksum verified. `DataCorrupt` or `DataFormat`, naming the record."""
    if len(record) < HEADER_BYTES:
        raise DataCorrupt("a log record is too short", f"log/{position}")
    version, _, count, epoch, own = _FIELDS.unpack_from(record)
    crc, previous = _CRCS.unpack_from(record, _FIELDS.size)
    view = memoryview(record)
    if crc32(view[HEADER_BYTES:], crc32(view[: _FIELDS.size], previous)) != crc or own != position:
        raise DataCorrupt("a log record fails its checksum", f"log/{position}")
    if version > RECORD_VERSION:
        raise DataFormat(
            f"the log record {position} was written by a newer version of wfe (record version {version}, "
            f"this one reads {RECORD_VERSION}); upgrade wfe"
        )
    return Header(version, count, epoch, position, crc, previous)


def decode_chunks(header: Header, record: bytes) -> list[Chunk]:
    """The chunks of a record whose header was verified."""
    try:
        chunks = _decode(memoryview(record)[HEADER_BYTES:])
    except MALFORMED as error:
        raise DataCorrupt(f"a log record does not decode: {error}", f"log/{header.position}") from error
    if len(chunks) != header.chunks:
        raise DataCorrupt("a log record holds another number of chunks than it says", f"log/{header.position}")
    return chunks


class Chain:
    """Checks that records follow each other: positions, epochs, CRCs. Feed it headers in order."""

    def __init__(self, after: int = 0, epoch_max: int | None = None) -> None:
        """``after`` above 0: the first record must be the next one. ``epoch_max``: no record may be newer than that."""
        self._after = after
        self._epoch_max = epoch_max
        self._last: Header | None = None

    def follow(self, header: Header) -> None:
        """`DataCorrupt` when this record does not follow the one before."""
        last, name = self._last, f"log/{header.position}"
        expected = last.position + 1 if last else self._after + 1 if self._after else header.position
        if header.position != expected:
            raise DataCorrupt(f"records are missing from the log: {expected} is not there", name)
        if last and header.previous != last.crc:
            raise DataCorrupt("a log record does not continue the one before it", name)
        if last and header.epoch < last.epoch:
            raise DataCorrupt("the epoch goes back along the log", name)
        if self._epoch_max is not None and header.epoch > self._epoch_max:
            raise DataCorrupt(f"a log record has epoch {header.epoch}, which is yet to come", name)
        self._last = header


class ShardLog:
    """The log of one shard, for one epoch: fences earlier writers, appends batches, replays, trims."""

    def __init__(self, log: Log, epoch: int) -> None:
        """Takes the log over. `Fenced` when a higher epoch has it; `DataCorrupt` when its last record is damaged."""
        log.fence(epoch)
        self._log = log
        self._epoch = epoch
        self._broken = False
        self._trimmed = 0
        self.position = log.last()
        """The last position written; 0 when there is none."""
        self._crc = 0
        for position, record in log.read(self.position - 1 if self.position else 0):
            self._crc = decode_header(position, record).crc

    def append(self, chunks: Sequence[Chunk]) -> int:
        """Makes one batch durable as one record and returns its position. After an error: stop, recover from disk."""
        if self._broken:
            raise DataError("an earlier write to the log failed; this process must stop and recover from disk")
        position = self.position + 1
        record, crc = encode_record(position, self._epoch, self._crc, chunks)
        self._broken = True
        self._log.append(position, record)
        self._broken = False
        self.position, self._crc = position, crc
        return position

    def replay(self, after: int = 0) -> Iterator[tuple[int, list[Chunk]]]:
        """Batches with a position above ``after``, in order; 0: all that is kept.

        A damaged record, a gap or a broken chain is `DataCorrupt`, which names the record; nothing is ever skipped.
        """
        chain = Chain(after, self._epoch)
        seen, last = after, self.position
        for position, record in self._log.read(after):
            header = decode_header(position, record)
            chain.follow(header)
            yield position, decode_chunks(header, record)
            seen = position
        if seen < last and max(after, self._trimmed) < last:
            raise DataCorrupt("records are missing at the end of the log", f"log/{last}")

    def trim(self, through: int) -> None:
        """Forgets batches up to and including this position. It may take effect later, and be undone by a crash."""
        self._trimmed = max(self._trimmed, min(through, self.position))
        self._log.trim(self._trimmed)

    def size_bytes(self) -> int:
        """Bytes in use."""
        return self._log.size_bytes()

    def close(self) -> None:
        self._log.close()
