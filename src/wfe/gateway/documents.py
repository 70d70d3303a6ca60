"""What the gateway's JSON looks like: one Struct per document, from which the OpenAPI page is made, too.

Pure. Documents of runs, events and the server have the keys of the command line's ``--json`` (`client.views`): they are
converted from those, so that the two cannot drift apart. Times are RFC 3339 in UTC, None where there is none.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

RunStatus = Literal["pending", "running", "waiting", "paused", "completed", "failed", "cancelled"]


class FieldProblem(Struct, kw_only=True, omit_defaults=True):
    """One thing that is wrong with a request: ``pointer`` into its body, or the name of a ``parameter``."""

    detail: str
    pointer: str = ""
    parameter: str = ""


class Problem(Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. ``code`` is stable: the name of the error as in every client of wfe."""

    type: str
    title: str
    status: int
    detail: str = ""
    code: str = ""
    errors: list[FieldProblem] = []
    retry_after_s: float = 0.0


# ---- runs -----------------------------------------------------------------------------------------------------------


class RunError(Struct):
    """Why a run failed."""

    type: str
    message: str
    node: str
    attempts: int
    traceback: str = ""


class Wait(Struct):
    """What a run waits for; ``kind``: task, worker, retry, timer, signal, approval, lock, run, join, paused, ..."""

    kind: str
    node: str
    detail: str
    attempt: int
    since: str | None
    due: str | None


class Run(Struct):
    """A run as it is now. In lists ``input``, ``output``, ``waiting_for`` and ``trace_id`` are left empty."""

    id: str
    workflow: str
    version: int
    key: str | None
    status: RunStatus
    input: Any
    output: Any
    error: RunError | None
    waiting_for: list[Wait]
    started_at: str | None
    ended_at: str | None
    tags: dict[str, str]
    priority: int
    parent: str | None
    events: int
    definition: str
    trace_id: str | None = None


class Blocker(Wait):
    """What a run waits for, explained: ``text`` is a sentence that says what would help, ``reason`` a stable word.

    ``by``: places in the way, as run/node/activation; ``child``: of a sub-workflow, what that waits for.
    """

    reason: str
    text: str
    by: list[str]
    child: Explanation | None


class Explanation(Struct):
    """Why a run does not go on. ``summary``: one line."""

    id: str
    workflow: str
    version: int
    key: str | None
    status: RunStatus
    error: RunError | None
    started_at: str | None
    ended_at: str | None
    parent: str | None
    summary: str
    waiting_for: list[Blocker]


class RunList(Struct):
    """Runs, newest first. ``cursor``: pass it to get the next page; ``incomplete``: partitions that did not answer."""

    runs: list[Run]
    cursor: str | None
    incomplete: list[int]


class Event(Struct):
    """One event of a run's history."""

    seq: int
    time: str | None
    type: str
    node: str | None
    activation: int
    attempt: int
    data: Any


class EventPage(Struct):
    """Events in order. ``cursor``: the number to go on after; ``ended``: the run has ended and this is all of it."""

    events: list[Event]
    cursor: int
    ended: bool


class LogLine(Struct):
    """A line that a task printed (``logger`` is ``wfe.print``) or logged. ``dropped`` lines before it are gone."""

    time: str | None
    level: str
    node: str
    activation: int
    attempt: int
    logger: str
    text: str
    dropped: int
    trace: str | None


class LogLines(Struct):
    """Lines in order. ``cursor``: pass it as ``after``; ``ended``: the run has, so that nothing more will come."""

    lines: list[LogLine]
    cursor: int
    ended: bool


class Alert(Struct):
    """A rule's subject that is not fine, or a rule that is. ``state``: ok, pending (not long enough yet), firing."""

    rule: str
    when: str
    severity: str
    state: str
    subject: str
    summary: str
    value: str
    limit: str
    since: str | None
    fired_at: str | None
    said_at: str | None
    to: list[str]


