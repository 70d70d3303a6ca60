"""A shard as a process: the actor on real sockets, real stores and threads. One thread decides; two more write and
read stores.

What a shard may not import (LMDB, ZeroMQ) comes in as a `World`, which `bootstrap` builds.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wfe.config import ShardOptions
from wfe.errors import DataFull, Fenced, WfeError
from wfe.journal.backup import Copier, CopyDone
from wfe.journal.checkpoint import CheckpointWriter, Done, ReadDone, StoreReader
from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.limits import (
    ADMIT_READY_MAX,
    DRAIN_FRAMES_MAX,
)
from wfe.observe import LatencyWindow, get_logger
from wfe.ports import Log, Store
from wfe.shard.actor import Shard
from wfe.shard.core import Disk, Settings
from wfe.shard.machine import CommitTimes, Machine
from wfe.shard.stages import Stages
from wfe.wire.backups import CopiedFile

_log = get_logger("shard")
GC_THRESHOLD = 50_000
SLOW_COMMIT_US = 700
"""From this average on, more results are awaited before a commit."""
SWITCH_INTERVAL_S = 0.000_5
"""The threads that write and read stores let the deciding one go on after so long; Python's own 5 ms were seen as such.
"""


class Socket(Protocol):
    """What the loop needs of a socket (`transport.sockets`)."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool: ...

    def recv_many(self, limit: int) -> list[tuple[bytes, list[bytes]]]: ...


class Waiter(Protocol):
    """Waits for sockets and gives those with frames; `wake` is called from other threads."""

    def wait(self, timeout_ms: int) -> Sequence[object]: ...

    def wake(self) -> None: ...


@dataclass(slots=True)
class World:
    """The adapters of one shard process. ``endpoints``: (ipc, tcp) as bound."""

    log: Log
    stores: dict[int, Store]
    writer: Callable[[Done], CheckpointWriter]
    reader: Callable[[ReadDone], StoreReader]
    copier: Callable[[CopyDone], Copier] | None = None
    open_store: Callable[[int, int], Store] | None = None
    """Opens the store of a further partition under its epoch."""
    back: Socket | None = None
    workers: Socket | None = None
    waiter: Waiter | None = None
    endpoints: tuple[str, str] = ("", "")


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


class EngineClock:
    """Wall time that does not step while the process lives: the wall clock at its start plus elapsed time."""

    def __init__(self) -> None:
        self._offset_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000 + self._offset_ms


class _TimedLog:
    """The log, with its commits measured, and what a batch takes before its commit (``begun_us``: its beginning)."""

    def __init__(self, log: Log, decide: LatencyWindow, commit: LatencyWindow) -> None:
        self._log = log
        self._decide = decide
        self._commit = commit
        self.begun_us = 0
        self.times = CommitTimes()
        self.fence, self.read, self.trim = log.fence, log.read, log.trim
        self.last, self.size_bytes, self.close = log.last, log.size_bytes, log.close
        self.snapshot = log.snapshot

    def append(self, position: int, record: bytes) -> None:
        begun_us = time.monotonic_ns() // 1_000
        if self.begun_us:
            self._decide.record(begun_us - self.begun_us)
        self._log.append(position, record)
        took_us = time.monotonic_ns() // 1_000 - begun_us
        self._commit.record(took_us)
        self.times.took(took_us)


def pays_to_wait(tasks_out: int, runs_taken_in: int) -> bool:
    """Whether a slow commit is to wait for results that are on their way.

    Who misses a commit waits for two: without waiting, two halves of the load take turns, and each finds the other in
    its way. For the few that are still out when most have come it does not pay, and a lone task is never held up.
    """
    return 4 * tasks_out > runs_taken_in > 0


