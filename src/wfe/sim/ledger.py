"""The auditor's books: what is durable of each run and partition, folded by rules of its own.

Independent of `core` and `partition` on purpose: it knows the events and the definition, and from them what may follow
what. Every method raises `Violation` when something happened that the semantics do not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Raw
from msgspec.msgpack import decode

from wfe.limits import LOSSES_MAX
from wfe.model import event as ev
from wfe.model.definition import Definition, DurableCall, Map, Node, Sleep, SubWorkflow, Task, WaitSignal, walk
from wfe.model.event_rounds import NodeSkipped, RunRestored
from wfe.model.policy import RetryPolicy
from wfe.sim import rounds
from wfe.sim.contents import Contents
from wfe.sim.durable import RETRY
from wfe.sim.ledger_durable import DurableBook
from wfe.sim.ledger_kinds import LOST, Place
from wfe.sim.node import Violation

LATE_MAX_MS = 1_000
"""A timer has its effect within this time of being due, or of the shard being able to act."""
ENDS = ("completed", "failed", "cancelled")


class Shape:
    """A definition as the ledger sees it: nodes by position, and where each one's subtree stops."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.nodes: list[Node] = list(walk(definition.nodes))
        self.position = {node.id: index for index, node in enumerate(self.nodes)}
        self.stop = [index + sum(1 for _ in walk((node,))) for index, node in enumerate(self.nodes)]

    def attempts_max(self, node: int) -> int | None:
        retry = self.retry(node)
        return 1 if retry is None else retry.max_attempts

    def retry(self, node: int) -> RetryPolicy | None:
        """How the attempts of a node that a worker does are repeated."""
        work: Any = self.nodes[node]
        if isinstance(work, DurableCall):
            return RETRY
        return work.retry  # type: ignore[no-any-return]

    def loses(self, signal: str) -> bool:
        """Whether a signal of this name is lost when nobody waits for it."""
        return any(isinstance(node, WaitSignal) and node.signal == signal for node in self.nodes)

    def single_task(self, node: int) -> int:
        """The position of a map's body when it is one task without a condition; -1 otherwise."""
        found = self.nodes[node]
        if not isinstance(found, Map) or len(found.do) != 1 or found.output is not UNSET:
            return -1
        body = found.do[0]
        if isinstance(body, Task) and body.if_ is None:
            return node + 1
        return -1


