"""A shard in this process: its log and stores on LMDB, its sockets lists, and a coordinator, clients and a worker that
are played. What is left is what the shard itself costs, whatever else the machine does.
"""

from __future__ import annotations

import itertools
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from wfe.bootstrap.world import shard_disk
from wfe.config import Durability, ShardOptions
from wfe.core.canonical import canonical, definition_hash
from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.limits import CREDIT_TASKS_MAX
from wfe.model.definition import Definition
from wfe.model.ids import mint_run_id
from wfe.shard.actor import Shard
from wfe.shard.core import Disk, Settings
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import (
    NULL,
    Credit,
    Dispatch,
    Resolve,
    Resolved,
    Results,
    RunOutcome,
    StartRun,
    TaskResult,
    WorkerHello,
)

PARTITIONS = 32
TASKS = ["bench_noop", "bench_echo", "bench_async_noop", "bench_async_echo"]
CLIENT, WORKER = b"client", b"worker"
STARTS_PER_FRAME = 20
_encode = msgspec.msgpack.Encoder().encode
_dispatch = msgspec.msgpack.Decoder(Dispatch).decode
_outcomes = msgspec.msgpack.Decoder(list[RunOutcome]).decode


class Sent(list[tuple[bytes, list[bytes]]]):
    """A socket that keeps what is sent."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        self.append((peer, parts))
        return True


class PlayedShard:
    """`run` keeps runs of one definition in flight until so many have ended."""

    def __init__(self, directory: Path, *, durability: Durability = "none", epoch: int = 1) -> None:
        options = ShardOptions(
            index=0, epoch=epoch, data=str(directory), partitions=list(range(PARTITIONS)), partitions_total=PARTITIONS,
            durability=durability,
        )  # fmt: skip
        world = shard_disk(options)
        stores = {number: PartitionStore(store, number, PARTITIONS) for number, store in world.stores.items()}
        self._completions: deque[tuple[object, Exception | None]] = deque()
        self._writer = world.writer(lambda token, error: self._completions.append((token, error)))
        self._reader = world.reader(lambda token, result, error: None)
        self._stores, self._log = stores, world.log
        self.back, self.workers = Sent(), Sent()
        disk = Disk(ShardLog(world.log, epoch), stores, self._writer, self._reader)
        self._ids, self._requests = itertools.count(1), itertools.count(1)
        self.now_ms = 1_700_000_000_000
        settings = Settings(0, epoch, PARTITIONS)
        self.shard = Shard(settings, disk, options.partitions, self.back, self.workers, lambda: 0.5, self.now_ms)
        hello = WorkerHello("", "worker", [(name, 1) for name in TASKS], 16)
        self._worker(Kind.WORKER_HELLO, hello)
        self._worker(Kind.CREDIT, Credit(CREDIT_TASKS_MAX, 1 << 39))
        self._results = self._taken = 0

    def _worker(self, kind: Kind, body: Any) -> None:
        self.shard.on_worker(WORKER, [header(kind), _encode(body)], self.now_ms)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._log.close()
        for store in self._stores.values():
            store.close()

    def run(self, definition: Definition, given: object, *, runs: int, at_once: int) -> int:
        """The number of tasks that were done."""
        digest = definition_hash(definition)
        value = Raw(_encode(given))
        left, open_runs, tasks = runs, 0, 0
        while left or open_runs:
            while left and open_runs < at_once:
                count = min(left, at_once - open_runs, STARTS_PER_FRAME)
                self._start(definition, digest, value, count)
                left -= count
                open_runs += count
            self._turn(definition, digest)
            tasks += self._work()
            open_runs -= self._ended()
        return tasks

    def _start(self, definition: Definition, digest: str, value: Raw, count: int) -> None:
        request = next(self._requests)
        partition = request % PARTITIONS
        runs = [StartRun(mint_run_id(partition, self.now_ms, next(self._ids)), value, watch=True) for _ in range(count)]
        head = Header(PROTOCOL, int(Kind.START), partition, request, definition.workflow, 1, digest)
        self.shard.on_back([CLIENT, encode_header(head), _encode(runs)], self.now_ms)

    def _turn(self, definition: Definition, digest: str) -> None:
        self.now_ms += 1
        while self._completions:
            token, error = self._completions.popleft()
            self.shard.on_written(token, error, self.now_ms)
        self.shard.turn(self.now_ms)
        for _, parts in list(self.back):
            if len(parts) == 2 and decode_header(parts[0]).kind == Kind.RESOLVE:
                asked = msgspec.msgpack.decode(parts[1], type=Resolve)
                answer = Resolved(asked.workflow, asked.version, asked.hash, digest, 1, canonical(definition))
                self.shard.on_back([header(Kind.RESOLVED), _encode(answer)], self.now_ms)

    def _work(self) -> int:
        """Ends every task that was sent, frame by frame."""
        frames, self.workers[:] = list(self.workers), []
        count = 0
        for _, parts in frames:
            if decode_header(parts[0]).kind != Kind.DISPATCH:
                continue
            self._results += 1
            done = [
                TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, 0, NULL, None, 1)
                for spec in _dispatch(parts[1]).tasks
            ]
            self._worker(Kind.RESULTS, Results(self._results, done))
            count += len(done)
        self._taken += count
        if self._taken >= CREDIT_TASKS_MAX // 4:
            self._worker(Kind.CREDIT, Credit(self._taken, 0))
            self._taken = 0
        return count

    def _ended(self) -> int:
        frames, self.back[:] = list(self.back), []
        return sum(
            len(_outcomes(parts[2]))
            for _, parts in frames
            if len(parts) == 3 and decode_header(parts[1]).kind == Kind.OUTCOMES
        )
