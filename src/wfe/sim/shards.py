"""A simulated shard process: the production actor between simulated sockets, threads and disk.

Plays `shard.process.ShardProcess`: frames are drained in bounded batches, then one turn; an error of a turn ends the
process. Reads and checkpoint writes happen at one moment and are heard of at a later one, as with real threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import structs

from wfe.config import ShardOptions
from wfe.coordinator.supervision import EXIT_STARVED
from wfe.errors import DataError, DataFull, Fenced, WfeError
from wfe.journal.backup import ShardCopier
from wfe.journal.checkpoint import ReadDone, Token
from wfe.journal.log import Chunk, ShardLog
from wfe.journal.store import PartitionStore
from wfe.limits import DRAIN_FRAMES_MAX
from wfe.ports import Op, Store
from wfe.shard.actor import Shard
from wfe.shard.core import Disk, Settings
from wfe.sim.disk import SimCrashed, SimStore
from wfe.sim.node import Node, Violation
from wfe.sim.tally import Tally
from wfe.sim.threads import SimReader, SimWriter

if TYPE_CHECKING:
    from wfe.sim.world import World


def log_name(index: int) -> str:
    return f"log-{index}"


def store_name(partition: int) -> str:
    return f"store-{partition}"


def back_identity(options: ShardOptions) -> bytes:
    return f"shard-{options.index}-{options.epoch}".encode()


class WatchedLog(ShardLog):
    """The production log, with the auditor looking on: what is about to be committed, and what then was."""

    shard: ShardNode

    def append(self, chunks: Sequence[Chunk]) -> int:
        auditor, node = self.shard.world.auditor, self.shard
        auditor.committing(node, chunks)
        file = node.world.disk.log_file(log_name(node.options.index))
        before = len(file.records) and max(file.records)
        try:
            return super().append(chunks)
        finally:
            if file.records and max(file.records) > before:
                auditor.committed(node, chunks)


class ShardNode(Node):
    """One process of one shard."""

    def __init__(self, world: World, name: str, options: ShardOptions) -> None:
        super().__init__(world, name)
        self.options = options
        self._frames: deque[tuple[bytes, list[bytes]]] = deque()
        self._back_frames: deque[list[bytes]] = deque()
        self._completions: deque[tuple[Any, ...]] = deque()
        self._wake_us = 0
        self._wake_number = 0
        self._last_ms = 0
        self._stops_seen_us = 0
        """Until when the last stop went that a turn came after."""
        self.shard: Shard | None = None
        self.tally = Tally()
        self._served: dict[int, int] = {}
        """Partitions, with since when they are served here."""
        self.epochs: dict[int, int] = {}
        """Of partitions that came while this process lives."""
        self._unchecked = False
        self.refuses_starts = False
        """Its disk budget was used up when the turn began."""
        self.awake_ms = 0
        """Since when it could act: it has recovered, and is not stopped. Reads of a slow disk are waited for."""
        self.after(world.chance("boot").randint(5_000, 60_000), f"boot {name}", self._boot)

    # ---- start ------------------------------------------------------------------------------------------------------

    def _boot(self) -> None:
        world, options = self.world, self.options
        self._address = f"{self.name}-{options.epoch}"
        self._router = world.network.bind(self.name, self._address, self.incoming(self._on_worker))
        self._back = world.network.connect(
            self.name, world.back_address, back_identity(options), self.incoming(self._on_back), tame=True
        )
        world.auditor.recovering(self)
        self.shard = self.build(self._back, self._router)
        self._check_recovery()
        self._served = dict.fromkeys(options.partitions, self.now_ms())
        self._last_ms = self.awake_ms = self.now_ms()
        self._say_hello()

    def _check_recovery(self) -> None:
        """What came back from the disk, once all of it is in memory: a look at a run would bring it there."""
        assert self.shard is not None
        self._unchecked = self.shard.recovery.tail.left > 0
        if not self._unchecked:
            self.world.auditor.recovered(self)

    def build(self, back: Any, workers: Any) -> Shard:
        """The actor on what is on the disk."""
        world, options = self.world, self.options
        settings = Settings(
            options.index, options.epoch, options.partitions_total, options.token, options.lease_ms,
            options.recovery_grace_ms, **world.shard_settings,
        )  # fmt: skip
        log = WatchedLog.__new__(WatchedLog)
        log.shard = self
        port = world.disk.log(log_name(options.index))
        log.__init__(port, options.epoch)  # type: ignore[misc]
        ports = {number: self._open(number) for number in options.partitions}
        stores = {n: PartitionStore(port, n, options.partitions_total) for n, port in ports.items()}
        self.writer = _Writer(self, ports)
        self.reader = _Reader(self)
        copier = ShardCopier(options.index, port, ports, partial(_CopyThread, self), self._copied)
        disk = Disk(log, stores, self.writer, self.reader, copier, ports, self._open_port)
        random = world.chance(f"{self.name}/{options.epoch}")
        return Shard(settings, disk, options.partitions, back, workers, random.random, self.now_ms())

    def _open(self, number: int) -> Store:
        return _WatchedStore(self, number, self.world.disk.store(store_name(number)))

    def _open_port(self, number: int, epoch: int) -> Store:
        """The store of a partition that comes from another shard."""
        self.world.auditor.owners.opens(self, [number])
        self.epochs[number] = epoch
        self.options = structs.replace(self.options, partitions=sorted({*self.options.partitions, number}))
        return self._open(number)

    def closed(self, number: int, port: Store) -> None:
        """A partition's store is about to be closed: it leaves."""
        self.world.auditor.owners.closes(self, number, PartitionStore(port, number, self.options.partitions_total))
        self.epochs.pop(number, None)
        self.options = structs.replace(self.options, partitions=[n for n in self.options.partitions if n != number])

    def acts_since_ms(self, number: int) -> int:
        """Since when it could do something for a partition."""
        return max(self.awake_ms, self._served.get(number, self.awake_ms))

    def _say_hello(self) -> None:
        if self._back.connection is None:  # as ZeroMQ, which keeps frames until the handshake is over
            self.after(500, f"wait {self.name}", self._say_hello)
            return
        assert self.shard is not None
        self.shard.hello(self._address, self._address, 1, 0)
        self.wake(0)

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def _on_worker(self, peer: bytes, parts: list[bytes]) -> None:
        self._frames.append((peer, parts))
        self.wake(self.world.swarm.turn_us)

    def _on_back(self, peer: bytes, parts: list[bytes]) -> None:
        self._back_frames.append(parts)
        self.wake(self.world.swarm.turn_us)

    def wake(self, delay_us: int) -> None:
        """A turn at this time or earlier."""
        due_us = self.world.schedule.now_us + delay_us
        if self.shard is None or (self._wake_us and self._wake_us <= due_us):
            return
        self._wake_us = due_us
        self._wake_number += 1
        self.world.schedule.at(due_us, self._woken, self._wake_number)

    def _woken(self, number: int) -> None:
        if number != self._wake_number or not self.alive:
            return
        if self.world.schedule.now_us < self.stopped_until_us:
            self.world.schedule.at(self.stopped_until_us, self._woken, number)
            return
        self.world.trace.step(self.world.schedule.now_us, f"turn {self.name}")
        self._wake_us = 0
        self.guarded(self._turn)

    def _turn(self) -> None:
        shard = self.shard
        assert shard is not None
        now_ms = self.now_ms()
        if self._stops_seen_us != self.stopped_until_us:
            self._stops_seen_us, self.awake_ms = self.stopped_until_us, now_ms
        if now_ms - self._last_ms > self.options.lease_ms // 2:
            shard.workers.renew(now_ms)
        self._last_ms = now_ms
        self.refuses_starts = shard.core.budget_spent
        for _ in range(min(len(self._frames), DRAIN_FRAMES_MAX)):
            shard.on_worker(*self._frames.popleft(), now_ms)
        for _ in range(min(len(self._back_frames), DRAIN_FRAMES_MAX)):
            shard.on_back(self._back_frames.popleft(), now_ms)
        self.take_completions(now_ms)
        shard.turn(now_ms)
        self.world.auditor.turned(self)
        if came := shard.core.partitions.keys() - self._served.keys():
            self.world.auditor.owners.recovered(self, came)
        if came or len(self._served) > len(shard.core.partitions):
            self._served = {number: self._served.get(number, now_ms) for number in shard.core.partitions}
        if self._unchecked:
            self._check_recovery()
        if shard.drained:
            self.die(0)
        elif self._frames or self._back_frames or self._completions:
            self.wake(0)
        else:
            self.wake(max(1_000 * shard.next_wake_ms(now_ms), 1))

    def take_completions(self, now_ms: int) -> None:
        """What the threads have to say."""
        assert self.shard is not None
        while self._completions:
            completion = self._completions.popleft()
            if completion[0] == "written":
                self.shard.on_written(completion[1], completion[2], now_ms)
            elif completion[0] == "copied":
                self.shard.on_copied(completion[1], completion[2], completion[3])
            else:
                self.shard.on_read(completion[1], completion[2], completion[3], now_ms)

    def _copied(self, *news: Any) -> None:
        self.after(self.world.disk_delay_us() // 4, f"copied {self.name}", self.completed, "copied", *news)

    def completed(self, *completion: Any) -> None:
        self._completions.append(completion)
        self.wake(self.world.swarm.turn_us)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def failed(self, error: WfeError) -> None:
        """A failed commit stops the shard; the auditor knows whether a fault explains the error."""
        if isinstance(error, (DataError, DataFull, Fenced)) and self.world.explains(self, error):
            self.die(3 if isinstance(error, Fenced) else EXIT_STARVED if isinstance(error, DataFull) else 1)
        else:
            raise Violation(f"{self.name} stops: {error!r}") from error

    def die(self, code: int) -> None:
        if not self.alive:
            return
        super().die(code)
        if hasattr(self, "_router"):
            self._router.close()
            self._back.close()
        self.world.disk.crash(*self.files())
        self.world.auditor.died(self)
        self.world.ended(self, code)

    def files(self) -> list[str]:
        """What this process has open."""
        known = self.world.disk.names()
        names = [log_name(self.options.index), *(store_name(n) for n in self.options.partitions)]
        return [name for name in names if name in known]


class _WatchedStore:
    """A store whose end the node hears of."""

    def __init__(self, node: ShardNode, number: int, port: SimStore) -> None:
        self._node, self._number, self._port = node, number, port
        self.get, self.range, self.commit, self.count = port.get, port.range, port.commit, port.count
        self.size_bytes, self.used_bytes, self.table_bytes = port.size_bytes, port.used_bytes, port.table_bytes
        self.snapshot = port.snapshot

    def close(self) -> None:
        self._node.closed(self._number, self._port)
        self._port.close()


class _Writer(SimWriter):
    """Writes a while after a step was submitted; the shard hears of it a while later."""

    def __init__(self, node: ShardNode, ports: Any) -> None:
        super().__init__(ports, self._written)
        self._node = node

    def submit(self, partition: int, ops: Sequence[Op], token: Token) -> None:
        super().submit(partition, ops, token)
        self._node.after(self._node.world.disk_delay_us(), f"write {self._node.name}", self.step)

    def _written(self, token: Token, error: Exception | None) -> None:
        node = self._node
        if node.alive:
            node.after(node.world.disk_delay_us() // 4, f"written {node.name}", node.completed, "written", token, error)


class _Reader(SimReader):
    """Reads a while after it was asked; the shard hears of it a while later."""

    def __init__(self, node: ShardNode) -> None:
        super().__init__(self._read)
        self._node = node

    def submit(self, read: Any, token: Token) -> None:
        super().submit(read, token)
        self._node.after(self._node.world.disk_delay_us() // 2, f"read {self._node.name}", self.step)

    def _read(self, token: Token, result: object, error: Exception | None) -> None:
        node = self._node
        delay_us = node.world.disk_delay_us() // 2
        node.after(delay_us, f"has read {node.name}", node.completed, "read", token, result, error)


class _CopyThread(SimReader):
    """Begins snapshots and copies them, a while after it was asked, one after the other."""

    def __init__(self, node: ShardNode, done: ReadDone) -> None:
        super().__init__(done)
        self._node = node

    def submit(self, read: Any, token: Token) -> None:
        assert isinstance(token, tuple)
        job, copying = token

        def watched() -> Any:
            found = read()
            if not copying and not job.cancelled:
                self._node.world.auditor.cut(self._node, job.number)
            return found

        super().submit(watched, token)
        delay_us = self._node.world.disk_delay_us() * len(self._node.options.partitions)
        self._node.after(delay_us, f"copy {self._node.name}", self.step)


class DrainNode(ShardNode):
    """The one-off process that brings a shard's log into its stores before partitions move."""

    def __init__(self, world: World, name: str, options: ShardOptions) -> None:
        Node.__init__(self, world, name)
        self.options = options
        self._completions = deque()
        self.tally = Tally()
        self.epochs = {}
        self._unchecked = self.refuses_starts = False
        self.awake_ms = 0
        self._wake_us = 1  # nothing wakes it: `drain` is its whole life
        self._wake_number = 0

    def _boot(self) -> None:
        """Driven by `drain` alone."""

    def drain(self) -> int:
        """Plays `ShardProcess.drain` to its end; the exit code."""
        try:
            self.world.auditor.recovering(self)
            nobody = _Nobody()
            self.shard = self.build(nobody, nobody)
            self.shard.recovery.tail.finish()
            self.world.auditor.recovered(self)
            self.shard.core.draining = True
            while not self.shard.checkpoints.clean:
                now_ms = self.now_ms()
                self.take_completions(now_ms)
                self.shard.checkpoints.step(idle=True, now_ms=now_ms)
                self.writer.step()
            self.take_completions(self.now_ms())
        except (SimCrashed, DataError, DataFull):
            self.alive = False
            self.world.disk.crash(*self.files())
            self.world.auditor.died(self)
            return 1
        self.alive = False
        self.world.disk.crash(*self.files())
        self.world.auditor.died(self)
        return 0

    def after(self, delay_us: int, what: str, action: Any, *arguments: Any) -> None:
        if what.startswith("written"):
            action(*arguments)

    def wake(self, delay_us: int) -> None:
        """There is no loop."""


class _Nobody:
    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        return True
