"""Traces at a shard: since when traced tasks are ready, and which traced runs have ended, for whoever exports them.

Memory only: runs that are not traced cost a look at an empty text. Ends are kept until their reader says that it has
them, at most `TRACES_KEPT_MAX`; after a crash of the shard those that were not taken are lost, as telemetry may be.
Invariant: what a reader gets is durable, for answers leave after the commit.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from wfe.core.durable.places import MAIN
from wfe.core.durable.records import kind_of
from wfe.limits import TRACES_KEPT_MAX, TRACES_PAGE
from wfe.model.state import RunState
from wfe.model.trace import is_sampled, own_trace
from wfe.partition.entry import Lease
from wfe.partition.partition import Partition
from wfe.wire.frames import Header, Kind
from wfe.wire.traces import LostTrace, RunTrace, TaskTrace, TracesPage, TracesQuery

if TYPE_CHECKING:
    from wfe.shard.core import ShardCore

READY_MAX = 50_000
"""Tasks whose time of being ready is remembered; of others it is not known how long they waited."""


class Traces:
    """``share``: of runs without a caller's context that are traced; below 0: this server traces none by itself, and
    nobody takes the ends of runs."""

    def __init__(self, share: float = -1.0) -> None:
        self._share = share
        self._ready: dict[tuple[str, int], int] = {}
        self.ended: deque[RunTrace] = deque()
        self.number = 0
        """Of the last run in ``ended``."""
        self.missed = 0
        self.lost: list[LostTrace] = []

    def context_of(self, run_id: str) -> str:
        """The context of a run without a caller's: one of its own, if it is among the sampled ones."""
        return own_trace(run_id, self._share) if self._share > 0 else ""

    def ready(self, run: RunState, keys: list[int], now_ms: int) -> None:
        """Tasks of a traced run became ready."""
        for key in keys:
            self._ready[run.id, key] = now_ms
        while len(self._ready) > READY_MAX:  # withdrawn ones are never taken out
            del self._ready[next(iter(self._ready))]

    def of_task(self, run: RunState, key: int, now_ms: int) -> TaskTrace:
        """What goes along with a task of a traced run."""
        return TaskTrace(run.trace, max(0, now_ms - self._ready.pop((run.id, key), now_ms)))

    def run_ended(self, run: RunState) -> None:
        """A traced run has ended."""
        if self._share < 0 or not is_sampled(run.trace):
            return
        self.number += 1
        place = (run.id, run.workflow, run.version, run.trace)
        times = (run.started_ms, run.ended_ms)
        self.ended.append(RunTrace(*place, *times, run.status, run.error, run.key, run.parent, run.round))
        if len(self.ended) > TRACES_KEPT_MAX:
            self.ended.popleft()
            self.missed += 1

    def attempt_lost(self, lease: Lease, now_ms: int) -> None:
        """An attempt of a traced run was lost with its worker, which would have told of it."""
        run, plan, key = lease.entry.run, lease.entry.plan, lease.key
        full = len(self.lost) >= TRACES_PAGE
        if self._share < 0 or full or not is_sampled(run.trace) or (run.durable is not None and key == MAIN):
            return
        act, index = divmod(key, plan.stride)
        node = plan.nodes[index]
        node_id, task, version = node.id, node.task, node.task_version
        if run.durable is not None:
            task, version = kind_of(run, plan, key)
            node_id = task
        place = (run.id, run.trace, index, act, lease.attempt)
        self.lost.append(LostTrace(*place, node_id, task, version, lease.worker, lease.dispatched_ms, now_ms))


class TraceReader:
    """Handlers by kind, see `Requests`. One question waits at a time: a later one replaces it."""

    def __init__(self, core: ShardCore) -> None:
        self._core = core
        self._waiting: tuple[bytes, int] | None = None

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {Kind.TRACES: (msgspec.msgpack.Decoder(TracesQuery).decode, self._ask)}

    def _ask(self, client: bytes, header: Header, partition: Partition, query: TracesQuery, now_ms: int) -> None:
        traces = self._core.traces
        if query.epoch == self._core.settings.epoch:
            while traces.ended and traces.number - len(traces.ended) < query.cursor:
                traces.ended.popleft()
        self._waiting = (client, header.request)

    def tick(self) -> None:
        """Answers whoever waits, when there is something."""
        traces = self._core.traces
        if self._waiting is None or not (traces.ended or traces.missed or traces.lost):
            return
        (client, request), self._waiting = self._waiting, None
        runs = list(islice(traces.ended, TRACES_PAGE))
        settings = self._core.settings
        cursor = traces.number - len(traces.ended) + len(runs)
        page = TracesPage(settings.index, settings.epoch, cursor, runs, traces.missed, traces.lost)
        traces.missed, traces.lost = 0, []
        self._core.answer(client, request, page)
