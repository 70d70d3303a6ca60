"""Durable functions at the shard: which worker gets a turn, and what it is given. Memory only, nothing is written.

A worker that had a run's last turn has its coroutine still: the next turn waits for it and carries only what is new.
When it has no room for long, or is gone, anybody gets the turn, with everything that is recorded. A worker that lost
the coroutine says so (`NEED_ALL`): the same attempt is given out again, in full. A turn that such a worker ran ahead,
on a task's result that it brings (`core.durable.ahead`), counts only from the run's home: nobody else's coroutine is
known to be where the record is. One that did not count leaves the run without a home. So tasks that a function calls
one by one go to its home, when that has room for them at once; else, and many at a time, to anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Raw

from wfe.core.durable.places import MAIN, state_of
from wfe.core.durable.records import asked_of, errand_of, kind_of, record_of, redelivers, timeout_of
from wfe.model.event import RunEvent
from wfe.model.event_durable import RoundContinued, TurnTaken
from wfe.model.state import NULL, PAUSED, RUNNING
from wfe.observe import Counters
from wfe.partition.entry import Entry, Lease
from wfe.partition.ready import Kind, ReadyQueue, rank_of
from wfe.wire.messages import TaskResult, TaskSpec

_NO_ARGUMENTS = Raw(b"\x80")
_ALL = 1 << 40
_HOME, _NEAR = "wfe.home:", "wfe.near:"
"""Tasks of workers have names without a colon: these are none of them."""
NEAR_MAX = 8
"""A function with more calls open than this spreads them: it is as far as functions go ahead."""


def home_kind(worker: str) -> Kind:
    """The queue of the turns that wait for one worker."""
    return (_HOME + worker, 0)


def near_kind(worker: str) -> Kind:
    """The queue of the called tasks that one worker is to have, if it takes them at once."""
    return (_NEAR + worker, 0)


class Host(Protocol):
    """A worker, as far as it matters here (`links.Link`)."""

    worker: str
    kinds: frozenset[Kind]
    credit_tasks: int
    credit_bytes: int


class Homes:
    """Which workers are there for the functions whose last turn they had. ``withdrawn`` hears of leases that ended."""

    def __init__(self, ready: ReadyQueue, counters: Counters, withdrawn: Callable[[Lease], None]) -> None:
        self._ready, self._counters, self._withdrawn = ready, counters, withdrawn
        self._patience: dict[str, bool] = {}
        """Workers that are there; False: turns waited for it in vain at the last look already."""
        self._kinds: dict[str, Kind] = {}
        self._hosts: dict[str, Host] = {}
        self._near: set[str] = set()
        """Workers for which called tasks may lie in a queue of their own."""

    def add(self, host: Host) -> None:
        """A worker said hello."""
        self._patience[host.worker] = True
        self._kinds[host.worker] = home_kind(host.worker)
        self._hosts[host.worker] = host

    def remove(self, worker: str) -> None:
        """A worker is gone: others may take its turns."""
        if self._patience.pop(worker, None) is not None:
            self._release(home_kind(worker))
            self._release(near_kind(worker))
            del self._kinds[worker], self._hosts[worker]

    def queue_of(self, entry: Entry, key: int) -> Kind:
        """The queue that an open place of a durable function waits in."""
        if key == MAIN:
            return self._kinds.get(entry.home) or _kind(entry, key)
        run = entry.run
        kind = _kind(entry, key)
        host = self._hosts.get(entry.home) if len(self._hosts) > 1 else None
        if host is None or len(run.open) > NEAR_MAX or run.losses or kind not in host.kinds or host.credit_tasks <= 0:
            return kind
        self._near.add(host.worker)
        return near_kind(host.worker)

    def spread(self) -> bool:
        """What was to go to a run's home, and found no room there at once, goes to anybody. Whether there was any."""
        near, self._near = self._near, set()
        return sum([self._release(near_kind(worker)) for worker in near]) > 0

    def look(self) -> None:
        """Now and then: turns that have waited for their worker since the last look may go to anybody."""
        for worker, patient in self._patience.items():
            waits = self._ready.count(frozenset((home_kind(worker),))) > 0
            if waits and not patient:
                self._release(home_kind(worker))
            self._patience[worker] = not waits

    def turn_over(self, entry: Entry, key: int, result: TaskResult, worker: str, made: list[RunEvent]) -> bool:
        """After a turn its worker has the coroutine as it is recorded, or nobody has. ``made``: what the result brought
        about. False: it is no turn that counted."""
        if not made or (key != MAIN and result.turn == NULL):
            return False
        if key == MAIN or (len(made) > 1 and type(made[1]) is TurnTaken):
            self._counters["turns_taken"] += 1
            goes_on = entry.run.status == RUNNING and type(made[-1]) is not RoundContinued
            entry.home = worker if goes_on else ""
        elif entry.home == worker:
            self._counters["turns_ahead_dropped"] += 1
            self.forget(entry)
        return key == MAIN

    def forget(self, entry: Entry) -> None:
        """The coroutine of a function is of no use any more: its worker may let it go."""
        if entry.home:
            self._withdrawn(Lease(entry, MAIN, 0, entry.home, 0))
            entry.home = ""

    def _release(self, kind: Kind) -> int:
        waiting = self._ready.take(frozenset((kind,)), _ALL)
        for entry, key in waiting:
            if key in entry.run.open:
                self._ready.push(rank_of(entry.run.priority, begun=True), _kind(entry, key), entry, key)
        return len(waiting)


