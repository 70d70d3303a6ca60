"""What the parts of a shard share: its partitions, its queues, and what waits for the next commit to leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from wfe.errors import Busy, InvalidInput, ProtocolError, RetryAfter, Unavailable, WfeError
from wfe.journal.backup import Copier
from wfe.journal.checkpoint import CheckpointWriter, StoreReader
from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.limits import ADMIT_READY_MAX, LIVE_RUNS_MAX, LOG_DISK_BYTES, MIB
from wfe.model.ids import PARTITION_OF_PREFIX
from wfe.model.state import PAUSED, RunState
from wfe.observe import Counters, LatencyWindow
from wfe.partition.entry import Entry
from wfe.partition.partition import Partition
from wfe.partition.ready import ReadyQueue
from wfe.partition.timers import TimerHeap
from wfe.ports import Store
from wfe.shard.askers import Askers
from wfe.shard.stages import Stages
from wfe.shard.tally import Tallies
from wfe.shard.traces import Traces
from wfe.wire.frames import Kind, header
from wfe.wire.messages import ErrorReply, Mail, MailAck, RunOutcome

encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
Found = Entry | RunState | None
"""A run in memory, an ended run from the store, or none."""

TAIL_BYTES = 8 * MIB
ENDED_WAIT_MS = 10_000
REPLAYED_AT_ONCE = 2_000


class Sender(Protocol):
    """Where frames leave: False when the peer is not there or its queue is full."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool: ...


@dataclass(slots=True)
class Settings:
    """What a shard is told at its start."""

    index: int
    epoch: int
    partitions_total: int
    token: str = ""
    lease_ms: int = 10_000
    recovery_grace_ms: int = 1_000
    live_runs_max: int = LIVE_RUNS_MAX
    retention_ms: int = 0
    """How long runs are kept that have ended, unless their definition says it; 0: for ever."""
    disk_budget_bytes: int = 0
    """What logs and stores of the server may hold before new runs are refused (it has its partitions' share of that);
    0: whatever the disk has."""
    ready_max: int = ADMIT_READY_MAX
    """Ready tasks beyond which new runs are refused."""
    tail_bytes: int = TAIL_BYTES
    """While the load is high, runs get this much of the log's length to end before they are written."""
    ended_wait_ms: int = ENDED_WAIT_MS
    """For so long ended runs wait in memory to be written, however short the log is."""
    replayed_at_once: int = REPLAYED_AT_ONCE
    """With more runs than that in its log's tail a shard serves before it has replayed all of them."""
    replayed_per_turn: int = 500
    task_logs_bytes: int = LOG_DISK_BYTES
    """What all partitions of the server may keep of the lines that tasks print and log; 0: nothing is kept."""
    trace_share: float = -1.0
    """Of runs without a caller's trace that get one of their own; below 0: nobody takes traces."""


@dataclass(slots=True)
class Disk:
    """The shard's part of the data directory, through the ports. ``copier`` None: it takes part in no backup."""

    log: ShardLog
    stores: dict[int, PartitionStore]
    writer: CheckpointWriter
    reader: StoreReader
    copier: Copier | None = None
    ports: dict[int, Store] = field(default_factory=dict)
    """What the stores are made of, for the threads that write and copy them."""
    open_port: Callable[[int, int], Store] | None = None
    """Opens the store of a partition that comes from another shard, under its epoch."""


