"""What `wfe verify` checks in logs, and between logs and stores; `journal.verify_store` checks the stores themselves.

Reads through the ports only, changes nothing, and goes on after a finding, so that one pass lists all of them. A
finding is a fact about the data; whether to restore a backup is the operator's decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from wfe.errors import DataCorrupt, DataFormat
from wfe.journal.chunks import event_count
from wfe.journal.log import Chain, Chunk, decode_chunks, decode_header
from wfe.journal.verify_store import SWEPT, Entity, Finding, message_of, verify_catalogue, verify_store
from wfe.ports import Log

__all__ = ["Finding", "LogScan", "scan_log", "verify_catalogue", "verify_join", "verify_log", "verify_store"]

Span: TypeAlias = tuple[int, int]
"""First and last event sequence."""


class LogScan(Struct):
    """One pass over a log: how much there is, what is wrong, and which events it holds of whom, in order."""

    records: int = 0
    events: int = 0
    findings: list[Finding] = []
    spans: dict[Entity, list[Span]] = {}


def verify_log(log: Log) -> list[Finding]:
    """Checksums, decoding, gaps, the chain, epochs, and the chunks' own counts."""
    return scan_log(log).findings


def scan_log(log: Log) -> LogScan:
    """As `verify_log`, with what `verify_join` needs."""
    scan = LogScan()
    chain = Chain()
    for position, record in log.read(0):
        scan.records += 1
        try:
            header = decode_header(position, record)
            chain.follow(header)
            chunks = decode_chunks(header, record)
        except (DataCorrupt, DataFormat) as error:
            scan.findings.append(Finding(f"log/{position}", message_of(error)))
            chain = Chain(after=position)
            continue
        for chunk in chunks:
            _scan_chunk(scan, position, chunk)
    return scan


def _scan_chunk(scan: LogScan, position: int, chunk: Chunk) -> None:
    scan.events += chunk.count
    try:
        counted = event_count(chunk.events)
    except DataCorrupt:
        counted = -1
    if counted != chunk.count:
        whose = chunk.entity or f"partition {chunk.partition}"
        scan.findings.append(Finding(f"log/{position}", f"a chunk of {whose} has other than its {chunk.count} events"))
    last = chunk.first_seq + chunk.count - 1
    spans = scan.spans.setdefault((chunk.partition, chunk.entity), [])
    if spans and spans[-1][1] + 1 == chunk.first_seq:
        spans[-1] = (spans[-1][0], last)
    else:
        spans.append((chunk.first_seq, last))


def verify_join(scan: LogScan, held: Mapping[Entity, int], partitions: Iterable[int]) -> list[Finding]:
    """No events are missing between a store and the log. ``held``: last sequence per entity in the stores of these
    ``partitions``; entities of other partitions are not judged. Events that both have are fine: replay skips them.
    """
    findings = []
    judged = set(partitions)
    for entity, spans in sorted(scan.spans.items()):
        if entity[0] not in judged:
            continue
        if entity not in held and entity[1] and (entity[0], SWEPT) in held:
            continue  # it may have expired: the log knows it for longer than the stores
        seq = held.get(entity, 0)
        for first, last in sorted(spans):
            if first > seq + 1:
                name = entity[1] or f"the record of partition {entity[0]}"
                findings.append(Finding(f"log/{name}", f"events {seq + 1} to {first - 1} are in no store and no log"))
            seq = max(seq, last)
    return findings
