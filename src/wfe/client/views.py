"""Runs, events and server status as people and scripts read them: decoded; and their documents (``--json``).

Pure: wire Structs in, plain values out. The keys of `run_document` are pinned; more may be added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from wfe.model.policy import ErrorInfo
from wfe.model.trace import trace_id
from wfe.wire.messages import DefinitionFound, Deployed, HistoryEvent, RunView, ServerStatus, ShardStatus, Waiting
from wfe.wire.payload import decode_any
from wfe.wire.rebalance import RebalanceReport
from wfe.wire.rounds import RunPast

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4_096)  # the events of a batch share theirs
def time_of_ms(time_ms: int) -> datetime | None:
    """A time of the wire; 0 means that there is none."""
    return _EPOCH + timedelta(milliseconds=time_ms) if time_ms else None


@lru_cache(maxsize=4_096)
def rfc3339(time_ms: int) -> str | None:
    """UTC with milliseconds and a Z; None for 0."""
    moment = time_of_ms(time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run at one moment. ``status``: pending running waiting paused completed failed cancelled."""

    id: str
    workflow: str
    version: int
    key: str | None
    status: str
    input: Any
    output: Any
    error: ErrorInfo | None
    waiting_for: list[Waiting]
    started_at: datetime | None
    ended_at: datetime | None
    tags: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    parent: str | None = None
    view: RunView | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One event of a run. ``data``: its fields beyond the common ones, as JSON values."""

    seq: int
    time: datetime | None
    type: str
    node: str
    activation: int
    attempt: int
    data: Any
    time_ms: int = 0


def run_info(view: RunView) -> RunInfo:
    return RunInfo(
        id=view.id,
        workflow=view.workflow,
        version=view.version,
        key=view.key or None,
        status=view.status,
        input=decode_any(view.input),
        output=decode_any(view.output),
        error=view.error,
        waiting_for=view.waiting_for,
        started_at=time_of_ms(view.started_at),
        ended_at=time_of_ms(view.ended_at),
        tags=view.tags,
        priority=view.priority,
        parent=view.parent or None,
        view=view,
    )


def history_item(event: HistoryEvent) -> HistoryItem:
    data = decode_any(event.data)
    moment = time_of_ms(event.time_ms)
    return HistoryItem(
        event.seq, moment, event.type, event.node, event.activation, event.attempt, data, time_ms=event.time_ms
    )


def error_document(error: ErrorInfo | None) -> dict[str, Any] | None:
    if error is None:
        return None
    document: dict[str, Any] = {
        "type": error.type,
        "message": error.message,
        "node": error.node,
        "attempts": error.attempts,
    }
    if error.traceback:
        document["traceback"] = error.traceback
    return document


def run_document(view: RunView) -> dict[str, Any]:
    """The pinned JSON form of a run."""
    return {
        "id": view.id,
        "workflow": view.workflow,
        "version": view.version,
        "key": view.key or None,
        "status": view.status,
        "input": decode_any(view.input),
        "output": decode_any(view.output),
        "error": error_document(view.error),
        "waiting_for": [_waiting_document(waiting) for waiting in view.waiting_for],
        "started_at": rfc3339(view.started_at),
        "ended_at": rfc3339(view.ended_at),
        "tags": view.tags,
        "priority": view.priority,
        "parent": view.parent or None,
        "events": view.events,
        "definition": view.definition,
        "trace_id": trace_id(view.trace) or None,
    }


def _waiting_document(waiting: Waiting) -> dict[str, Any]:
    return {
        "kind": waiting.kind,
        "node": waiting.node,
        "detail": waiting.detail,
        "attempt": waiting.attempt,
        "since": rfc3339(waiting.since_ms),
        "due": rfc3339(waiting.due_ms),
    }


def event_document(item: HistoryItem) -> dict[str, Any]:
    return {
        "seq": item.seq,
        "time": rfc3339(item.time_ms),
        "type": item.type,
        "node": item.node or None,
        "activation": item.activation,
        "attempt": item.attempt,
        "data": item.data,
    }


def past_document(past: RunPast) -> dict[str, Any]:
    """A run as of an event."""
    return {
        "id": past.run_id,
        "event": past.event,
        "time": rfc3339(past.time_ms),
        "status": past.status,
        "round": past.round,
        "input": decode_any(past.input),
        "nodes": [
            {
                "node": node.node or None,
                "activation": node.activation,
                "state": node.state,
                "detail": node.detail,
                "attempt": node.attempt,
                "due": rfc3339(node.due_ms),
                "value": decode_any(node.value),
            }
            for node in past.nodes
        ],
        "signals": past.signals,
        "output": decode_any(past.output),
        "incident": past.incident or None,
    }


def deployed_document(deployed: Deployed) -> dict[str, Any]:
    return {
        "workflow": deployed.workflow,
        "version": deployed.version,
        "hash": deployed.hash,
        "changed": deployed.changed,
        "new": deployed.new,
    }


def definition_document(found: DefinitionFound) -> dict[str, Any]:
    """A registered version, without its graph."""
    return {
        "workflow": found.workflow,
        "version": found.version,
        "hash": found.hash,
        "current": found.current,
        "deployed_at": rfc3339(found.deployed_at),
        "deprecated_at": rfc3339(found.deprecated_at),
        "note": found.note,
        "tags": found.tags,
        "triggers": found.triggers,
    }


def status_document(status: ServerStatus) -> dict[str, Any]:
    """Server status with each shard's counters, gauges and latencies."""
    return {
        "server": status.server,
        "state": status.state,
        "version": status.version,
        "address": status.address,
        "http": status.http,
        "data": status.data,
        "durability": status.durability,
        "partitions": status.partitions,
        "workflows": status.workflows,
        "moving": status.moving,
        "busiest_percent": status.busiest_percent,
        "started_at": rfc3339(status.started_at),
        "shards": [_shard_document(shard) for shard in status.shards],
        "workers": [_named(worker) for worker in status.workers],
    }


def rebalance_document(report: RebalanceReport) -> dict[str, Any]:
    """How a rebalance went: each move with its state, for how long the partition stood still, and why not."""
    return {
        "phase": report.phase,
        "took_ms": report.took_ms,
        "moves": [
            {
                "partition": move.partition,
                "from": move.source,
                "to": move.target,
                "state": move.state,
                "held_ms": move.held_ms,
                "error": None if move.error is None else {"code": move.error.code, "message": move.error.message},
            }
            for move in report.moves
        ],
    }


def _shard_document(shard: ShardStatus) -> dict[str, Any]:
    stats = shard.stats
    return {
        "index": shard.index,
        "state": shard.state,
        "pid": shard.pid,
        "epoch": shard.epoch,
        "restarts": shard.restarts,
        "recovery_ms": shard.recovery_ms,
        "partitions": shard.partitions,
        "counters": stats.counters if stats else {},
        "gauges": stats.gauges if stats else {},
        "latencies": {name: _named(latency) for name, latency in stats.latencies.items()} if stats else {},
    }


def _named(struct: msgspec.Struct) -> dict[str, Any]:
    """An array_like Struct by its field names."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
