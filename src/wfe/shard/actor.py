"""The shard: a state machine over frames, reads, writes and ticks. Commit, then act.

Use: feed it what came in (`on_back`, `on_worker`, `on_read`, `on_written`), then `turn`: it takes due timers,
commits the batch and lets its effects leave. After any error of `turn` the process must stop: it has acknowledged
nothing of that batch.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from wfe.core import decide
from wfe.errors import ProtocolError
from wfe.journal.log import Chunk
from wfe.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, FRESH_ID_MS, HEARTBEAT_MS, PAYLOAD_BYTES_MAX
from wfe.model.event import PartitionChunk
from wfe.model.malformed import MALFORMED
from wfe.observe import get_logger
from wfe.partition.entry import Entry, encode_events
from wfe.partition.partition import Partition
from wfe.shard.backup import BackupPart
from wfe.shard.budget import DiskBudget
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import Disk, Sender, Settings, ShardCore, encode
from wfe.shard.explain import Explainer
from wfe.shard.feed import Feed
from wfe.shard.handover import CloseStep, Handovers
from wfe.shard.loading import Loader
from wfe.shard.mailroom import Mailroom
from wfe.shard.recovery import Recovery
from wfe.shard.requests import Requests
from wfe.shard.retention import Retention, SweepStep
from wfe.shard.starts import Starts
from wfe.shard.task_logs import LogStep, TaskLogs
from wfe.shard.traces import TraceReader, Traces
from wfe.shard.usage import Usages
from wfe.shard.workers import Workers
from wfe.wire.backups import CopiedFile
from wfe.wire.definitions import UsageQuestion
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import KnownWorkers, Mail, MailAck, Resolved, RunOutcome, ShardHello, ShardStats

_log = get_logger("shard")
TIMERS_PER_TURN = 1_000
IDLE_MS = 50
"""Without traffic for this long the shard pays its checkpoint debt."""
_OUTCOMES = header(Kind.OUTCOMES)


class Shard:
    """One shard. ``partitions``: the numbers it owns; ``random`` gives numbers in [0, 1)."""

    def __init__(
        self,
        settings: Settings,
        disk: Disk,
        partitions: list[int],
        back: Sender,
        workers: Sender,
        random: Any,
        now_ms: int,
    ) -> None:
        core = self.core = ShardCore(settings, disk, back, workers, random, traces=Traces(settings.trace_share))
        for number in partitions:
            core.partitions[number] = Partition(number, settings.epoch)
        self.checkpoints = Checkpoints(core)
        self.loader = Loader(core, self._installed)
        self.workers = Workers(core, self.loader)
        turns = self.workers.turns
        self.starts = Starts(core, self.loader, turns, self.checkpoints.tail_full)
        self.requests = Requests(core, self.loader, turns, self.starts)
        self.feed = Feed(core)
        self.requests.kinds |= self.feed.kinds()
        self.traces = TraceReader(core)
        self.requests.kinds |= self.traces.kinds()
        self.requests.kinds |= Explainer(core, self.loader, turns, self.workers.links).kinds()
        self.usages = Usages(core, self.loader)
        self.mailroom = Mailroom(core, self.loader, turns, self.starts)
        self.backup = BackupPart(core, self.mailroom.sending, self.checkpoints, disk.copier)
        self.recovery = Recovery(core, self.loader, turns, self.workers, self.checkpoints)
        self.retention = Retention(core, self.loader, self.checkpoints)
        self.task_logs = TaskLogs(core, self.loader, self.checkpoints)
        self.workers.kinds |= self.task_logs.worker_kinds()
        self.requests.kinds |= self.task_logs.client_kinds()
        self.budget = DiskBudget(core, self.loader, self.retention)
        self.handovers = Handovers(
            core,
            self.loader,
            self.workers,
            self.mailroom,
            self.recovery,
            self.checkpoints,
            self.retention,
            self.task_logs,
        )
        self._turns = turns
        self._stats_ms = 0
        self._busy_ms = now_ms
        self._drain_asked = False
        self.drained = False
        """Everything is in the stores and was told to the coordinator: the process may exit."""
        self.recovery.recover(now_ms)
        if any(partition.record.seq for partition in core.partitions.values()):
            # What ended before is not remembered: until ids of that time are old, starts are looked up in the stores.
            self.starts.settled_ms = now_ms + 2 * FRESH_ID_MS
        self._decode_mail = msgspec.msgpack.Decoder(list[Mail]).decode
        self._decode_acks = msgspec.msgpack.Decoder(list[MailAck]).decode
        self._decode_serves = msgspec.msgpack.Decoder(list[int]).decode
        self._decode_resolved = msgspec.msgpack.Decoder(Resolved).decode
        self._decode_known = msgspec.msgpack.Decoder(KnownWorkers).decode
        self._decode_usage = msgspec.msgpack.Decoder(UsageQuestion).decode

    # ---- what comes in ----------------------------------------------------------------------------------------------

    def hello(self, ipc: str, tcp: str, pid: int, recovery_ms: int) -> None:
        """Say that the shard serves."""
        settings = self.core.settings
        message = ShardHello(
            settings.index, settings.epoch, pid, ipc, tcp, sorted(self.core.partitions),
            self.recovery.recovered_runs, recovery_ms,
        )  # fmt: skip
        self.core.back.send(b"", [header(Kind.SHARD_HELLO), encode(message)])

    def on_back(self, parts: list[bytes], now_ms: int) -> None:
        """A frame from the coordinator: its own, another shard's, or a client's (which has the identity in front)."""
        self._busy_ms = now_ms
        try:
            if len(parts) == 3:
                client, head, body = parts
                self.requests.on_frame(client, decode_header(head), body, now_ms)
                return
            if len(parts) != 2:
                raise ProtocolError(f"a frame of {len(parts)} parts")
            self._on_coordinator(decode_header(parts[0]).kind, parts[1], now_ms)
        except (ProtocolError, *MALFORMED) as error:
            self.core.counters["frames_refused"] += 1
            _log.warning("a frame was refused", error=str(error))

    def _on_coordinator(self, kind: int, body: bytes, now_ms: int) -> None:
        if kind == Kind.MAIL:
            self.mailroom.on_mail(self._decode_mail(body), now_ms)
        elif kind == Kind.MAIL_ACK:
            for ack in self._decode_acks(body):
                self.mailroom.on_ack(ack, now_ms)
        elif kind == Kind.SERVES:
            self.mailroom.sending.serves(self._decode_serves(body))
        elif kind == Kind.RESOLVED:
            self.loader.on_resolved(self._decode_resolved(body), now_ms)
        elif kind == Kind.WORKERS:
            known = self._decode_known(body)
            self.workers.on_known_workers(known, now_ms)
            self.recovery.expect(known.workers)
        elif kind in (Kind.QUIESCE, Kind.CUT, Kind.RELEASE):
            self.backup.on_frame(kind, body, now_ms)
        elif kind in (Kind.YIELD, Kind.ADOPT):
            self.handovers.on_frame(kind, body)
        elif kind == Kind.USAGE:
            self.usages.on_question(self._decode_usage(body))
        elif kind == Kind.DRAIN:
            self.core.draining = self._drain_asked = True
        else:
            raise ProtocolError(f"a shard takes no frame of kind {kind} from the coordinator")

    def on_worker(self, peer: bytes, parts: list[bytes], now_ms: int) -> None:
        """A frame from a worker."""
        self._busy_ms = now_ms
        self.workers.on_frame(peer, parts, now_ms)

    def on_read(self, token: object, result: object, error: Exception | None, now_ms: int) -> None:
        """The reader thread has an answer."""
        self.loader.on_read(token, result, error, now_ms)

    def on_written(self, token: object, error: Exception | None, now_ms: int) -> None:
        """The checkpoint thread has written a step."""
        if isinstance(token, CloseStep):
            self.handovers.on_written(token, error)
        elif isinstance(token, SweepStep):
            self.retention.on_written(token, error)
        elif isinstance(token, LogStep):
            self.task_logs.on_written(error)
        else:
            self.checkpoints.on_written(token, error, now_ms)

    def on_copied(self, number: int, files: list[CopiedFile] | None, error: Exception | None) -> None:
        """The copying thread has begun, finished or failed a backup."""
        self.backup.on_copied(number, files, error)

    def _installed(self, entry: Entry, now_ms: int) -> None:
        self.recovery.installed(entry, now_ms)
        self.checkpoints.loaded(entry)

    # ---- a turn -----------------------------------------------------------------------------------------------------

    def turn(self, now_ms: int) -> None:
        """Take due timers, commit what the batch brought about, then let its effects leave."""
        core = self.core
        if core.acks_in:
            acks, core.acks_in = core.acks_in, []
            for ack in acks:
                self.mailroom.on_ack(ack, now_ms)
        if core.mail_in:
            letters, core.mail_in = core.mail_in, []
            self.mailroom.on_mail(letters, now_ms)
        due = core.timers.next_due_ms()
        if due is not None and due <= now_ms:
            self._fire(now_ms)
        self.recovery.on_tick(now_ms)
        self.workers.on_tick(now_ms)
        if self.workers.has_unsent:
            self.workers.settle_unsent(now_ms)
        self.mailroom.on_tick(now_ms)
        self.loader.on_tick(now_ms)
        touched = self.commit(now_ms)
        self.mailroom.after_commit(now_ms)
        self.backup.after_commit(now_ms)
        if touched:
            self.requests.followed(touched, now_ms)
            self.task_logs.followed(touched)
        if self.feed.watched:
            self.feed.committed(touched)
            self.feed.tick(now_ms)
        self.traces.tick()
        self.handovers.after_commit(now_ms)
        self._leave()
        self.workers.after_commit(now_ms)
        idle = now_ms - self._busy_ms >= IDLE_MS or core.draining
        self.checkpoints.step(idle=idle, now_ms=now_ms)
        self.retention.on_tick(now_ms)
        self.task_logs.on_tick(now_ms)
        self.budget.on_tick(now_ms)
        self._report(now_ms)
        if self._drain_asked and not self.drained and self._settled:
            self.drained = core.back.send(b"", [header(Kind.DRAINED), encode(None)])

    @property
    def has_work(self) -> bool:
        """Whether another turn has something to do at once."""
        core = self.core
        waiting = core.mail_in or core.acks_in or core.touched or self.workers.has_unsent
        return bool(waiting or any(p.events or p.new_mail for p in core.partitions.values()))

    @property
    def _settled(self) -> bool:
        return self.checkpoints.clean and self.task_logs.clean and not self.has_work

    def next_wake_ms(self, now_ms: int) -> int:
        """How long the process may wait for input, in ms."""
        if self.has_work or self.checkpoints.replaying:
            return 0
        wait_ms = HEARTBEAT_MS // 4
        due = self.core.timers.next_due_ms()
        if due is not None:
            wait_ms = min(wait_ms, max(due - now_ms, 0))
        if self.recovery.pending or self.checkpoints.tail_bytes:
            wait_ms = min(wait_ms, 10 if self.recovery.pending else IDLE_MS)
        if self.core.leaving:
            wait_ms = min(wait_ms, 1)  # somebody waits for what is being written
        return wait_ms

    def _fire(self, now_ms: int) -> None:
        core = self.core
        for run_id, timer in core.timers.take_due(now_ms, TIMERS_PER_TURN):
            partition = core.partition_for(run_id)
            if partition is None:
                continue  # it has left for another shard
            entry = partition.entries.get(run_id)
            if entry is None:
                if run_id in partition.asleep:
                    self.loader.run(partition, run_id, _ignore, now_ms)
                continue
            if entry.run.timers.get(timer, now_ms + 1) > now_ms:
                continue  # withdrawn, or armed anew for later
            core.counters["timers_fired"] += 1
            self._turns.run(entry, now_ms, partial(decide.timer_due, timer=timer))

    def commit(self, now_ms: int) -> list[Entry]:
        """Make the batch durable; returns the runs that it touched. Whatever this raises, the process must stop."""
        core = self.core
        chunks: list[Chunk] = []
        size = written = 0
        for partition in core.partitions.values():
            if partition.events:
                events = encode(PartitionChunk(now_ms, partition.events))
                first = partition.record.seq - len(partition.events) + 1
                chunks.append(Chunk(partition.number, partition.epoch, "", first, len(partition.events), events))
                size += len(events)
                written += len(partition.events)
        dirty_partitions = [p for p in core.partitions.values() if p.events]
        touched = list(core.touched)
        epoch = core.settings.epoch
        for entry in touched:
            made, run = entry.events, entry.run
            count = len(made)
            events = encode_events((now_ms, made))
            first = run.seq - count + 1
            chunks.append(Chunk(entry.partition, epoch, run.id, first, count, events))
            entry.chunks.append((first, events))
            entry.events = []
            size += len(events)
            written += count
        if not chunks:
            return touched
        position = core.disk.log.append(chunks)
        core.counters["commits"] += 1
        core.counters["events"] += written
        core.counters["log_bytes"] += size
        for partition in dirty_partitions:
            partition.events = []
            if not partition.dirty_at:
                partition.dirty_at = position
        self.checkpoints.on_commit(position, size, touched)
        core.touched = {}
        return touched

    def _leave(self) -> None:
        """Replies, outcomes and frames to the coordinator leave: their causes are durable."""
        core = self.core
        send = core.back.send
        if core.to_back:
            for parts in core.to_back:
                if not send(b"", parts):
                    core.counters["back_unsent"] += 1
            core.to_back = []
        if core.answers:
            for client, parts in core.answers:
                if not send(b"", [client, *parts]):
                    core.counters["answers_unsent"] += 1
            core.answers = []
        if core.outcomes:
            for client, outcomes in core.outcomes.items():
                for page in _pages(outcomes):
                    if not send(b"", [client, _OUTCOMES, encode(page)]):
                        core.counters["answers_unsent"] += 1
            core.outcomes = {}

    def _report(self, now_ms: int) -> None:
        """Counters and gauges for the coordinator, every heartbeat."""
        if now_ms - self._stats_ms < HEARTBEAT_MS:
            return
        self._stats_ms = now_ms
        core = self.core
        for partition in core.partitions.values():
            partition.forget_old(now_ms)
        core.watchers.forget_old(now_ms)
        self.requests.followers.forget_old(now_ms)
        self.task_logs.followers.forget_old(now_ms)
        self.checkpoints.evict_idle(now_ms)
        core.timers.compact(core.knows_timer)
        core.ready.compact(core.awaits_dispatch)
        if core.stages is not None:
            core.stages.forget_old()
        gauges = {
            "runs_in_memory": core.live_runs,
            "runs_open": core.open_runs,
            "tasks_ready": core.ready.size,
            "tasks_running": sum(len(link.held) for link in self.workers.links.values()),
            "workers": len(self.workers.links),
            "timers": len(core.timers),
            "log_tail_bytes": self.checkpoints.tail_bytes,
            "mail_unacknowledged": sum(
                len(box.letters) for p in core.partitions.values() for box in p.record.outboxes.values()
            ),
            **core.host,
        }  # fmt: skip
        latencies = {name: window.summary(now_ms) for name, window in core.latencies.items()}
        stats = ShardStats(
            core.settings.index, core.settings.epoch, now_ms, core.counters.snapshot(), gauges, latencies,
            core.tallies.tasks(), core.tallies.runs(), self.handovers.loads(now_ms),
        )  # fmt: skip
        core.back.send(b"", [header(Kind.SHARD_STATS), encode(stats)])


def _pages(outcomes: list[RunOutcome]) -> list[list[RunOutcome]]:
    """Outcomes in frames of bounded count and size."""
    pages: list[list[RunOutcome]] = []
    page: list[RunOutcome] = []
    size = 0
    for outcome in outcomes:
        if page and (
            len(page) >= FRAME_MESSAGES_MAX or size + len(outcome.output) > FRAME_BYTES_MAX - PAYLOAD_BYTES_MAX
        ):
            pages.append(page)
            page, size = [], 0
        page.append(outcome)
        size += len(outcome.output)
    pages.append(page)
    return pages


def _ignore(found: object, now_ms: int) -> None:
    """The install armed the run's timers; the next turn fires them."""
