"""Lines that tasks print and log: taken from workers, kept a while in memory, written by the checkpoint thread, read by
clients.

They are no transitions: nothing is logged for them, no commit waits for them, and what is not written when the process
dies is lost. Invariants: memory is bounded (LOG_PENDING_BYTES, and LOG_RUN_BYTES of one run), what found no room is
counted; lines of one partition are written at a time, with a pause in between; a batch stays in memory until it is in
the store, so that a reader misses nothing between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from wfe.core.findings import those_near
from wfe.errors import InvalidInput, UnknownRun
from wfe.journal.task_logs import Flush, StoredLog, size_of
from wfe.limits import FRAME_MESSAGES_REFUSED, LOG_FLUSH_MS, LOG_PENDING_BYTES, LOG_RUN_BYTES, LOG_WORKERS_MAX
from wfe.model.ids import is_run_id
from wfe.model.malformed import MALFORMED
from wfe.model.state import ENDED
from wfe.observe import get_logger
from wfe.partition.entry import Entry
from wfe.partition.partition import Partition
from wfe.shard.askers import Askers
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import Found, ShardCore, encode
from wfe.shard.links import Link
from wfe.shard.loading import Compiled, Definition, Loader, NameWanted
from wfe.wire.frames import Header, Kind, header
from wfe.wire.messages import Ack
from wfe.wire.task_logs import LogEntry, LogFrame, LogLine, LogPage, LogQuery, StoredBatch

_log = get_logger("shard")
_lines = msgspec.msgpack.Decoder(list[LogLine]).decode
_NUMBER_MAX = 1 << 62


class _Frame(Struct, gc=False):
    """A worker's frame, and how many of its batches are neither in a store nor dropped."""

    seq: int
    left: int


class _Held(Struct):
    """Batches of one run in memory, in their order, each with the frame that it came in."""

    batches: list[StoredBatch]
    frames: list[_Frame]
    size: int = 0


_LOGS_ACK = header(Kind.LOGS_ACK)
Pending = dict[str, _Held]
"""By run."""


class LogStep(NamedTuple):
    """Lines on their way into a store."""

    partition: int


