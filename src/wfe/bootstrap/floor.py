"""The floor: the engine's pipes without an engine, so that every measurement can be compared with its limit.

Three processes (``python -m wfe.bootstrap.floor ROLE``) and a client in the caller's, with wfe's own sockets, frames,
messages and log: client -> coordinator -> shard -> worker -> shard -> coordinator -> client. The shard commits what it
takes in groups, synced, in as many bytes as the engine would, before anything leaves; but nothing is decided, checked,
remembered, checkpointed or recovered. A run is a list of widths: ``1,100,1`` is one task, then a hundred, then one.

It is a measuring instrument: nothing of the engine uses it.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from wfe.bootstrap.parents import die_with_parent, parent_watch, read_options
from wfe.bootstrap.world import slowed
from wfe.config import Durability
from wfe.coordinator.children import spawn
from wfe.errors import Unavailable
from wfe.journal.log import Chunk, ShardLog
from wfe.limits import DRAIN_FRAMES_MAX, FRAME_MESSAGES_MAX
from wfe.lmdb.layout import open_log
from wfe.model.ids import mint_run_id
from wfe.transport.sockets import Dealer, Router, close_context
from wfe.transport.waiter import Waiter
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import (
    NULL,
    Ack,
    Credit,
    Dispatch,
    Results,
    RunOutcome,
    StartOutcome,
    StartRun,
    TaskResult,
    TaskSpec,
)

START_EVENTS = bytes(120)
"""About what the events of a started run take in the log; below: of a task's end and the next one's beginning."""
TASK_EVENTS = bytes(22)
WAIT_MS = 1_000
GC_THRESHOLD = 50_000
CREDIT = 4_000
KEPT_RECORDS = 64
_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


class FloorOptions(Struct, kw_only=True):
    """Of every process of the floor."""

    directory: str
    durability: Durability = "sync"
    commit_delay_ms: float = 0.0

    def endpoint(self, name: str) -> str:
        return f"ipc://{self.directory}/{name}"


# ---- processes ------------------------------------------------------------------------------------------------------


def coordinator(options: FloorOptions) -> None:
    """Relays frames between clients and the shard, reading headers only, once shard and worker are there."""
    back = Router(options.endpoint("back"))
    while not back.recv_many(1):
        back.poll(WAIT_MS)
    front = Router(options.endpoint("front"))
    waiter = Waiter(front, back)
    while True:
        waiter.wait(WAIT_MS)
        for client, parts in front.recv_many(DRAIN_FRAMES_MAX):
            decode_header(parts[0])
            back.send(b"shard", [client, *parts])
        for _, parts in back.recv_many(DRAIN_FRAMES_MAX):
            if len(parts) > 2:
                front.send(parts[0], parts[1:])


def worker(options: FloorOptions) -> None:
    """Answers every task with its input, or with null when it has none."""
    shard = Dealer(options.endpoint("shard"))
    shard.wait_connected(WAIT_MS * 10)
    waiter = Waiter(shard)
    shard.send(b"", [header(Kind.CREDIT), _encode(Credit(CREDIT, 1 << 30))])
    decode = msgspec.msgpack.Decoder(Dispatch).decode
    head = header(Kind.RESULTS)
    seq = 0
    while True:
        waiter.wait(WAIT_MS)
        for _, parts in shard.recv_many(DRAIN_FRAMES_MAX):
            if decode_header(parts[0]).kind != Kind.DISPATCH:
                continue
            seq += 1
            results = [
                TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, 0, spec.input, None, 1)
                for spec in decode(parts[1]).tasks
            ]
            shard.send(b"", [head, _encode(Results(seq, results))])


class _Run:
    """``widths``: of its stages; ``left``: tasks of the present one that have not ended."""

    __slots__ = ("client", "left", "seq", "stage", "widths")

    def __init__(self, client: bytes, widths: list[int]) -> None:
        self.client, self.widths = client, widths
        self.stage, self.left, self.seq = 0, widths[0], 0


class Shard:
    """Takes starts and results, commits them together, then lets answers and tasks leave."""

    def __init__(self, options: FloorOptions) -> None:
        self._back = Dealer(options.endpoint("back"), b"shard")
        self._back.wait_connected(WAIT_MS * 10)
        self._workers = Router(options.endpoint("shard"))
        self._waiter = Waiter(self._back, self._workers)
        log = slowed(open_log(Path(options.directory), 0, durability=options.durability), options.commit_delay_ms)
        self._log = ShardLog(log, 1)
        self._decode_starts = msgspec.msgpack.Decoder(list[StartRun]).decode
        self._decode_results = msgspec.msgpack.Decoder(Results).decode
        self._shapes: dict[str, list[int]] = {}
        self._runs: dict[str, _Run] = {}
        self._events: dict[str, list[bytes]] = {}
        self._tasks: list[TaskSpec] = []
        self._replies: list[list[bytes]] = []
        self._outcomes: dict[bytes, list[RunOutcome]] = {}
        self._worker = b""
        self._dispatch_seq = 0
        self._results_seq = 0
        self._acknowledged = 0

    def serve(self) -> None:
        while True:
            self._waiter.wait(WAIT_MS)
            for peer, parts in self._workers.recv_many(DRAIN_FRAMES_MAX):
                if decode_header(parts[0]).kind == Kind.CREDIT:
                    self._worker = peer
                    self._back.send(b"", [header(Kind.SHARD_HELLO), b""])
                else:
                    self._take_results(parts[1])
            for _, (client, head, body) in self._back.recv_many(DRAIN_FRAMES_MAX):
                self._take_starts(client, decode_header(head), body)
            if self._events:
                self._commit()
                self._leave()

    def _take_starts(self, client: bytes, head: Header, body: bytes) -> None:
        widths = self._shapes.get(head.workflow)
        if widths is None:
            widths = self._shapes[head.workflow] = [int(width) for width in head.workflow.split(",")]
        outcomes = []
        for start in self._decode_starts(body):
            run = self._runs[start.run_id] = _Run(client, widths)
            self._events[start.run_id] = [START_EVENTS, bytes(start.input)]
            outcomes.append(StartOutcome(start.run_id))
            self._open(start.run_id, run, start.input)
        self._replies.append([client, header(Kind.REPLY, -1, head.request), _encode(outcomes)])

    def _open(self, run_id: str, run: _Run, value: Raw) -> None:
        stage = run.stage
        for place in range(run.widths[stage]):
            self._tasks.append(TaskSpec(run_id, stage, place, 1, "bench_noop", 1, "step", value.copy()))

    def _take_results(self, body: bytes) -> None:
        runs, events = self._runs, self._events
        message = self._decode_results(body)
        self._results_seq = message.seq
        for result in message.results:
            run_id = result.run_id
            run = runs[run_id]
            found = events.get(run_id)
            if found is None:
                found = events[run_id] = []
            found.append(TASK_EVENTS)
            found.append(bytes(result.value))
            run.left -= 1
            if run.left:
                continue
            run.stage += 1
            if run.stage < len(run.widths):
                run.left = run.widths[run.stage]
                self._open(run_id, run, result.value)
            else:
                del runs[run_id]
                self._outcomes.setdefault(run.client, []).append(RunOutcome(run_id, "completed", result.value.copy()))

    def _commit(self) -> None:
        chunks = [Chunk(0, 1, run_id, 1, len(found), b"".join(found)) for run_id, found in self._events.items()]
        position = self._log.append(chunks)
        self._events.clear()
        self._log.trim(max(position - KEPT_RECORDS, 0))

    def _leave(self) -> None:
        for parts in self._replies:
            self._back.send(b"", parts)
        self._replies.clear()
        head = header(Kind.OUTCOMES)
        for client, outcomes in self._outcomes.items():
            for first in range(0, len(outcomes), FRAME_MESSAGES_MAX):
                self._back.send(b"", [client, head, _encode(outcomes[first : first + FRAME_MESSAGES_MAX])])
        self._outcomes.clear()
        if self._worker:
            if self._acknowledged != self._results_seq:
                self._acknowledged = self._results_seq
                self._workers.send(self._worker, [header(Kind.RESULTS_ACK), _encode(Ack(self._results_seq))])
            head = header(Kind.DISPATCH)
            for first in range(0, len(self._tasks), FRAME_MESSAGES_MAX):
                self._dispatch_seq += 1
                page = Dispatch(self._dispatch_seq, self._tasks[first : first + FRAME_MESSAGES_MAX])
                self._workers.send(self._worker, [head, _encode(page)])
            self._tasks.clear()


def main(role: str) -> int:
    """A process of the floor; it ends with its parent."""
    line, parent_fd = read_options()
    options = msgspec.json.decode(line, type=FloorOptions)
    die_with_parent()
    parent_watch(parent_fd)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 100)
    if role == "shard":
        Shard(options).serve()
    elif role == "worker":
        worker(options)
    else:
        coordinator(options)
    return 0


# ---- the caller's side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FloorFigures:
    """What one measurement of the floor gave. ``latencies_ms``: of its runs, from start to outcome."""

    tasks: int
    seconds: float
    latencies_ms: list[float]


class Floor:
    """The three processes, as a context manager. ``pids``: theirs."""

    def __init__(
        self, *, durability: Durability = "sync", commit_delay_ms: float = 0.0, data: str | None = None
    ) -> None:
        self._durability, self._delay_ms, self._data = durability, commit_delay_ms, data
        self._stack = ExitStack()
        self._requests = 0
        self.pids: list[int] = []

    def __enter__(self) -> Floor:
        with ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="wfe-floor-", dir=self._data))
            options = FloorOptions(directory=directory, durability=self._durability, commit_delay_ms=self._delay_ms)
            for role in ("coordinator", "shard", "worker"):
                process = spawn((sys.executable, "-P", "-m", "wfe.bootstrap.floor", role), options)
                stack.callback(_end, process)
                self.pids.append(process.pid)
            self._client = Dealer(options.endpoint("front"))
            stack.callback(self._client.close)
            if not self._client.wait_connected(10_000):
                raise Unavailable("the floor did not start (see the messages above)")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, widths: list[int], *, runs: int, at_once: int, payload: bytes = bytes(NULL)) -> FloorFigures:
        """``runs`` runs, ``at_once`` of them at a time. Unavailable when nothing comes back for 30 seconds."""
        client = self._client
        decode = msgspec.msgpack.Decoder(list[RunOutcome]).decode
        shape = ",".join(map(str, widths))
        begun: dict[str, float] = {}
        latencies: list[float] = []
        wanted, left = runs, runs
        started = time.perf_counter()
        free = min(at_once, runs)
        while wanted:
            if free:
                self._start(shape, free, payload, begun)
                left -= free
            if not client.poll(30_000):
                raise Unavailable("the floor does not answer")
            ended = 0
            now = 0.0
            for _, parts in client.recv_many(DRAIN_FRAMES_MAX):
                if decode_header(parts[0]).kind != Kind.OUTCOMES:
                    continue
                now = now or time.perf_counter()
                for outcome in decode(parts[1]):
                    latencies.append((now - begun.pop(outcome.run_id)) * 1000)
                    ended += 1
            wanted -= ended
            free = min(ended, left)
        return FloorFigures(runs * sum(widths), time.perf_counter() - started, latencies)

    def _start(self, shape: str, count: int, payload: bytes, begun: dict[str, float]) -> None:
        now = time.perf_counter()
        now_ms = time.time_ns() // 1_000_000
        runs = [
            StartRun(mint_run_id(0, now_ms, int.from_bytes(os.urandom(8))), Raw(payload), watch=True)
            for _ in range(count)
        ]
        for run in runs:
            begun[run.run_id] = now
        for first in range(0, count, FRAME_MESSAGES_MAX):
            self._requests += 1
            head = encode_header(Header(PROTOCOL, int(Kind.START), 0, self._requests, shape, 1))
            while not self._client.send(b"", [head, _encode(runs[first : first + FRAME_MESSAGES_MAX])]):
                self._client.wait_connected(WAIT_MS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    finally:
        close_context()