def _kind(entry: Entry, key: int) -> Kind:
    """What workers must offer for an open place."""
    run, plan = entry.run, entry.plan
    needs = asked_of(run, plan, key)
    return kind_of(run, plan, key) if needs is None else (*kind_of(run, plan, key), needs)


def spec_of(entry: Entry, key: int, attempt: int, worker: str, now_ms: int) -> TaskSpec | None:
    """A turn, or a task that the function called, as a worker gets it; None when that must be written down first."""
    run, plan = entry.run, entry.plan
    act, index = divmod(key, plan.stride)
    if key == MAIN:
        node = plan.nodes[index]
        state = state_of(run)
        record = record_of(run, plan, now_ms, partial=entry.home == worker)
        return TaskSpec(
            run.id, index, act, attempt, node.task, node.task_version, node.id, _NO_ARGUMENTS,
            durable=1 + state.taken, recorded=record,
        )  # fmt: skip
    call, body = errand_of(run, plan, key)
    if not body.redeliver and run.handed_out.get(key) != attempt:
        return None
    timeout_ms = call.timeout_ms if call.timeout_ms > 0 else 0
    return TaskSpec(
        run.id, index, act, attempt, call.name, call.version, call.name, body.input, timeout_ms,
        body.heartbeat_ms, run.failures.get(key, 0) if run.failures else 0,
        run.previous.get(key, NULL) if run.previous else NULL,
    )  # fmt: skip


def what_it_did(entry: Entry, key: int, result: TaskResult, worker: str) -> Raw:
    """What a worker says that the function did: in its turn, or ahead of one, if it is the run's home."""
    return result.turn if key == MAIN or entry.home == worker else NULL


def needs_all(entry: Entry, key: int, result: TaskResult) -> list[int]:
    """A worker has no coroutine for what it was given: nobody has. The place that is ready again, if it is."""
    entry.home = ""
    goes_on = entry.run.open.get(key) == result.attempt and entry.run.status != PAUSED
    return [key] if goes_on else []


def lease_timeout_ms(lease: Lease) -> int:
    """How long a lease's task may run, in ms; 0: without a limit."""
    entry, key = lease.entry, lease.key
    if entry.run.durable is not None:
        return timeout_of(entry.run, entry.plan, key)
    return entry.plan.nodes[key % entry.plan.stride].timeout_ms


def runs_once(lease: Lease) -> bool:
    """Whether a task must not run twice."""
    entry, key = lease.entry, lease.key
    if entry.run.durable is not None:
        return not redelivers(entry.run, entry.plan, key)
    return not entry.plan.nodes[key % entry.plan.stride].redeliver
