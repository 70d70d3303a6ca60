"""A partition leaves this shard for another one, or comes from one, while both serve their others.

To everybody else a partition that leaves is one whose shard has crashed: whatever was not answered is asked again, what
is under way at workers is presented to the new owner. Only that nothing has to be replayed: the partition's store holds
all of it. So whoever leaves drops what memory has of the partition right after a commit, has the rest written down as
any checkpoint, closes the store and says HANDED; whoever takes it over opens the store under the epoch that it was
given, notes in it from where on its own log counts (`PartitionStore.take_over`), and says ADOPTED.

Invariants: from the moment it is let go nothing decides for the partition here; the store is closed before HANDED, and
opened after the coordinator has written down the new owner; orders are repeated until they are answered, late ones
change nothing. A crash at any point leaves an owner in the catalogue whose log and store together have everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wfe.errors import ProtocolError
from wfe.journal.store import PartitionStore
from wfe.limits import FRESH_ID_MS
from wfe.model.ids import PARTITION_OF_PREFIX
from wfe.observe import get_logger
from wfe.partition.mailbox import decode_record
from wfe.partition.partition import Partition
from wfe.ports import Store
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import ShardCore, encode
from wfe.shard.loading import Loader
from wfe.shard.mailroom import Mailroom
from wfe.shard.recovery import Recovery
from wfe.shard.retention import Retention
from wfe.shard.task_logs import TaskLogs
from wfe.shard.workers import Workers
from wfe.wire.frames import Kind, header
from wfe.wire.rebalance import Adopt, Adopted, Handed, PartitionLoad, Yield

_log = get_logger("shard")
SMOOTHING = 4
"""A change of a partition's load is seen by so much of it per heartbeat."""
_decode_yield = msgspec.msgpack.Decoder(Yield).decode
_decode_adopt = msgspec.msgpack.Decoder(Adopt).decode


class CloseStep(NamedTuple):
    """The last step of a partition here: when it is written, so is everything before it."""

    partition: int


class _Opened(NamedTuple):
    port: Store
    store: PartitionStore
    record: bytes | None
    definitions: list[str]
    open_runs: int


