"""The adapters of a shard process: its log, its stores, their threads, and its two sockets."""

from __future__ import annotations

from pathlib import Path

from wfe.config import ShardOptions
from wfe.errors import WfeError
from wfe.lmdb.layout import open_log, open_store
from wfe.lmdb.reader import ReaderThread
from wfe.lmdb.writer import WriterThread
from wfe.observe import get_logger
from wfe.shard.process import World, drain_main, main
from wfe.transport.sockets import Dealer, Router
from wfe.transport.waiter import Waiter

_log = get_logger("shard")


def run_shard(options: ShardOptions) -> int:
    """Serve partitions until told to drain; the exit code."""
    try:
        world = _disks(options)
        workers = Router(*[endpoint for endpoint in (options.ipc, options.tcp) if endpoint])
        back = Dealer(options.back_endpoint, f"shard-{options.index}-{options.epoch}".encode())
    except WfeError as error:
        _log.error("the shard cannot start", error=str(error), code=error.code)
        return 1
    bound = list(workers.endpoints)
    world.workers, world.back = workers, back
    world.waiter = Waiter(workers, back)
    world.endpoints = (bound.pop(0) if options.ipc else "", bound.pop(0) if bound else "")
    code = main(options, world)
    back.close()
    workers.close()
    return code


def drain_shard(options: ShardOptions) -> int:
    """Bring a shard's log into the stores and end; the exit code."""
    try:
        return drain_main(options, _disks(options))
    except WfeError as error:
        _log.error("a log could not be brought into the stores", error=str(error), code=error.code)
        return 1


def _disks(options: ShardOptions) -> World:
    data = Path(options.data)
    log = open_log(data, options.index, durability=options.durability)
    stores = {number: open_store(data, number, durability=options.durability) for number in options.partitions}
    return World(
        log=log,
        stores=dict(stores),
        writer=lambda done: WriterThread(stores, done),
        reader=ReaderThread,
    )