class TaskLogs:
    """``workers`` and ``clients``: handlers by kind for the tables of `Workers` and `Requests`."""

    def __init__(self, core: ShardCore, loader: Loader, checkpoints: Checkpoints) -> None:
        self._core, self._loader, self._checkpoints = core, loader, checkpoints
        self._share_bytes = core.settings.task_logs_bytes // max(1, core.settings.partitions_total)
        self._pending: dict[int, Pending] = {}
        """By partition; the one that has waited longest is in front."""
        self._writing: Pending = {}
        """What is on its way into a store."""
        self._writing_to = -1
        self._size = self._writing_size = 0
        self._dropped: dict[str, int] = {}
        """Lines of runs that found no room, to be told with the next ones that do."""
        self._number = 0
        self._next_ms = 0
        self._seen: dict[str, int] = {}
        """By worker: the last frame that was taken."""
        self._fresh: set[str] = set()
        """Runs that have lines or an end which followers have not heard of."""
        self._frames: dict[bytes, deque[_Frame]] = {}
        """By worker's connection: frames that are not acknowledged."""
        self.followers: Askers[tuple[bytes, int], LogQuery] = Askers()

    def worker_kinds(self) -> dict[int, tuple[Any, Callable[[Link, Any, int], None]]]:
        return {Kind.TASK_LOGS: (msgspec.msgpack.Decoder(LogFrame).decode, self._on_lines)}

    def client_kinds(self) -> dict[int, tuple[Any, Any]]:
        return {Kind.LOGS: (msgspec.msgpack.Decoder(LogQuery).decode, self._on_query)}

    @property
    def clean(self) -> bool:
        """Everything is in the stores, or there is no room for it."""
        return not self._writing and (not self._pending or self._core.disk_full)

    @property
    def held_bytes(self) -> int:
        """Lines in memory."""
        return self._size + self._writing_size

    def holds(self, partition: int) -> bool:
        """Whether there are lines that are to go into this partition's store first, if there is room."""
        waits = partition in self._pending and not self._core.disk_full
        return waits or (bool(self._writing) and self._writing_to == partition)

    # ---- taking -----------------------------------------------------------------------------------------------------

    def _on_lines(self, link: Link, frame: LogFrame, now_ms: int) -> None:
        if not self._share_bytes:
            self._core.workers.send(link.peer, [_LOGS_ACK, encode(Ack(frame.seq))])
            return
        if len(frame.batches) > FRAME_MESSAGES_REFUSED or frame.seq <= self._seen.get(link.worker, 0):
            return
        self._seen.pop(link.worker, None)
        self._seen[link.worker] = frame.seq
        if len(self._seen) > LOG_WORKERS_MAX:
            del self._seen[next(iter(self._seen))]
        came = _Frame(frame.seq, len(frame.batches))
        self._frames.setdefault(link.peer, deque()).append(came)
        for batch in frame.batches:
            partition = self._core.partition_for(batch.run_id) if is_run_id(batch.run_id) else None
            if partition is None or not 0 <= batch.count <= len(batch.lines) or batch.dropped < 0:
                self._core.counters["log_batches_refused"] += 1
                came.left -= 1
                continue
            self._number = max(self._number + 1, now_ms * 1_000)
            missing = batch.dropped + self._dropped.pop(batch.run_id, 0)
            # A copy: a view would keep the whole frame in memory.
            kept = StoredBatch(
                self._number, batch.node, batch.activation, batch.attempt, batch.count, batch.lines.copy(), missing
            )
            self._take(partition.number, batch.run_id, kept, came)
        self._acknowledge()

    def _take(self, partition: int, run_id: str, batch: StoredBatch, came: _Frame) -> None:
        core, size = self._core, size_of(batch)
        core.counters["log_lines"] += batch.count
        if size > LOG_RUN_BYTES or self.held_bytes + size > LOG_PENDING_BYTES:
            core.counters["log_lines_dropped"] += batch.count
            came.left -= 1
            if run_id in self._dropped or len(self._dropped) < FRAME_MESSAGES_REFUSED:
                self._dropped[run_id] = batch.dropped + batch.count
            return
        held = self._pending.setdefault(partition, {}).setdefault(run_id, _Held([], []))
        held.batches.append(batch)
        held.frames.append(came)
        held.size += size
        self._size += size
        while held.size > LOG_RUN_BYTES:
            oldest = held.batches.pop(0)
            held.frames.pop(0).left -= 1
            held.size -= size_of(oldest)
            self._size -= size_of(oldest)
            core.counters["log_lines_dropped"] += oldest.count
            held.batches[0].dropped += oldest.dropped + oldest.count
        if run_id in self.followers:
            self._fresh.add(run_id)

    def _acknowledge(self) -> None:
        """Workers need not keep what is in a store, or dropped, up to the first frame that is neither."""
        for peer, frames in list(self._frames.items()):
            settled = 0
            while frames and not frames[0].left:
                settled = frames.popleft().seq
            if settled:
                self._core.workers.send(peer, [_LOGS_ACK, encode(Ack(settled))])
            if not frames:
                del self._frames[peer]

    # ---- writing ----------------------------------------------------------------------------------------------------

    def on_tick(self, now_ms: int) -> None:
        """Tells followers, and writes the lines of one partition, if it is time for that."""
        if self._fresh:
            self._tell(now_ms)
        if not self._pending or self._writing or self._checkpoints.held:
            return
        leaving = next((number for number in self._core.leaving if number in self._pending), None)
        hurry = self._core.draining or leaving is not None
        if (now_ms < self._next_ms and not hurry) or self._core.disk_full:
            return
        self._next_ms = now_ms + LOG_FLUSH_MS
        number = self._writing_to = next(iter(self._pending)) if leaving is None else leaving
        runs = self._pending.pop(number)
        store = self._core.disk.stores.get(number)
        self._size -= (size := sum(held.size for held in runs.values()))
        self._writing, self._writing_size = runs, size
        if store is None:
            self._settle("log_lines_dropped")  # the partition has moved
            return
        batches = {run_id: held.batches for run_id, held in runs.items()}

        def planned(flush: Flush, later_ms: int) -> None:
            self._number = max(self._number, flush.highest)
            if number not in self._core.partitions and number not in self._core.leaving:
                self._settle("log_lines_dropped")
            elif self._checkpoints.held:  # a backup begins: they wait again, in front
                self._wait_again(number)
            else:
                self._core.disk.writer.submit(number, flush.ops, LogStep(number))

        self._loader.read(lambda: store.task_log_flush(batches, self._share_bytes), planned)

    def on_written(self, error: Exception | None) -> None:
        """A step is in its store; an error of the store stops the shard, as with any checkpoint."""
        if error is not None:
            raise error
        self._fresh.update(run_id for run_id in self._writing if run_id in self.followers)
        self._settle("log_lines_stored")

    def forget(self, number: int) -> None:
        """A partition's store is about to be closed: there was no room for what still waits."""
        runs = self._pending.pop(number, {})
        self._size -= sum(held.size for held in runs.values())
        self._count(runs, "log_lines_dropped")

    def _settle(self, counter: str) -> None:
        runs, self._writing, self._writing_size = self._writing, {}, 0
        self._count(runs, counter)

    def _count(self, runs: Pending, counter: str) -> None:
        for held in runs.values():
            self._core.counters[counter] += sum(batch.count for batch in held.batches)
            for frame in held.frames:
                frame.left -= 1
        self._acknowledge()

    def _wait_again(self, number: int) -> None:
        later = self._pending.pop(number, {})
        for run_id, held in later.items():
            first = self._writing.setdefault(run_id, _Held([], []))
            first.batches += held.batches
            first.frames += held.frames
            first.size += held.size
        self._pending = {number: self._writing, **self._pending}
        self._size += self._writing_size
        self._writing, self._writing_size = {}, 0

    # ---- reading ----------------------------------------------------------------------------------------------------

    def followed(self, touched: Iterable[Entry]) -> None:
        """These runs have events that are durable now: whoever follows one that has ended hears of it."""
        if self.followers:
            self._fresh.update(entry.run.id for entry in touched if entry.run.status in ENDED)

    def _tell(self, now_ms: int) -> None:
        fresh, self._fresh = self._fresh, set()
        for run_id in fresh:
            partition = self._core.partition_for(run_id)
            for (client, request), query in self.followers.take(run_id):
                if partition is not None:
                    self._answer(client, request, partition, query, now_ms)

    def _on_query(self, client: bytes, head: Header, partition: Partition, query: LogQuery, now_ms: int) -> None:
        if not 0 <= query.after < _NUMBER_MAX:
            raise InvalidInput("that is no place in a log: pass the cursor of a page", "after")
        if not is_run_id(query.run_id) or self._core.partition_for(query.run_id) is not partition:
            raise UnknownRun(f"{query.run_id!r} is no id of a run in partition {partition.number}")
        self._answer(client, head.request, partition, query, now_ms)

    def _answer(self, client: bytes, request: int, partition: Partition, query: LogQuery, now_ms: int) -> None:
        def with_run(found: Found, later_ms: int) -> None:
            if found is None:
                self._core.refuse(client, request, UnknownRun(f"no run {query.run_id} is kept"))
                return
            run = found.run if isinstance(found, Entry) else found
            fresh = isinstance(found, Entry) and bool(found.events)
            ended = run.status in ENDED and not fresh
            if not query.node or run.durable is not None:  # what a function calls is known once it did
                self._read(client, request, partition, query, ended)
                return
            wanted = NameWanted("", 0, run.definition)
            self._loader.definition(wanted, lambda known, _: with_plan(known, ended), later_ms, partition)

        def with_plan(known: Definition, ended: bool) -> None:
            if isinstance(known, Compiled) and query.node not in known.plan.by_id:
                there = those_near(known.plan.by_id, query.node)
                self._core.refuse(
                    client, request, InvalidInput(f"the workflow has no node {query.node!r}; {there}", "node")
                )
            else:
                self._read(client, request, partition, query, ended)

        self._loader.run(partition, query.run_id, with_run, now_ms)

    def _read(self, client: bytes, request: int, partition: Partition, query: LogQuery, ended: bool) -> None:
        if partition.gone:
            return  # who asks again is led to where it is now
        # Memory is looked at before the store is read: what moves there meanwhile is seen twice, never not at all.
        held = self._held(partition.number, query.run_id, query.after)
        store = self._core.disk.stores[partition.number]

        def merge(page: LogPage, later_ms: int) -> None:
            if page.entries or ended or not query.wait:
                self._core.answer(client, request, page)
                return
            newest = self._held(partition.number, query.run_id, page.cursor)
            asked = structs.replace(query, after=page.cursor)
            if newest:
                self._read(client, request, partition, asked, ended)
            else:
                self.followers.ask(query.run_id, (client, request), asked, later_ms)

        self._loader.read(
            lambda: _page(store.task_log(query.run_id, query.after), held, query, ended), merge, partition
        )

    def _held(self, partition: int, run_id: str, after: int) -> list[StoredBatch]:
        waiting = (self._writing, self._pending.get(partition, {}))
        found = [held for runs in waiting if (held := runs.get(run_id)) is not None]
        return [batch for held in found for batch in held.batches if batch.number > after]


