"""Results of tasks: taken in the order in which a worker numbers their frames, each decided, or known not to count.

A result counts only for the open attempt of its place. A frame is acknowledged once all its results have been decided,
those included whose runs had to be loaded first; the commit comes before the acknowledgement leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wfe.core import decide
from wfe.model.command import TaskEnded
from wfe.model.durable import NEED_ALL
from wfe.model.ids import PARTITION_OF_PREFIX
from wfe.model.state import NULL
from wfe.partition.entry import Entry
from wfe.shard.core import ShardCore, encode
from wfe.shard.durable import needs_all, what_it_did
from wfe.shard.links import NOWHERE, Link, detached
from wfe.shard.loading import Loader
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Results, TaskResult

_DONE = 0


class ResultTaker:
    """Part of `Workers`, whose links (``links`` by peer, ``workers`` by name) and acknowledgements it is lent."""

    def __init__(
        self,
        core: ShardCore,
        loader: Loader,
        turns: Turns,
        links: Mapping[bytes, Link],
        workers: Mapping[str, Link],
        acks: dict[bytes, int],
    ) -> None:
        self._core = core
        self._loader = loader
        self._turns = turns
        self._links = links
        self._workers = workers
        self._acks = acks

    def take(self, link: Link, message: Results, now_ms: int) -> None:
        """A frame of results: one that came before changes nothing, one after a gap is rejected."""
        if message.seq <= link.results_seq:
            self._acks[link.peer] = link.booked_seq()  # seen before
            return
        if message.seq != link.results_seq + 1:
            self._core.workers.send(link.peer, [header(Kind.REJECT), encode(None)])
            return
        link.results_seq = message.seq
        partitions, book = self._core.partitions, self._book
        missing = done = 0
        for result in message.results:
            run_id = result.run_id
            try:
                entry = partitions[PARTITION_OF_PREFIX[run_id[:2]]].entries[run_id]
            except KeyError:
                missing += not self._not_here(link, message.seq, result, now_ms)
                continue
            done += book(link, entry, result, now_ms)
        self._acks[link.peer] = link.booked_seq()
        self._core.counters["tasks_done"] += done
        if missing:
            self._core.counters["results_stale"] += missing

    def _not_here(self, link: Link, seq: int, result: TaskResult, now_ms: int) -> bool:
        """A result whose run is not in memory. Whether it may count still: then its frame is not acknowledged yet."""
        run_id = result.run_id
        number = PARTITION_OF_PREFIX.get(run_id[:2], -1)
        partition = self._core.partitions.get(number)
        recent = partition.recent if partition is not None else {}
        if run_id in recent or not 0 <= number < self._core.settings.partitions_total:
            return False
        link.late[seq] = link.late.get(seq, 0) + 1  # one that is elsewhere goes to its owner after the next hello
        if partition is not None:
            self._loader.run(partition, run_id, self._late(link, seq, result), now_ms)
        return True

    def _late(self, link: Link, seq: int, result: TaskResult) -> Callable[[object, int], None]:
        """A result whose run has to be loaded first (after a restart). Its frame is acknowledged only afterwards."""
        kept = detached(result)

        def then(found: object, later_ms: int) -> None:
            if isinstance(found, Entry):
                self._core.counters["tasks_done"] += self._book(link, found, kept, later_ms)
            else:
                self._core.counters["results_stale"] += 1
            link.late[seq] -= 1
            if not link.late[seq]:
                del link.late[seq]
                if self._links.get(link.peer) is link:
                    self._acks[link.peer] = link.booked_seq()

        return then

    def _book(self, link: Link, entry: Entry, result: TaskResult, now_ms: int) -> bool:
        """Whether a task is done. Its failure, and a result that does not count any more, are counted here."""
        stride, node, attempt = entry.plan.stride, result.node, result.attempt
        key = result.activation * stride + node if 0 <= node < stride - 1 else NOWHERE
        lease = entry.leases.get(key)
        core, status, previous = self._core, result.status, NULL
        if status == NEED_ALL and (lease is None or lease.worker != link.worker):
            return False  # said again after a hello: somebody else has the turn by now
        if lease is not None and lease.attempt == attempt:
            del entry.leases[key]
            core.tallies.task(entry, key, result)
            holder = link if lease.worker == link.worker else self._workers.get(lease.worker)
            if holder is not None:
                holder.held.pop(lease, None)
                if holder.unconfirmed:
                    holder.unconfirmed.pop(lease, None)
            if lease.previous is not None:
                previous = lease.previous
            if lease.followed_us and core.stages is not None:
                core.stages.ended(lease, result.started_us)
        if status == NEED_ALL:
            self._turns.enqueue(entry, needs_all(entry, key, result))
            return False
        turns = self._turns
        turn = turns.begin(entry, now_ms)
        value = result.value if status == _DONE else NULL
        error, durable = result.error, entry.run.durable is not None
        did = what_it_did(entry, key, result, link.worker) if durable else NULL
        try:
            counted = decide.task_result(turn, key, attempt, status, value, error, previous, did)
        except Exception:  # noqa: BLE001  a defect must cost one run, not a shard
            kept = TaskEnded(key, attempt, status, value.copy(), error, previous, did.copy())
            turns.recover(entry, turn.first_event, now_ms, kept)
            return False
        if durable and turns.homes.turn_over(entry, key, result, link.worker, entry.events[turn.first_event :]):
            turns.file(entry, turn)
            return False
        done = counted and status == _DONE
        if not done:
            core.counters["tasks_failed" if counted else "results_stale"] += 1
        turns.file(entry, turn)
        return done
