"""The auditor's books: what is durable of each run and partition, folded by rules of its own.

Independent of `core` and `partition` on purpose: it knows the events and the definition, and from them what may follow
what. Every method raises `Violation` when something happened that the semantics do not allow.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from wfe.limits import LOSSES_MAX
from wfe.model import event as ev
from wfe.model.definition import Definition, Map, Node, Sleep, Task, walk
from wfe.sim.node import Violation
from wfe.wire.messages import TaskResult

Place = tuple[int, int]
"""(node, activation)."""
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
        task = self.nodes[node]
        assert isinstance(task, Task)
        return 1 if task.retry is None else task.retry.max_attempts

    def single_task(self, node: int) -> int:
        """The position of a map's body when it is one task without a condition; -1 otherwise."""
        found = self.nodes[node]
        if not isinstance(found, Map) or len(found.do) != 1:
            return -1
        body = found.do[0]
        if isinstance(body, Task) and body.if_ is None:
            return node + 1
        return -1


class RunBook:
    """One run's durable history."""

    def __init__(self, run_id: str, shape: Shape, started: ev.RunStarted) -> None:
        self.id = run_id
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
        self.parents: dict[int, Place] = {}
        """Activation -> the map that it is an item of."""
        self.groups: dict[Place, tuple[int, int]] = {}
        self.signals: dict[str, list[tuple[str, Raw]]] = {}
        self.taken: dict[Place, Raw] = {}
        """Payloads by the node that took them."""
        self.arrived: set[str] = set()
        self.commands: set[str] = set()
        self.executed: dict[tuple[int, int, int], bytes] = {}
        """(node, activation, attempt) -> input, as workers began it."""
        self.results: dict[tuple[int, int, int], TaskResult] = {}

    def fail(self, message: str) -> Violation:
        return Violation(f"run {self.id} ({self.started.workflow}): {message}")

    def book(self, first_seq: int, time_ms: int, events: list[ev.RunEvent], awake_ms: int) -> None:
        """A durable chunk. ``awake_ms``: since when the shard could have acted, so that no timer waits for longer."""
        if first_seq != self.seq + 1:
            raise self.fail(f"events from {first_seq} on follow event {self.seq}")
        self._punctual(time_ms, awake_ms)
        self.chunks.append((time_ms, len(events)))
        for event in events:
            if self.status in ENDS:
                raise self.fail(f"{event} comes after the end")
            self.seq += 1
            self.events.append(event)
            handler = getattr(self, f"_{type(event).__name__}", None)
            if handler is not None:
                handler(event, time_ms)

    def prefix(self, seq: int, digest: int) -> RunBook:
        """The run as it was after so many events. What workers did since is no business of it."""
        twin = RunBook(self.id, self.shape, self.started)
        twin.results = dict(self.results)
        for time_ms, count in self.chunks:
            if twin.seq == seq:
                break
            twin.book(twin.seq + 1, time_ms, self.events[twin.seq : twin.seq + count], time_ms)
        assert twin.seq == seq, "cuts are between commits"
        twin.digest = digest
        return twin

    def _punctual(self, time_ms: int, awake_ms: int) -> None:
        """No timer is late (9)."""
        if self.status == "paused":
            return
        due = [due_ms for _, due_ms in self.retrying.values()]
        due += self.sleeping.values()
        if self.started.due_ms:
            due.append(self.started.due_ms)
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
            if (node, event.act) in self.opened:
                raise self.fail(f"node {node} of activation {event.act} is opened twice")
            self._open((node, event.act), 1)

    def _TaskOpenedWith(self, event: ev.TaskOpenedWith, time_ms: int) -> None:
        place = (event.node, event.act)
        if place in self.opened and not self._in_single(place):
            raise self.fail(f"node {event.node} of activation {event.act} is opened twice")
        self._open(place, 1)

    def _in_single(self, place: Place) -> bool:
        parent = self.parents.get(place[1])
        return parent is not None and self.shape.single_task(parent[0]) == place[0]

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

    def _TaskFailed(self, event: ev.TaskFailed, time_ms: int) -> None:
        place = self._closes(event.node, event.act, event.attempt)
        result = self.results.get((event.node, event.act, event.attempt))
        lost = event.error.type in ("WorkerLost", "PoisonTask", "TimedOut")
        if not lost and (result is None or result.status == 0):
            raise self.fail(f"{event} is recorded, the worker said {result}")
        failures = self.failures[place] = self.failures.get(place, 0) + 1
        limit = self.shape.attempts_max(event.node)
        if limit is not None and (failures > limit or (failures == limit and event.retry_ms)):
            raise self.fail(f"{place} has failed {failures} times, allowed are {limit} attempts")
        if event.retry_ms:
            task = self.shape.nodes[event.node]
            assert isinstance(task, Task)
            assert task.retry is not None
            if event.retry_ms - time_ms < task.retry.initial_delay_ms * (1 - task.retry.jitter) - 1:
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
            task = self.shape.nodes[event.node]
            assert isinstance(task, Task)
            if losses > LOSSES_MAX or not task.redeliver:
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
        if isinstance(self.shape.nodes[event.node], Sleep):
            due_ms = self.sleeping.pop((event.node, event.act), None)
            if due_ms is None or time_ms < due_ms:
                raise self.fail(f"a sleep until {due_ms} is over at {time_ms}")

    def _TimerExpired(self, event: ev.TimerExpired, time_ms: int) -> None:
        """It fired while the run is paused: it takes effect at the resume, however early that is by the wall clock."""
        key, kind = divmod(event.timer, 2)
        act, node = divmod(key, len(self.shape.nodes) + 1)
        place = (node, act)
        if kind == 0 and event.timer >= 0:
            if place in self.sleeping:
                due_ms, self.sleeping[place] = self.sleeping[place], 0
            elif place in self.retrying:
                attempt, due_ms = self.retrying[place]
                self.retrying[place] = (attempt, 0)
            else:
                raise self.fail(f"{event} of {place}, which does not wait")
            if time_ms < due_ms:
                raise self.fail(f"{event} at {time_ms}, due at {due_ms}")

    # ---- maps and withdrawals ---------------------------------------------------------------------------------------

    def _MapOpened(self, event: ev.MapOpened, time_ms: int) -> None:
        from msgspec.msgpack import decode

        count = len(decode(event.items))
        self.groups[event.node, event.act] = (event.base, event.base)
        for act in range(event.base, event.base + count):
            if act in self.parents:
                raise self.fail(f"activation {act} is drawn twice")
            self.parents[act] = (event.node, event.act)

    def _ItemsOpened(self, event: ev.ItemsOpened, time_ms: int) -> None:
        base, first = self.groups[event.node, event.act]
        self.groups[event.node, event.act] = (base, base + event.upto)
        body = self.shape.single_task(event.node)
        if body >= 0:
            for act in range(first, base + event.upto):
                self._open((body, act), 1)

    def _FaultCaught(self, event: ev.FaultCaught, time_ms: int) -> None:
        self._withdraw(event.node + 1, self.shape.stop[event.node], event.act)

    def _ItemFailed(self, event: ev.ItemFailed, time_ms: int) -> None:
        base = self.groups[event.node, event.act][0]
        self._withdraw(event.node + 1, self.shape.stop[event.node], base + event.index)

    def _withdraw(self, first: int, stop: int, act: int) -> None:
        for table in (self.open, self.retrying, self.sleeping):
            for place in [p for p in table if self._inside(p, first, stop, act)]:
                del table[place]

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
        self.status, self.output, self.error = event.status, event.output, event.error
        self.open.clear()

    # ---- the outside ------------------------------------------------------------------------------------------------

    def _SignalArrived(self, event: ev.SignalArrived, time_ms: int) -> None:
        if event.event_id in self.arrived:
            raise self.fail(f"signal {event.event_id} counts twice")
        self.arrived.add(event.event_id)
        self.signals.setdefault(event.name, []).append((event.event_id, event.payload))

    def _SignalTaken(self, event: ev.SignalTaken, time_ms: int) -> None:
        wait: Any = self.shape.nodes[event.node]
        if not self.signals.get(wait.signal):
            raise self.fail(f"{event} takes a signal that never came")
        self.taken[event.node, event.act] = self.signals[wait.signal].pop(0)[1]

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


