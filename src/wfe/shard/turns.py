"""Turns of runs within a batch: run a command, then file what it brought about.

A decide that raises is a defect of wfe: it quarantines that run (an incident) and leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wfe.core import decide
from wfe.core.plan import Plan, PlanNode
from wfe.core.turn import Turn
from wfe.errors import WfeError
from wfe.model.command import Command
from wfe.model.event import RunEnded
from wfe.model.event_durable import TurnRefused
from wfe.model.ids import partition_of
from wfe.model.state import ENDED, PAUSED, RUNNING
from wfe.observe import get_logger
from wfe.partition.entry import Entry, Lease, rebuild
from wfe.partition.ready import Kind
from wfe.partition.views import outcome
from wfe.shard.core import ShardCore
from wfe.shard.durable import Homes
from wfe.shard.pools import Pools

_log = get_logger("shard")


class Turns:
    """``withdrawn`` is told of leases whose attempts no longer count."""

    def __init__(self, core: ShardCore, withdrawn: Callable[[Lease], None]) -> None:
        self._core = core
        self._withdrawn = withdrawn
        self._kinds: dict[str, list[Kind]] = {}
        self._last_plan: Plan | None = None
        self._last_kinds: list[Kind] = []
        """Those of the plan that was asked for last: the next task is likely to be of the same."""
        self.pools = Pools(core)
        self.homes = Homes(core.ready, core.counters, withdrawn)
        self._spare: Turn | None = None
        """The turn that was filed last, for the next: making one costs more than most turns do."""

    def begin(self, entry: Entry, now_ms: int) -> Turn:
        """A turn of this run; `file` it afterwards, and look at it no more."""
        if not entry.events:
            self._core.touched[entry] = None
        turn = self._spare
        if turn is None:
            core = self._core
            return Turn(entry.run, entry.plan, now_ms, core.settings.partitions_total, core.random, entry.events)
        self._spare = None
        turn.run, turn.plan, turn.now_ms = entry.run, entry.plan, now_ms
        turn.events = events = entry.events
        turn.first_event = len(events)
        return turn

    def apply(self, entry: Entry, now_ms: int, command: Command) -> bool:
        """`run` for commands that must not be lost: if a defect meets one, it is applied again at the run's resume."""
        return self.run(entry, now_ms, partial(decide.apply, command=command), command)

    def run(
        self, entry: Entry, now_ms: int, command: Callable[[Turn], object], deferred: Command | None = None
    ) -> bool:
        """Run a command as a turn of its own. Rejections (WfeError) pass through, the state is as before.

        False when the run had to be quarantined; ``deferred`` is then kept for its resume.
        """
        before = len(entry.events)
        turn = self.begin(entry, now_ms)
        try:
            command(turn)
        except WfeError:
            if len(entry.events) == before:
                self._untouch(entry)
                raise
            self.recover(entry, before, now_ms, deferred)
            return False
        except Exception:  # noqa: BLE001  a defect must cost one run, not a shard
            self.recover(entry, before, now_ms, deferred)
            return False
        self.file(entry, turn)
        return True

    def _untouch(self, entry: Entry) -> None:
        if not entry.events:
            self._core.touched.pop(entry, None)

    def recover(self, entry: Entry, before: int, now_ms: int, deferred: Command | None = None) -> None:
        """A defect broke a turn: rebuild the run as of the turn's beginning and set it aside as an incident. One that
        has ended stays as it was: what met the defect came too late, or was to make it go on, and was not promised.

        This reads a snapshot on the loop; it is one run, and after a defect only.
        """
        core = self._core
        _log.exception("a defect of wfe met a run", run_id=entry.run.id)
        # Of a run's first turn its start stays: an incident without a run could not even be told.
        first = not (before or entry.chunks or entry.stored)
        kept = entry.events[: 1 if first else before]
        snapshot, blobs = None, {}
        chunks = entry.chunks
        if entry.stored:
            store = core.disk.stores[entry.partition]
            blobs = store.blobs(entry.run.id)  # before the snapshot: what a step adds in between is in memory
            found = store.snapshot(entry.run.id)
            ended = store.ended(entry.run.id) if found is None else None  # it was about to go on after its end
            snapshot = found[1] if found is not None else ended.snapshot if ended is not None else None
        blobs |= {name: bytes(data) for name, data in entry.run.blobs.items()}
        entry.run = rebuild(entry.plan, snapshot, chunks, kept, blobs)
        entry.events[:] = kept
        if entry.ended:
            self._untouch(entry)
            return
        core.counters["runs_quarantined"] += 1
        _log.error("a run is quarantined", run_id=entry.run.id)
        turn = self.begin(entry, now_ms)
        decide.quarantine(turn, "a defect of wfe: see the server's log for the run's id", deferred)
        # The defect may have met a timer, which is no longer in the heap: it waits for the run to be resumed.
        for timer, due_ms in entry.run.timers.items():
            turn.arm(due_ms, timer)
        self.file(entry, turn)

    def file(self, entry: Entry, turn: Turn) -> None:
        """File a turn's effects where they wait for the commit."""
        core = self._core
        run = entry.run
        if not entry.events:
            self._untouch(entry)
            return
        ready = turn.ready
        if ready:
            if run.status != PAUSED:
                self.enqueue(entry, ready)
                if run.trace:
                    core.traces.ready(run, ready, turn.now_ms)
            ready.clear()
        if turn.armed or turn.withdrawn or turn.mail:
            self._file_rarer(entry, turn)
        if run.status != RUNNING:
            if run.status in ENDED and _ends(turn):
                self._ended(entry)  # by this turn; others of the batch may follow
            elif run.status == PAUSED and type(turn.events[-1]) is TurnRefused and len(turn.events) > turn.first_event:
                _log.warning("a run is paused, for its function is not deterministic", run_id=run.id, why=run.incident)
        if turn.enabled or turn.nets:
            turn.clear()
        self._spare = turn

    def _file_rarer(self, entry: Entry, turn: Turn) -> None:
        core, run = self._core, entry.run
        for due_ms, timer in turn.armed:
            core.timers.arm(due_ms, run.id, timer)
        for key, _attempt in turn.withdrawn:
            lease = entry.leases.pop(key, None)
            if lease is not None:
                self._withdrawn(lease)
        for receiver, body in turn.mail:
            core.partitions[entry.partition].post(partition_of(receiver), body)
        turn.clear()

    def enqueue(self, entry: Entry, keys: list[int]) -> None:
        """Put open tasks into the ready queue."""
        plan, run, leases, unclaimed = entry.plan, entry.run, entry.leases, entry.unclaimed
        kinds = self._last_kinds if plan is self._last_plan else self.kinds(plan)
        stride = plan.stride
        core = self._core
        rank = 2 * run.priority + (1 if entry.chunks or entry.stored or run.parent else 0)  # as `rank_of` says
        push = core.ready.push
        if core.stages is not None:
            core.stages.ready(entry, keys)
        durable = run.durable is not None
        if len(keys) > 1 and not (durable or unclaimed or leases):
            first = keys[0]
            if keys == list(range(first, keys[-1] + 1, stride)):  # one node of many items
                core.ready.extend(rank, kinds[first % stride], entry, keys)
                return
        for key in keys:
            if unclaimed and unclaimed.get(key) == run.open.get(key):
                continue  # a worker may present it; what nobody presents is opened anew
            if key not in leases:
                push(rank, self.kind_of(entry, key) if durable else kinds[key % stride], entry, key)

    def kind_of(self, entry: Entry, key: int) -> Kind:
        """The queue that an open place waits in."""
        if entry.run.durable is None:
            return self.kinds(entry.plan)[key % entry.plan.stride]
        kind = self.homes.queue_of(entry, key)
        if len(kind) == 3:
            self.pools.learn(kind)
        return kind

    def kinds(self, plan: Plan) -> list[Kind]:
        """The kind of task of each node of a plan; others have a placeholder."""
        found = self._kinds.get(plan.hash)
        if found is None:
            found = self._kinds[plan.hash] = [_kind_of(node) for node in plan.nodes]
            for kind in found:
                self.pools.learn(kind, lasting=True)
        self._last_plan, self._last_kinds = plan, found
        return found

    def _ended(self, entry: Entry) -> None:
        core = self._core
        run = entry.run
        core.counters[f"runs_{run.status}"] += 1
        core.tallies.run_ended(run)
        if run.trace:
            core.traces.run_ended(run)
        core.open_runs -= 1
        core.ended.append(entry)
        self.homes.forget(entry)
        if run.id in core.watchers:
            told = outcome(run)
            for client, _ in core.watchers.take(run.id):
                core.outcomes.setdefault(client, []).append(told)


def _kind_of(node: PlanNode) -> Kind:
    if not node.task:
        return ("", 0)
    return (node.task, node.task_version) if node.needs is None else (node.task, node.task_version, node.needs)


def _ends(turn: Turn) -> bool:
    """Whether it was this turn that ended its run: mostly with its last event."""
    events = turn.events
    if len(events) > turn.first_event and type(events[-1]) is RunEnded:
        return True
    return any(type(event) is RunEnded for event in events[turn.first_event :])