class AlertReceiver(Struct):
    """Who is told. ``error``: of the last message, null when it arrived."""

    name: str
    kind: str
    sent: int
    failed: int
    dropped: int
    waiting: int
    error: str | None


class AlertList(Struct):
    """What the alert rules say. ``at``: when they were judged last; null: nobody judges any."""

    at: str | None
    alerts: list[Alert]
    receivers: list[AlertReceiver]


class StreamedEvent(Struct, omit_defaults=True):
    """One server-sent event. ``data``: a JSON text; ``id``: what Last-Event-ID takes; ``event``: end, missed, error."""

    data: str = ""
    id: str = ""
    event: str = ""


class NodePast(Struct):
    """An open activation of a node, or a node whose value is kept."""

    node: str | None
    activation: int
    state: str
    detail: str
    attempt: int
    due: str | None
    value: Any


class RunPast(Struct):
    """The whole state of a run as of one of its events."""

    id: str
    event: int
    time: str | None
    status: str
    round: int
    input: Any
    nodes: list[NodePast]
    signals: dict[str, int]
    output: Any
    incident: str | None


class Accepted(Struct):
    """A command that is durable now."""

    id: str
    action: str


class BulkFailure(Struct):
    """A run that a bulk operation could not do its work on."""

    id: str
    code: str
    detail: str


class BulkOutcome(Struct):
    """What a bulk operation did, or with ``dry_run`` would do. ``more``: further runs match; send it again.

    ``runs``: the ids that it was done to, or with ``dry_run`` those that it would be done to.
    """

    action: str
    dry_run: bool
    matched: int
    runs: list[str]
    failed: list[BulkFailure]
    more: bool
    incomplete: list[int]


# ---- approvals, server ----------------------------------------------------------------------------------------------


class OpenApproval(Struct):
    """A decision that a run waits for. ``to``: who is asked; ``form``: the JSON Schema of the decision's ``data``."""

    run: str
    workflow: str
    key: str | None
    node: str
    name: str
    to: Any
    due: str | None
    escalations: int
    form: Any


class ApprovalList(Struct):
    """Open approvals, oldest run first."""

    approvals: list[OpenApproval]


class LatencySummary(Struct):
    """Percentiles over the recent window, in microseconds."""

    count: int
    p50_us: int
    p99_us: int
    max_us: int


class ShardState(Struct):
    """A shard: ``state`` is starting, serving, stalled, restarting or down."""

    index: int
    state: str
    pid: int
    epoch: int
    restarts: int
    recovery_ms: int
    partitions: list[int]
    counters: dict[str, int]
    gauges: dict[str, int]
    latencies: dict[str, LatencySummary]


class WorkerState(Struct):
    """A worker process."""

    id: str
    local: bool
    pid: int
    state: str
    restarts: int


class ServerState(Struct):
    """The server: ``state`` is starting, serving, degraded or draining."""

    server: str
    state: str
    version: str
    address: str
    http: str
    data: str
    durability: str
    partitions: int
    workflows: int
    started_at: str | None
    shards: list[ShardState]
    workers: list[WorkerState]
    moving: list[int] = []
    """Partitions that are on their way from one shard to another."""
    busiest_percent: int = 100
    """What the shard with most to do has, of what a shard has on average."""


class ShardList(Struct):
    """All shards."""

    shards: list[ShardState]


class WorkerList(Struct):
    """All workers that the server knows."""

    workers: list[WorkerState]


class MoveError(Struct):
    """Why a partition was not moved; it is served where it was."""

    code: str
    message: str


class MoveState(Struct, rename={"source": "from", "target": "to"}):
    """A partition on its way. ``state`` is planned, moved or failed; ``held_ms``: for how long it stood still."""

    partition: int
    source: int
    target: int
    state: str
    held_ms: int
    error: MoveError | None


class RebalanceState(Struct):
    """``phase`` is done, or planned after a dry run."""

    phase: str
    took_ms: int
    moves: list[MoveState]


class Health(Struct):
    """``status``: ok, or what is wrong."""

    status: str
