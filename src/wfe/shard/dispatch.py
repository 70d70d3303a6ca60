"""Dispatch: ready tasks go to workers that lent credit, after the commit that made them ready. Nothing is written.

A *suspect* was lost with its worker before (LOSSES_SUSPECT times): a worker is given one at a time, in a frame that
asks for it to be run alone, so that a task that kills its process is found out without those that ran beside it,
whichever shard they are of. Others wait in the queue meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial

from wfe.core import decide
from wfe.core.values import splice
from wfe.limits import FRAME_MESSAGES_MAX, LOSSES_SUSPECT, TASK_INPUT_BYTES_MAX
from wfe.model.blob import may_refer
from wfe.model.needs import Needs
from wfe.model.state import NULL, PAUSED
from wfe.partition.entry import Entry, Lease
from wfe.partition.ready import Item, rank_of
from wfe.partition.ready import Kind as TaskKind
from wfe.shard.cargo import Cargo
from wfe.shard.core import ShardCore, encode
from wfe.shard.durable import spec_of
from wfe.shard.links import Link
from wfe.shard.pools import wants_of
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, header
from wfe.wire.lending import Want
from wfe.wire.messages import Dispatch, ShardLoad, TaskSpec

_DISPATCH = header(Kind.DISPATCH)
_LOAD = header(Kind.LOAD)
_NONE: Mapping[TaskKind, int] = {}
_UNBOUNDED = 1 << 62


class Dispatcher:
    def __init__(self, core: ShardCore, turns: Turns) -> None:
        self._core = core
        self._turns = turns
        self.acks: dict[bytes, int] = {}
        """Results to be acknowledged, by peer: a frame of tasks takes them along."""
        self._suspects: dict[str, Lease] = {}
        """The suspect that each worker was given last; it may have ended since."""
        self._aside: list[tuple[Entry, int]] = []
        self.oversize: list[tuple[Entry, int, int]] = []
        """Attempts whose input fits into no frame: they fail in the next batch."""
        self.unmarked: list[tuple[Entry, int, int]] = []
        """Attempts that must not run twice: they leave once it is durable that a worker may have begun them."""
        self._waiting: Counter[TaskKind] = Counter()
        """Suspects in the queue that no worker could take at the last run, by kind of task."""

    def run(self, links: Iterable[Link], now_ms: int) -> None:
        """Hand ready tasks to workers with credit, a frame at a time in turn, so that none gets it all."""
        ready = self._core.ready
        everybody = list(links)
        self._fill_all(everybody, now_ms)
        if self._turns.homes.spread():
            self._fill_all(everybody, now_ms)
        if self._turns.pools.has_grants:
            self._fill_granted(now_ms)
        if self._aside or self._waiting:
            self._place_suspects(everybody, now_ms)
        if ready.size:
            rationed = self._turns.pools.rationed
            counts = ready.counts(rationed) if rationed else _NONE
            for link in everybody:
                if (not link.told_ready and self._ready_for(link)) or (
                    link.rationed and {want.needs for want in self._wants_of(link, counts)} != link.told_wants
                ):
                    self.tell_load(link)

    def _fill_all(self, links: list[Link], now_ms: int) -> None:
        creditors = [link for link in links if link.credit_tasks > 0 and link.credit_bytes > 0]
        while creditors and self._core.ready.size:
            for link in list(creditors):
                if not self._fill(link, now_ms):
                    creditors.remove(link)

    def _fill(self, link: Link, now_ms: int) -> bool:
        """One frame of tasks for a worker; False when it has no credit left or nothing it can run is ready."""
        wanted = min(link.credit_tasks, FRAME_MESSAGES_MAX)
        if wanted <= 0 or link.credit_bytes <= 0:
            return False
        items = self._core.ready.take(link.kinds, wanted)
        if not items:
            return False
        self._hand_over(link, items, now_ms)
        return True

    def _fill_granted(self, now_ms: int) -> None:
        """Tasks that need resources go to those who have set them aside; what is left of that is given back."""
        pools, ready = self._turns.pools, self._core.ready
        for kind in ready.waiting(pools.rationed):
            needs, only = pools.rationed[kind], frozenset((kind,))
            for link in pools.granted(kind):
                while (count := link.grants.get(needs, 0)) > 0 and (
                    items := ready.take(only, min(count, FRAME_MESSAGES_MAX))
                ):
                    self._hand_over(link, items, now_ms, needs)
                    if self._aside:
                        break  # more of them may be at the front of the queue
        pools.give_back()

    def _hand_over(self, link: Link, items: list[Item], now_ms: int, needs: Needs | None = None) -> None:
        """Sends one frame with as many of these tasks as fit; ``needs``: it uses grants, not credit."""
        specs: list[TaskSpec] = []
        size = filled = 0
        credit_bytes = link.credit_bytes if needs is None else _UNBOUNDED
        worker, leased, cargo = link.worker, link.held, Cargo(link.blobs)
        alone = False
        stages = self._core.stages
        followed = stages.followed if stages is not None else None
        for position, (entry, key) in enumerate(items):
            run, held = entry.run, entry.leases
            attempt = run.open.get(key)
            if attempt is None or key in held or run.status == PAUSED:
                continue  # withdrawn, claimed, or to be queued anew at resume
            if size > credit_bytes:
                self._put_back(items[position:])
                break
            suspect = run.losses.get(key, 0) >= LOSSES_SUSPECT if run.losses else False
            if suspect and self._has_suspect(link):
                self._aside.append((entry, key))
                continue
            if suspect and specs:
                self._put_back(items[position:])  # it comes next, in a frame of its own
                break
            spec = (_spec if run.durable is None else spec_of)(entry, key, attempt, worker, now_ms)
            if spec is None:
                self.unmarked.append((entry, key, attempt))
                continue
            whole = added = len(spec.input)
            refers = run.blobs and may_refer(spec.input)
            if refers:
                whole, added = cargo.weigh(spec.input, run.blobs)
            recorded = len(spec.recorded) if spec.durable else 0
            added += recorded
            if whole + recorded > TASK_INPUT_BYTES_MAX:
                self.oversize.append((entry, key, attempt))
                continue
            if filled + added > TASK_INPUT_BYTES_MAX:
                self._put_back(items[position:])
                break
            if refers:
                cargo.load()
            size += whole
            filled += added
            if run.trace and not spec.durable:
                spec.trace = self._core.traces.of_task(run, key, now_ms)
            specs.append(spec)
            # At once: a task may be queued twice (a resume queues what is open), even within one frame.
            held[key] = lease = Lease(entry, key, attempt, worker, now_ms)
            leased[lease] = None
            if followed and stages is not None and entry in followed:
                stages.dispatched(lease)
            if suspect:
                self._suspects[worker] = lease
                self._put_back(items[position + 1 :])
                alone = True
                break
        if specs:
            if alone:
                link.credit_tasks = link.credit_bytes = 0
                link.grants.clear()
            elif needs is None:
                link.credit_tasks -= len(specs)
                link.credit_bytes -= size
            else:
                link.grants[needs] -= len(specs)
            self._send(link, specs, alone, cargo, needs)

    def _send(self, link: Link, specs: list[TaskSpec], alone: bool, cargo: Cargo, needs: Needs | None) -> None:
        link.dispatch_seq += 1
        message = Dispatch(link.dispatch_seq, specs, alone, cargo.sent(), needs, self.acks.pop(link.peer, 0))
        if not self._core.workers.send(link.peer, [_DISPATCH, encode(message)]):
            # The frame did not leave: the worker will see the gap in its numbers and say hello anew.
            self._core.counters["dispatch_unsent"] += 1
        self._core.counters["tasks_dispatched"] += len(specs)

    def mark(self, now_ms: int) -> None:
        """Write down what is to leave after this batch's commit, and put it in front of its queue."""
        tasks, self.unmarked = self.unmarked, []
        for entry, key, attempt in reversed(tasks):
            if entry.run.open.get(key) == attempt and entry.run.status != PAUSED:
                self._turns.run(entry, now_ms, partial(decide.hand_out, key=key, attempt=attempt))
                self._put_back([(entry, key)])

    def _put_back(self, items: list[tuple[Entry, int]]) -> None:
        """What did not fit into a frame stays at the front of its queue."""
        for item in reversed(items):
            entry, key = item
            self._core.ready.put_back(
                rank_of(entry.run.priority, begun=True), self._turns.kind_of(entry, key), entry, key
            )

    # ---- suspects ---------------------------------------------------------------------------------------------------

    def _has_suspect(self, link: Link) -> bool:
        lease = self._suspects.get(link.worker)
        if lease is None:
            return False
        if lease.entry.leases.get(lease.key) is lease:
            return True
        del self._suspects[link.worker]
        return False

    def forget(self, link: Link) -> None:
        """A worker is gone."""
        self._suspects.pop(link.worker, None)
        self._turns.pools.forget(link)

    def _place_suspects(self, links: list[Link], now_ms: int) -> None:
        """One for each worker that holds none; those that nobody may have now return to the front of their queues."""
        aside, self._aside = self._aside, []
        for link in links:
            if link.credit_tasks > 0 and link.credit_bytes > 0 and not self._has_suspect(link):
                fitting = next((item for item in aside if self._turns.kind_of(*item) in link.kinds), None)
                if fitting is not None:
                    aside.remove(fitting)
                    self._put_back([fitting])
                    self._fill(link, now_ms)
        self._waiting = Counter(self._turns.kind_of(*item) for item in aside)
        self._put_back(aside)

    def _ready_for(self, link: Link) -> int:
        """Tasks that wait for this worker's credit: not the suspects that it may not have."""
        if not self._core.ready.size:
            return 0
        waiting = self._core.ready.count(link.kinds)
        if self._waiting and self._has_suspect(link):
            waiting -= sum(count for kind, count in self._waiting.items() if kind in link.kinds)
        return max(0, waiting)

    # ---- load -------------------------------------------------------------------------------------------------------

    def tell_load(self, link: Link) -> None:
        waiting = self._ready_for(link)
        link.told_ready = waiting > 0
        wants = self._wants_of(link, self._core.ready.counts(link.rationed)) if link.rationed else []
        link.told_wants = {want.needs for want in wants}
        self._core.workers.send(link.peer, [_LOAD, encode(ShardLoad(waiting, link.dispatch_seq, wants))])

    def _wants_of(self, link: Link, counts: Mapping[TaskKind, int]) -> list[Want]:
        but = self._waiting if self._waiting and self._has_suspect(link) else _NONE
        return wants_of(link, counts, but)


def _spec(entry: Entry, key: int, attempt: int, worker: str, now_ms: int) -> TaskSpec | None:
    """A task as a worker gets it; None when that it leaves must be written down first."""
    run, plan = entry.run, entry.plan
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    if not node.redeliver and run.handed_out.get(key) != attempt:
        return None
    made = run.inputs.get(key) if run.inputs else node.input.fixed
    if made is None:
        made = splice(run, plan, node.scope, act, node.input)
    return TaskSpec(
        run.id,
        index,
        act,
        attempt,
        node.task,
        node.task_version,
        node.id,
        made,
        node.timeout_ms,
        node.heartbeat_ms,
        run.failures.get(key, 0) if run.failures else 0,
        run.previous.get(key, NULL) if run.previous else NULL,
    )