class RunBook(DurableBook):
    """One run's durable history."""

    def __init__(
        self, run_id: str, shape: Shape, started: ev.RunStarted, others: Mapping[str, RunBook] | None = None
    ) -> None:
        super().__init__()
        self.id = run_id
        self.others: Mapping[str, RunBook] = others or {}
        """All runs, for the origins of forks."""
        self.failed: dict[int, frozenset[Place]] = {}
        """Number of an event with which the run was retried -> the places that had failed."""
        self.ends: list[ev.RunEnded] = []
        """How it ended; more than once if it was retried."""
        self.due_ms = started.due_ms
        self.shape = shape
        self.started = started
        self.seq = 0
        self.chunks: list[tuple[int, int]] = []
        """(time_ms, events) of each commit."""
        self.digest = 0
        """Of the state after the newest durable event."""
        self.events: list[ev.RunEvent] = []
        self.status = "running"
        self.output: Raw | None = None
        self.error: Any = None
        self.open: dict[Place, int] = {}
        self.opened: dict[Place, int] = {}
        """The highest attempt that was ever opened, by place."""
        self.retrying: dict[Place, tuple[int, int]] = {}
        self.failures: dict[Place, int] = {}
        self.losses: dict[Place, int] = {}
        self.sleeping: dict[Place, int] = {}
        self.resumed_ms = 0
        self.bases = {}
        self.upto: dict[Place, int] = {}
        """Place of a map -> how many of its items have begun."""
        self.items_ended: dict[Place, int] = {}
        self.commands: set[str] = set()
        self.contents = Contents()
        self.executed: dict[tuple[int, int, int], bytes] = {}
        """(node, activation, attempt) -> input, as workers began it."""

    def fail(self, message: str) -> Violation:
        return Violation(f"run {self.id} ({self.started.workflow}): {message}")

    def book(self, first_seq: int, time_ms: int, events: list[ev.RunEvent], awake_ms: int) -> None:
        """A durable chunk. ``awake_ms``: since when the shard could have acted, so that no timer waits for longer."""
        if first_seq != self.seq + 1:
            raise self.fail(f"events from {first_seq} on follow event {self.seq}")
        self._punctual(time_ms, awake_ms)
        self.chunks.append((time_ms, len(events)))
        for event in events:
            if self.status in ENDS and not isinstance(event, RunRestored):
                raise self.fail(f"{event} comes after the end")
            event = self.contents.whole(event)
            self.seq += 1
            self.events.append(event)
            handler = getattr(self, f"_{type(event).__name__}", None)
            if handler is not None:
                handler(event, time_ms)

    def prefix(self, seq: int, digest: int) -> RunBook:
        """The run as it was after so many events. What workers did since is no business of it."""
        twin = RunBook(self.id, self.shape, self.started, self.others)
        twin.results = dict(self.results)
        twin.contents = self.contents.copy()
        for time_ms, count in self.chunks:
            if twin.seq == seq:
                break
            twin.book(twin.seq + 1, time_ms, self.events[twin.seq : twin.seq + count], time_ms)
        assert twin.seq == seq, "cuts are between commits"
        twin.digest = digest
        return twin

    def _punctual(self, time_ms: int, awake_ms: int) -> None:
        """No timer is late (9). A run that has ended has none, until somebody retries it."""
        if self.status == "paused" or self.status in ENDS:
            return
        due = [due_ms for _, due_ms in self.retrying.values()]
        for table in (self.sleeping, self.deadlines, self.escalations, self.boundaries):
            due += table.values()
        if self.due_ms and not self.ending:
            due.append(self.due_ms)
        if due and time_ms - max(min(due), awake_ms, self.resumed_ms) > LATE_MAX_MS:
            raise self.fail(
                f"at {time_ms} what was due at {min(due)} has not happened; the shard acts since {awake_ms}"
            )

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def _open(self, place: Place, attempt: int) -> None:
        self.open[place] = attempt
        self.opened[place] = max(attempt, self.opened.get(place, 0))

    def _TasksOpened(self, event: ev.TasksOpened, time_ms: int) -> None:
        for node in event.nodes:
            self._open_first((node, event.act))

    def _open_first(self, place: Place) -> None:
        """A firing of a net opens its task, unless an expression has to be evaluated for it: an event may follow."""
        if place in self.opened and place not in self.fired and not self._in_single(place):
            raise self.fail(f"node {place[0]} of activation {place[1]} is opened twice")
        self.fired.discard(place)
        self._open(place, 1)

    def _TaskOpenedWith(self, event: ev.TaskOpenedWith, time_ms: int) -> None:
        self._open_first((event.node, event.act))

    def _in_single(self, place: Place) -> bool:
        return self._single_of(place) is not None

    def _single_of(self, place: Place) -> Place | None:
        """The map of which a place is an item by itself."""
        parent = self.parents.get(place[1])
        return parent if parent is not None and self.shape.single_task(parent[0]) == place[0] else None

    def _closes(self, node: int, act: int, attempt: int) -> Place:
        place = (node, act)
        if self.open.get(place) != attempt:
            raise self.fail(f"attempt {attempt} of {place} ends, open is {self.open.get(place)}")
        del self.open[place]
        return place

    def _TaskDone(self, event: ev.TaskDone, time_ms: int) -> None:
        self._closes(event.node, event.act, event.attempt)
        result = self.results.get((event.node, event.act, event.attempt))
        if result is None or result.status != 0 or bytes(result.value) != bytes(event.value):
            raise self.fail(f"{event} is recorded, the worker said {result}")
        group = self._single_of((event.node, event.act))
        if group is not None:
            self._item_ends(group)

    def _TaskFailed(self, event: ev.TaskFailed, time_ms: int) -> None:
        place = self._closes(event.node, event.act, event.attempt)
        result = self.results.get((event.node, event.act, event.attempt))
        if event.error.type not in LOST and (result is None or result.status == 0):
            raise self.fail(f"{event} is recorded, the worker said {result}")
        failures = self.failures[place] = self.failures.get(place, 0) + 1
        limit = self.shape.attempts_max(event.node)
        if limit is not None and (failures > limit or (failures == limit and event.retry_ms)):
            raise self.fail(f"{place} has failed {failures} times, allowed are {limit} attempts")
        if event.retry_ms:
            retry = self.shape.retry(event.node)
            assert retry is not None
            if event.retry_ms - time_ms < retry.initial_delay_ms * (1 - retry.jitter) - 1:
                raise self.fail(f"{event} at {time_ms}: the delay is too short")
            self.retrying[place] = (event.attempt + 1, event.retry_ms)

    def _TaskReopened(self, event: ev.TaskReopened, time_ms: int) -> None:
        place = (event.node, event.act)
        if place in self.retrying:
            attempt, due_ms = self.retrying.pop(place)
            if event.attempt != attempt or time_ms < due_ms:
                raise self.fail(f"{event} at {time_ms}, expected attempt {attempt} at {due_ms}")
        elif self.open.get(place) != event.attempt - 1:
            raise self.fail(f"{event}, open is {self.open.get(place)}")
        if event.lost:
            losses = self.losses[place] = self.losses.get(place, 0) + 1
            if losses > LOSSES_MAX or not getattr(self.shape.nodes[event.node], "redeliver", True):
                raise self.fail(f"{place} is given out again after {losses} losses")
        self._open(place, event.attempt)

    # ---- time -------------------------------------------------------------------------------------------------------

    def _SleepOpened(self, event: ev.SleepOpened, time_ms: int) -> None:
        sleep = self.shape.nodes[event.node]
        assert isinstance(sleep, Sleep)
        if sleep.duration_ms is not None and event.due_ms != time_ms + sleep.duration_ms:
            raise self.fail(f"{event} at {time_ms}, it is to take {sleep.duration_ms} ms")
        self.sleeping[event.node, event.act] = event.due_ms

    def _NodeDone(self, event: ev.NodeDone, time_ms: int) -> None:
        node, place = self.shape.nodes[event.node], (event.node, event.act)
        if isinstance(node, Sleep):
            self._not_early(self.sleeping.pop(place, None), time_ms, event)
        elif isinstance(node, WaitSignal):
            self._not_early(self.deadlines.get(place), time_ms, event)
        self._decided(place, event.value)
        self._place_ends(place)

    def _FaultRaised(self, event: ev.FaultRaised, time_ms: int) -> None:
        place = (event.node, event.act)
        if event.error.type == "TimedOut" and place in self.awaited:
            self._not_early(self.deadlines.get(place), time_ms, event)
        self._net_fails(place, event.error.type)
        self._place_ends(place)

    def _ChildOpened(self, event: ev.ChildOpened, time_ms: int) -> None:
        call = self.shape.nodes[event.node]
        limit_ms = call.timeout_ms if isinstance(call, SubWorkflow) else None
        if event.due_ms != (0 if limit_ms is None else time_ms + limit_ms):
            raise self.fail(f"{event} at {time_ms}, it may take {limit_ms} ms")
        if event.due_ms:
            self.deadlines[event.node, event.act] = event.due_ms

    def _TimerExpired(self, event: ev.TimerExpired, time_ms: int) -> None:
        """It fired while the run is paused: it takes effect at the resume, however early that is by the wall clock."""
        if event.timer < 0:
            return
        key, kind = divmod(event.timer, 2)
        act, node = divmod(key, len(self.shape.nodes) + 1)
        place = (node, act)
        if kind == 0 and place in self.retrying:
            attempt, due_ms = self.retrying[place]
            self.retrying[place] = (attempt, 0)
        elif kind == 0 and place in self.loops:
            return  # it took enough of a turn
        else:
            tables = (self.sleeping, self.escalations) if kind == 0 else (self.deadlines, self.boundaries)
            table = next((table for table in tables if place in table), None)
            if table is None:
                raise self.fail(f"{event} of {place}, which does not wait")
            due_ms, table[place] = table[place], 0
        if time_ms < due_ms:
            raise self.fail(f"{event} at {time_ms}, due at {due_ms}")

    # ---- maps and withdrawals ---------------------------------------------------------------------------------------

    def _MapOpened(self, event: ev.MapOpened, time_ms: int) -> None:
        place, count = (event.node, event.act), len(decode(event.items))
        self.bases[place] = (event.base, count)
        self.upto[place] = self.items_ended[place] = 0
        for act in range(event.base, event.base + count):
            self._inside_of(place, act)
        node = self.shape.nodes[event.node]
        assert isinstance(node, Map)
        if node.grow is not None:
            self.awaited[place] = (node.grow, "")

    def _ItemsOpened(self, event: ev.ItemsOpened, time_ms: int) -> None:
        place, node = (event.node, event.act), self.shape.nodes[event.node]
        assert isinstance(node, Map)
        base, count = self.bases[place]
        first, self.upto[place] = self.upto[place], event.upto
        if event.upto > min(count, self.items_ended[place] + node.max_parallel):
            raise self.fail(f"{event}: {count} items, {self.items_ended[place]} have ended")
        body = self.shape.single_task(event.node)
        if body >= 0:
            for act in range(base + first, base + event.upto):
                self._open((body, act), 1)

    def _item_ends(self, place: Place) -> None:
        self.items_ended[place] += 1

    def _ItemDone(self, event: ev.ItemDone, time_ms: int) -> None:
        self._item_ends((event.node, event.act))

    def _FaultCaught(self, event: ev.FaultCaught, time_ms: int) -> None:
        self._withdraw(event.node + 1, self.shape.stop[event.node], event.act)

    def _ItemFailed(self, event: ev.ItemFailed, time_ms: int) -> None:
        place = (event.node, event.act)
        self._item_ends(place)
        self._withdraw(event.node + 1, self.shape.stop[event.node], self.bases[place][0] + event.index)

    def _withdraw(self, first: int, stop: int, act: int) -> None:
        tables: tuple[dict[Place, Any], ...] = (self.open, self.retrying, self.sleeping, *self.tables())
        for table in tables:
            for place in [p for p in table if p != self.handler and self._inside(p, first, stop, act)]:
                del table[place]
        self.granted &= self.asked.keys()

    def _inside(self, place: Place, first: int, stop: int, act: int) -> bool:
        node, own = place
        while own != act:
            parent = self.parents.get(own)
            if parent is None:
                return False
            node, own = parent
        return first <= node < stop

    def _RunEnded(self, event: ev.RunEnded, time_ms: int) -> None:
        if event.status not in ENDS:
            raise self.fail(f"ends as {event.status}")
        if self.ending not in ("", event.status) and event.status != "cancelled":
            raise self.fail(f"ends as {event.status}, it compensated to be {self.ending}")
        self.status, self.output, self.error = event.status, event.output, event.error
        self.ends.append(event)
        for table in (self.open, *self.tables()):
            table.clear()
        self.granted.clear()

    def _RunRestored(self, event: RunRestored, time_ms: int) -> None:
        if not event.origin and self.status != "failed":
            raise self.fail(f"is retried, it is {self.status}")
        rounds.restored(self, event, time_ms)

    def _NodeSkipped(self, event: NodeSkipped, time_ms: int) -> None:
        rounds.skipped(self, event)

    # ---- the outside ------------------------------------------------------------------------------------------------

    def _CommandApplied(self, event: ev.CommandApplied, time_ms: int) -> None:
        if event.command_id in self.commands:
            raise self.fail(f"command {event.command_id} counts twice")
        self.commands.add(event.command_id)

    def _RunPaused(self, event: ev.RunPaused, time_ms: int) -> None:
        self.status = "paused"

    def _RunResumed(self, event: ev.RunResumed, time_ms: int) -> None:
        self.status = "running"
        self.resumed_ms = time_ms

    def _RunQuarantined(self, event: ev.RunQuarantined, time_ms: int) -> None:
        raise self.fail(f"quarantined: {event.message}")