def _page(stored: StoredLog, held: list[StoredBatch], query: LogQuery, ended: bool) -> LogPage:
    """On the reader thread: what is stored and what is in memory, as the reader wants it."""
    batches = sorted({batch.number: batch for batch in (*stored.batches, *held)}.items())
    cursor = batches[-1][0] if batches else query.after
    entries = []
    for number, batch in batches:
        if query.node in ("", batch.node) and query.attempt in (0, batch.attempt):
            lines = _decoded(batch)
            entries.append(LogEntry(number, batch.node, batch.activation, batch.attempt, lines, batch.dropped))
    if query.tail >= 0:
        entries = _tail(entries, query.tail)
    return LogPage(entries, cursor, ended, stored.dropped)


def _decoded(batch: StoredBatch) -> list[LogLine]:
    try:
        return _lines(batch.lines)
    except MALFORMED:
        _log.warning("lines of a task's log do not decode", node=batch.node, attempt=batch.attempt)
        return []


def _tail(entries: list[LogEntry], count: int) -> list[LogEntry]:
    kept: list[LogEntry] = []
    for entry in reversed(entries):
        if count <= 0:
            break
        if len(entry.lines) > count:
            entry.lines, entry.dropped = entry.lines[-count:], 0
        kept.append(entry)
        count -= len(entry.lines)
    return kept[::-1]