class Handovers:
    def __init__(
        self,
        core: ShardCore,
        loader: Loader,
        workers: Workers,
        mailroom: Mailroom,
        recovery: Recovery,
        checkpoints: Checkpoints,
        retention: Retention,
        task_logs: TaskLogs,
    ) -> None:
        self._core, self._loader, self._workers, self._mailroom = core, loader, workers, mailroom
        self._recovery, self._checkpoints, self._retention = recovery, checkpoints, retention
        self._task_logs = task_logs
        self._numbers: dict[int, int] = {}
        """The last order about each partition."""
        self._wanted: list[int] = []
        """Partitions to be let go after the next commit."""
        self._looked_ms = 0
        self._closing: set[int] = set()
        self._opening: set[int] = set()

    @property
    def idle(self) -> bool:
        """No partition is on its way."""
        return not (self._wanted or self._core.leaving or self._opening)

    def on_frame(self, kind: int, body: bytes) -> None:
        """YIELD or ADOPT. Each may come late, or again."""
        order = _decode_yield(body) if kind == Kind.YIELD else _decode_adopt(body)
        number = order.partition
        if not 0 <= number < self._core.settings.partitions_total:
            raise ProtocolError(f"there is no partition {number}")
        if order.number < self._numbers.get(number, 0) or self._core.draining:
            return
        self._numbers[number] = order.number
        if isinstance(order, Adopt):
            self._adopt(number, order.epoch)
        elif number in self._core.partitions:
            if number not in self._wanted:
                self._wanted.append(number)
        elif number in self._core.departed and number not in self._core.leaving and number not in self._opening:
            self._say(Kind.HANDED, Handed(order.number, number))

    def _say(self, kind: Kind, body: object) -> None:
        self._core.to_back.append([header(kind), encode(body)])

    def loads(self, now_ms: int) -> list[PartitionLoad]:
        """What each partition is to this shard; to be asked for every heartbeat or so."""
        passed_ms = max(1, now_ms - self._looked_ms)
        self._looked_ms = now_ms
        found = []
        for partition in self._core.partitions.values():
            written, partition.written_bytes = partition.written_bytes, 0
            partition.bytes_per_s += (written * 1_000 // passed_ms - partition.bytes_per_s) // SMOOTHING
            found.append(PartitionLoad(partition.number, len(partition.entries), partition.bytes_per_s))
        return found

    # ---- leaving ----------------------------------------------------------------------------------------------------

    def after_commit(self, now_ms: int) -> None:
        """Everything that was decided is durable, and nothing of the next batch is decided yet."""
        if self._wanted and not self._checkpoints.replaying and not self._copying:
            wanted, self._wanted = self._wanted, []
            for number in wanted:
                self._let_go(number)
        for number in self._core.leaving:
            if number not in self._closing and self._may_close(number):
                self._closing.add(number)
                self._task_logs.forget(number)
                self._core.disk.writer.submit(number, [], CloseStep(number))

    def _let_go(self, number: int) -> None:
        """Memory forgets the partition, but for what its store does not hold yet."""
        core = self._core
        _log.info("a partition leaves this shard", partition=number)
        partition = core.partitions.pop(number)
        assert not partition.events, "it is let go right after a commit"
        core.leaving[number] = partition
        core.departed.add(number)
        partition.gone = True
        for link in self._workers.links.values():
            for leases in (link.held, link.unconfirmed):
                for lease in [lease for lease in leases if lease.entry.partition == number]:
                    del leases[lease]
        core.live_runs -= len(partition.entries)
        for entry in partition.entries.values():
            entry.leases.clear()
            entry.unclaimed = {}
        core.ready.drop(lambda entry: entry.partition == number)
        core.watchers.drop(lambda run_id: PARTITION_OF_PREFIX.get(run_id[:2]) == number)
        self._loader.forget(number)
        self._mailroom.forget(number)
        self._recovery.forget(number)
        self._checkpoints.leave(number)
        self._retention.follow()

    def _may_close(self, number: int) -> bool:
        return self._checkpoints.holds_all_of(number) and not self._task_logs.holds(number) and not self._copying

    @property
    def _copying(self) -> bool:
        """Whether a backup uses the stores, if only an abandoned one: that finishes the file that it is at."""
        copier = self._core.disk.copier
        return copier is not None and copier.busy

    def on_written(self, step: CloseStep, error: Exception | None) -> None:
        """Nothing of the partition is on its way into its store any more. Reads that were asked for come first."""
        if error is not None:
            raise error
        disk, number = self._core.disk, step.partition
        store = disk.stores.pop(number)
        disk.ports.pop(number, None)

        def close() -> int:
            open_runs = store.open_count()
            store.close()
            return open_runs

        self._loader.read(close, lambda open_runs, _: self._closed(number, open_runs))

    def _closed(self, number: int, open_runs: int) -> None:
        core = self._core
        del core.leaving[number]
        self._closing.discard(number)
        self._checkpoints.left(number)
        core.open_runs -= open_runs
        core.counters["partitions_handed"] += 1
        self._say(Kind.HANDED, Handed(self._numbers[number], number))

    # ---- arriving ---------------------------------------------------------------------------------------------------

    def _adopt(self, number: int, epoch: int) -> None:
        core = self._core
        if number in core.partitions:
            if number in self._wanted:
                self._wanted.remove(number)  # the coordinator has thought better of it
            self._say(Kind.ADOPTED, Adopted(self._numbers[number], number))
        if number in core.partitions or number in self._opening or number in core.leaving:
            return
        open_port = core.disk.open_port
        if open_port is None:
            raise ProtocolError("this shard has no way to open a store")
        self._opening.add(number)
        settings, position = core.settings, core.disk.log.position
        work = _opener(open_port, number, epoch, settings.partitions_total, settings.index, position)
        self._loader.read(work, lambda opened, now_ms: self._install(number, epoch, opened, now_ms))

    def _install(self, number: int, epoch: int, opened: _Opened, now_ms: int) -> None:
        core = self._core
        self._opening.discard(number)
        core.disk.ports[number], core.disk.stores[number] = opened.port, opened.store
        partition = Partition(number, epoch)
        if opened.record is not None:
            partition.record = decode_record(opened.record)
        partition.stored_definitions.update(opened.definitions)
        # What ended a moment ago is remembered by nobody here: ids of that time are looked up in the store.
        partition.settled_ms = now_ms + 2 * FRESH_ID_MS
        core.partitions[number] = partition
        core.departed.discard(number)
        self._retention.follow()
        self._checkpoints.arrive(number)
        self._recovery.adopt(partition, opened.open_runs, now_ms)
        self._mailroom.sending.adopt(partition)
        core.counters["partitions_adopted"] += 1
        _log.info("a partition is served here now", partition=number, epoch=epoch, open_runs=opened.open_runs)
        self._say(Kind.ADOPTED, Adopted(self._numbers[number], number))


def _opener(
    open_port: Callable[[int, int], Store], number: int, epoch: int, partitions: int, shard: int, position: int
) -> Callable[[], _Opened]:
    """On the reader thread: the loop must not wait for the disk. Until the store is installed nobody else has it."""

    def work() -> _Opened:
        port = open_port(number, epoch)
        store = PartitionStore(port, number, partitions)
        store.take_over(shard, position, epoch)
        record = store.record()
        return _Opened(port, store, record and record[1], store.definitions(), store.open_count())

    return work