class _Nobody:
    """A socket without anybody at the other end (draining a log needs no network)."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        return True

    def recv_many(self, limit: int) -> list[tuple[bytes, list[bytes]]]:
        return []


class ShardProcess:
    """The loop around the actor."""

    def __init__(self, options: ShardOptions, world: World) -> None:
        self._options = options
        self._world = world
        self._clock = EngineClock()
        self._completions: deque[tuple[Any, ...]] = deque()
        self._back: Socket = world.back or _Nobody()
        self._workers: Socket = world.workers or _Nobody()
        started = time.monotonic_ns()
        settings = Settings(
            options.index,
            options.epoch,
            options.partitions_total,
            options.token,
            options.lease_ms,
            options.recovery_grace_ms,
            trace_share=options.trace_share,
            ready_max=options.ready_max or ADMIT_READY_MAX,
            retention_ms=options.retention_ms,
            disk_budget_bytes=options.disk_budget_bytes,
            task_logs_bytes=options.task_logs_bytes,
        )
        stores = {
            number: PartitionStore(store, number, options.partitions_total) for number, store in world.stores.items()
        }
        self._writer = world.writer(self._written)
        self._reader = world.reader(self._read)
        decide_latency, commit_latency = LatencyWindow(), LatencyWindow()
        self._timed = timed = _TimedLog(world.log, decide_latency, commit_latency)
        self._copier = world.copier(self._copied) if world.copier is not None else None
        disk = Disk(ShardLog(timed, options.epoch), stores, self._writer, self._reader, self._copier)
        disk.ports, disk.open_port = world.stores, world.open_store
        source = random.Random()
        self.shard = Shard(
            settings, disk, options.partitions, self._back, self._workers, source.random, self._clock.now_ms()
        )
        self._machine = Machine(self.shard.core, options, timed.times)
        latencies = self.shard.core.latencies
        latencies["decide"], latencies["commit"] = decide_latency, commit_latency
        self.shard.core.stages = Stages(latencies, _monotonic_us)
        self.recovery_ms = (time.monotonic_ns() - started) // 1_000_000

    # ---- completions from other threads -----------------------------------------------------------------------------

    def _written(self, token: object, error: Exception | None) -> None:
        self._completions.append(("written", token, error))
        if self._world.waiter is not None:
            self._world.waiter.wake()

    def _read(self, token: object, result: object, error: Exception | None) -> None:
        self._completions.append(("read", token, result, error))
        if self._world.waiter is not None:
            self._world.waiter.wake()

    def _copied(self, number: int, files: list[CopiedFile] | None, error: Exception | None) -> None:
        self._completions.append(("copied", number, files, error))
        if self._world.waiter is not None:
            self._world.waiter.wake()

    def _take_completions(self, now_ms: int) -> None:
        while self._completions:
            completion = self._completions.popleft()
            if completion[0] == "written":
                self.shard.on_written(completion[1], completion[2], now_ms)
            elif completion[0] == "copied":
                self.shard.on_copied(completion[1], completion[2], completion[3])
            else:
                self.shard.on_read(completion[1], completion[2], completion[3], now_ms)

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Run until drained. An error ends the process: nothing of the failed batch was acknowledged.

        What recovery brought into memory stays: the collector, off until here, does not go through it.
        """
        waiter = self._world.waiter
        assert waiter is not None, "a serving shard has sockets to wait for"
        shard, clock, machine = self.shard, self._clock, self._machine
        shard.hello(*self._world.endpoints, os.getpid(), self.recovery_ms)
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 50, 100)
        gc.enable()
        batch_latency = shard.core.latencies["batch"]
        last_ms = clock.now_ms()
        while not shard.drained:
            ready = waiter.wait(shard.next_wake_ms(clock.now_ms()) if not self._completions else 0)
            self._timed.begun_us = begun_us = time.monotonic_ns() // 1_000
            now_ms = clock.now_ms()
            if now_ms - last_ms > self._options.lease_ms // 2:
                shard.workers.renew(now_ms)  # this process was stopped or stalled: judge nobody by that
            last_ms = now_ms
            self._drain_sockets(ready, now_ms)
            if self._timed.times.average_us >= SLOW_COMMIT_US:
                self._gather(waiter, begun_us, now_ms)
            if self._completions:
                self._take_completions(now_ms)
            machine.look(now_ms)
            commits = shard.core.counters["commits"]
            shard.turn(now_ms)
            if shard.core.counters["commits"] != commits:
                batch_latency.record(time.monotonic_ns() // 1_000 - begun_us)

    def _drain_sockets(self, ready: Sequence[object], now_ms: int) -> None:
        shard = self.shard
        if self._workers in ready:
            for peer, parts in self._workers.recv_many(DRAIN_FRAMES_MAX):
                shard.on_worker(peer, parts, now_ms)
        if self._back in ready:
            for _, parts in self._back.recv_many(DRAIN_FRAMES_MAX):
                shard.on_back(parts, now_ms)

    def _gather(self, waiter: Waiter, begun_us: int, now_ms: int) -> None:
        """Let more results come in before a slow commit: for as long as it takes, and idle for a quarter of that.

        While what came is decided the rest arrives: to count that as waiting would leave half of the load behind.
        """
        average_us = self._timed.times.average_us
        idle_us = average_us // 4
        until_us = begun_us + average_us
        touched, links = self.shard.core.touched, self.shard.workers.links
        while idle_us > 0 and pays_to_wait(sum(len(link.held) for link in links.values()), len(touched)):
            from_us = time.monotonic_ns() // 1_000
            if from_us >= until_us:
                return
            ready = waiter.wait(1)
            idle_us -= time.monotonic_ns() // 1_000 - from_us
            self._drain_sockets(ready, now_ms)

    def drain(self) -> None:
        """Replay, write everything into the stores, and stop: before partitions move to another shard."""
        shard = self.shard
        shard.core.draining = True
        shard.recovery.tail.finish()
        while not shard.checkpoints.clean:
            now_ms = self._clock.now_ms()
            self._take_completions(now_ms)
            if not shard.checkpoints.step(idle=True, now_ms=now_ms) and not self._completions:
                time.sleep(0.001)  # the writer thread is in its sync; this one-off process has no loop to wait in

    def close(self) -> None:
        """Let the threads finish and close the environments."""
        if self._copier is not None:
            self._copier.close()
        self._writer.close()
        self._reader.close()
        self._take_completions(self._clock.now_ms())
        self.shard.core.disk.log.close()
        for store in self.shard.core.disk.stores.values():
            store.close()


def _recovered(options: ShardOptions, world: World) -> ShardProcess:
    """Nothing that recovery makes is garbage: looking for some among a million runs would take most of its time."""
    gc.collect()
    gc.disable()
    return ShardProcess(options, world)


def main(options: ShardOptions, world: World) -> int:
    """A shard's process: recover, serve, stop when told to drain. Returns the exit code.

    `DataFull` when a write found no room: then it is to be tried again until there is some.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides when a shard stops
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        process = _recovered(options, world)
        process.serve()
        process.close()
    except Fenced as error:
        _log.error("another process owns these partitions now", error=str(error))
        return 3
    except DataFull:
        raise
    except WfeError as error:
        _log.error("the shard stops and is to recover from disk", error=str(error), code=error.code)
        return 1
    return 0


def drain_main(options: ShardOptions, world: World) -> int:
    """One-off: bring a shard's log into the stores, so that its partitions can move. Returns the exit code."""
    process = _recovered(options, world)
    process.drain()
    process.close()
    return 0
