"""Dispatch: ready tasks go to workers that lent credit, after the commit that made them ready. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable

from wfe.core.values import splice
from wfe.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, PAYLOAD_BYTES_MAX
from wfe.model.definition import Task
from wfe.model.state import NULL, PAUSED
from wfe.partition.entry import Entry, Lease
from wfe.shard.core import ShardCore, encode
from wfe.shard.links import Link
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Dispatch, ShardLoad, TaskSpec

_DISPATCH = header(Kind.DISPATCH)
_LOAD = header(Kind.LOAD)
_FRAME_INPUT_BYTES = FRAME_BYTES_MAX - PAYLOAD_BYTES_MAX


class Dispatcher:
    def __init__(self, core: ShardCore, turns: Turns) -> None:
        self._core = core
        self._turns = turns

    def run(self, links: Iterable[Link], now_ms: int) -> None:
        """Hand ready tasks to workers with credit, a frame at a time in turn, so that none gets it all."""
        ready = self._core.ready
        everybody = list(links)
        creditors = [link for link in everybody if link.credit_tasks > 0 and link.credit_bytes > 0]
        while creditors and ready.size:
            for link in list(creditors):
                if not self._fill(link, now_ms):
                    creditors.remove(link)
        if ready.size:
            for link in everybody:
                if not link.told_ready and ready.count(link.kinds):
                    self.tell_load(link)

    def _fill(self, link: Link, now_ms: int) -> bool:
        """One frame of tasks for a worker; False when it has no credit left or nothing it can run is ready."""
        ready = self._core.ready
        wanted = min(link.credit_tasks, FRAME_MESSAGES_MAX)
        if wanted <= 0 or link.credit_bytes <= 0:
            return False
        items = ready.take(link.kinds, wanted)
        if not items:
            return False
        specs: list[TaskSpec] = []
        leases: list[Lease] = []
        size = 0
        for position, (entry, key) in enumerate(items):
            run = entry.run
            attempt = run.open.get(key)
            if attempt is None or key in entry.leases or run.status == PAUSED:
                continue  # withdrawn, claimed, or to be queued anew at resume
            if size > min(link.credit_bytes, _FRAME_INPUT_BYTES):
                self._put_back(items[position:])
                break
            spec = _spec(entry, key, attempt)
            size += len(spec.input)
            specs.append(spec)
            # At once: a task may be queued twice (a resume queues what is open), even within one frame.
            entry.leases[key] = lease = Lease(entry, key, attempt, link.worker, now_ms)
            leases.append(lease)
        if not specs:
            return True
        link.dispatch_seq += 1
        if not self._core.workers.send(link.peer, [_DISPATCH, encode(Dispatch(link.dispatch_seq, specs))]):
            # The frame did not leave: the worker will see the gap in its numbers and say hello anew.
            self._core.counters["dispatch_unsent"] += 1
        link.credit_tasks -= len(specs)
        link.credit_bytes -= size
        for lease in leases:
            link.held[lease] = None
        self._core.counters["tasks_dispatched"] += len(specs)
        return True

    def _put_back(self, items: list[tuple[Entry, int]]) -> None:
        """What did not fit into a frame stays at the front of its queue."""
        for entry, key in reversed(items):
            kind = self._turns.kinds(entry.plan)[key % entry.plan.stride]
            self._core.ready.put_back(entry.run.priority, kind, entry, key)

    def tell_load(self, link: Link) -> None:
        waiting = self._core.ready.count(link.kinds) if self._core.ready.size else 0
        link.told_ready = waiting > 0
        self._core.workers.send(link.peer, [_LOAD, encode(ShardLoad(waiting, link.dispatch_seq))])


def _spec(entry: Entry, key: int, attempt: int) -> TaskSpec:
    """A task as a worker gets it."""
    run, plan = entry.run, entry.plan
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    task = node.node
    assert isinstance(task, Task)
    made = run.inputs.get(key) if run.inputs else None
    if made is None:
        made = splice(run, plan, node.scope, act, node.input)
    return TaskSpec(
        run.id,
        index,
        act,
        attempt,
        task.task,
        task.task_version,
        node.id,
        made,
        node.timeout_ms,
        task.heartbeat_ms or 0,
        run.failures.get(key, 0) if run.failures else 0,
        run.previous.get(key, NULL) if run.previous else NULL,
    )