@dataclass(slots=True)
class ShardCore:
    """State of the actor. ``touched``: entries with events in the current batch. ``answers``: to clients, ``(client,
    parts)``.

    ``mail_in``, ``acks_in``: between partitions of this shard; they take the same way as others, just without a socket.
    """

    settings: Settings
    disk: Disk
    back: Sender
    workers: Sender
    random: Callable[[], float]
    partitions: dict[int, Partition] = field(default_factory=dict)
    leaving: dict[int, Partition] = field(default_factory=dict)
    """Partitions that are being written down for another shard: nothing is decided for them here any more."""
    departed: set[int] = field(default_factory=set)
    """Partitions that this process had once, and has no more: what is said of them is meant for another shard."""
    ready: ReadyQueue = field(init=False)
    timers: TimerHeap = field(default_factory=TimerHeap)
    counters: Counters = field(default_factory=Counters)
    latencies: dict[str, LatencyWindow] = field(
        default_factory=lambda: {"commit": LatencyWindow(), "batch": LatencyWindow()}
    )
    touched: dict[Entry, None] = field(default_factory=dict)
    answers: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    outcomes: dict[bytes, list[RunOutcome]] = field(default_factory=dict)
    watchers: Askers[bytes, None] = field(default_factory=Askers)
    """Clients that await the end of a run."""
    to_back: list[list[bytes]] = field(default_factory=list)
    mail_in: list[Mail] = field(default_factory=list)
    acks_in: list[MailAck] = field(default_factory=list)
    draining: bool = False
    disk_full: bool = False
    """So little room is left that only what is under way may go on."""
    budget_spent: bool = False
    memory_full: bool = False
    commits_slow: bool = False
    """So slow is the disk at present that new runs would only wait."""
    live_runs: int = 0
    """Runs in memory."""
    open_runs: int = 0
    """Runs that have not ended, those that left memory included."""
    ended: list[Entry] = field(default_factory=list)
    """Runs that ended since the last commit."""
    tallies: Tallies = field(default_factory=Tallies)
    traces: Traces = field(default_factory=Traces)
    host: dict[str, int] = field(default_factory=dict)
    """Gauges of the process and its disk, which it puts here."""
    stages: Stages | None = None
    """Measures where tasks spend their time; None: nobody wants to know."""

    def __post_init__(self) -> None:
        self.ready = ReadyQueue(self.settings.ready_max)

    def partition_for(self, run_id: str) -> Partition | None:
        """The partition that owns a run; None when it is not this shard's (or the id is malformed)."""
        number = PARTITION_OF_PREFIX.get(run_id[:2])
        return None if number is None else self.partitions.get(number)

    def owned(self, number: int) -> Partition:
        """A partition of this shard. Unavailable: it is another's, by now perhaps. ProtocolError: there is none."""
        partition = self.partitions.get(number)
        if not 0 <= number < self.settings.partitions_total:
            raise ProtocolError(f"there is no partition {number}")
        if partition is None:
            raise Unavailable(f"partition {number} is not served here at the moment")
        return partition

    def knows_timer(self, due_ms: int, run_id: str, timer: int) -> bool:
        """Whether an entry of the heap still means something."""
        partition = self.partition_for(run_id)
        if partition is None:
            return False
        entry = partition.entries.get(run_id)
        return run_id in partition.asleep if entry is None else entry.run.timers.get(timer) == due_ms

    def awaits_dispatch(self, entry: Entry, key: int) -> bool:
        """Whether an item of the ready queue still means something (a paused run's is queued anew at its resume)."""
        return key in entry.run.open and key not in entry.leases and entry.run.status != PAUSED

    def answer(self, client: bytes, request: int, body: Any) -> None:
        """Reply to a client's request, after the commit."""
        self.answers.append((client, [header(Kind.REPLY, -1, request), encode(body)]))

    def refuse(self, client: bytes, request: int, error: WfeError) -> None:
        """Answer a request with a typed error, after the commit."""
        self.counters["requests_refused"] += 1
        self.answers.append((client, [header(Kind.ERROR, -1, request), encode(error_reply(error))]))


def error_reply(error: WfeError) -> ErrorReply:
    """An error as it travels."""
    path = error.path if isinstance(error, InvalidInput) else ""
    retry_ms = round(error.retry_after_s * 1000) if isinstance(error, Busy) else 0
    assert not isinstance(error, RetryAfter), "a task's signal is no reply"
    return ErrorReply(error.code, str(error), path, retry_ms)