class PartitionBook:
    """One partition's durable record: its mail and its keys."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seq = 0
        self.epoch = 0
        self.sent: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        self.settled: dict[int, int] = {}
        self.letters: dict[tuple[int, int], Raw] = {}
        self.keys: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.definitions: dict[str, bytes] = {}

    def twin(self) -> PartitionBook:
        """A copy that goes on by itself."""
        other = PartitionBook(self.number)
        other.seq, other.epoch = self.seq, self.epoch
        other.sent, other.taken, other.settled = dict(self.sent), dict(self.taken), dict(self.settled)
        other.letters, other.keys = dict(self.letters), dict(self.keys)
        other.definitions = dict(self.definitions)
        return other

    def book(self, first_seq: int, events: list[ev.PartitionEvent], others: dict[int, PartitionBook]) -> None:
        """A durable chunk."""
        if first_seq != self.seq + 1:
            raise Violation(f"partition {self.number}: events from {first_seq} on follow event {self.seq}")
        self.seq += len(events)
        for event in events:
            match event:
                case ev.MailSent(receiver, seq, body):
                    self._next(self.sent, receiver, seq, "sends")
                    self.letters[receiver, seq] = body
                case ev.MailTaken(sender, seq):
                    self._next(self.taken, sender, seq, "takes")
                    if seq > others[sender].sent.get(self.number, 0):
                        raise Violation(f"partition {self.number} takes letter {seq} that {sender} never sent durably")
                case ev.MailSettled(receiver, seq):
                    if seq > others[receiver].taken.get(self.number, 0):
                        raise Violation(f"partition {self.number} forgets letter {seq}, which {receiver} has not taken")
                    self.settled[receiver] = seq
                case ev.KeyBound(_, workflow, key, run_id, digest):
                    if (workflow, key) in self.keys:
                        raise Violation(f"key {key} of {workflow} is bound twice: {self.keys[workflow, key]}, {run_id}")
                    self.keys[workflow, key] = (run_id, digest)
                case ev.DefinitionStored(digest_hex, _, body):
                    self.definitions[digest_hex] = body

    def _next(self, numbers: dict[int, int], peer: int, seq: int, what: str) -> None:
        if seq != numbers.get(peer, 0) + 1:
            raise Violation(f"partition {self.number} {what} letter {seq} of {peer} after {numbers.get(peer, 0)}")
        numbers[peer] = seq
