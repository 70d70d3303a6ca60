"""The real world: clock, dice, event loop, and the disk and sockets of a shard."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from wfe.config import ShardOptions
from wfe.errors import Unavailable
from wfe.limits import SOCKET_HANDSHAKE_MS

if TYPE_CHECKING:
    from wfe.journal.checkpoint import ReadDone, StoreReader
    from wfe.ports import Log
    from wfe.shard.process import World as ShardWorld
    from wfe.transport.aio import Attached, OnFrames


COMMIT_DELAY = "WFE_BENCH_COMMIT_DELAY_MS"
"""Environment variable, for `wfe bench` only: commits of shards take so many milliseconds more than they do."""


class SystemClock:
    """`ports.Clock` of this machine."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SystemRandom:
    """`ports.Random` from the operating system's source, so that ids of different processes never meet."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


class SlowLog:
    """A log on a slower disk than this one, for measurements: every append takes so much longer."""

    def __init__(self, log: Log, delay_ms: float) -> None:
        self._log, self._delay_s = log, delay_ms / 1000
        self.fence, self.read, self.trim, self.last = log.fence, log.read, log.trim, log.last
        self.size_bytes, self.snapshot, self.close = log.size_bytes, log.snapshot, log.close

    def append(self, position: int, record: bytes) -> None:
        self._log.append(position, record)
        time.sleep(self._delay_s)


def slowed(log: Log, delay_ms: float) -> Log:
    """The log, or one that is ``delay_ms`` slower per commit."""
    return SlowLog(log, delay_ms) if delay_ms > 0 else log


def shard_disk(options: ShardOptions) -> ShardWorld:
    """A shard's part of the data directory, without a network (enough for a drain)."""
    from wfe.journal.backup import ShardCopier
    from wfe.lmdb.layout import open_log, open_store
    from wfe.lmdb.reader import ReaderThread
    from wfe.lmdb.writer import WriterThread
    from wfe.ports import Store
    from wfe.shard.process import World

    data = Path(options.data)
    stores: dict[int, Store] = {
        partition: open_store(data, partition, durability=options.durability, epoch=options.epoch)
        for partition in options.partitions
    }

    def open_another(partition: int, epoch: int) -> Store:
        return open_store(data, partition, durability=options.durability, epoch=epoch)

    log = slowed(open_log(data, options.index, durability=options.durability), float(os.environ.get(COMMIT_DELAY, "0")))
    return World(
        log=log,
        stores=stores,
        writer=lambda done: WriterThread(stores, done),
        reader=ReaderThread,
        open_store=open_another,
        copier=lambda done: ShardCopier(options.index, log, stores, _copy_thread, done),
    )


def _copy_thread(done: ReadDone) -> StoreReader:
    """The thread that copies log and stores for a backup."""
    from wfe.lmdb.reader import ReaderThread

    return ReaderThread(done, "backup")


def shard_world(options: ShardOptions, stack: ExitStack) -> ShardWorld:
    """The same, and its sockets, which the stack closes. Unavailable when the coordinator cannot be reached."""
    from wfe.transport.sockets import Dealer, Router, close_context
    from wfe.transport.waiter import Waiter

    stack.callback(close_context)
    identity = f"shard-{options.index}-{options.epoch}".encode()
    back = Dealer(options.back_endpoint, identity)
    stack.callback(back.close)
    workers = Router(*filter(None, [options.ipc, options.tcp]))
    stack.callback(workers.close)
    waiter = Waiter(back, workers)
    stack.callback(waiter.close)
    world = shard_disk(options)
    if not back.wait_connected(SOCKET_HANDSHAKE_MS):
        raise Unavailable("the coordinator does not answer")
    world.back, world.workers, world.waiter = back, workers, waiter
    world.endpoints = (options.ipc, workers.endpoints[-1])
    return world


def connect_worker(loop: asyncio.AbstractEventLoop, endpoint: str, on_frames: OnFrames) -> Attached:
    """A worker's connection: a dealer under a fresh identity, on its loop."""
    from wfe.transport.aio import Attached
    from wfe.transport.sockets import Dealer

    return Attached(loop, Dealer(endpoint), on_frames)
