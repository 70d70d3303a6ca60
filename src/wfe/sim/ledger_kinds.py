"""The books of waits, approvals, loops, races, locks, growing maps and compensation: part of `ledger`, see its rules.

`KindBook` is the base of `RunBook`: it books events of `event_kinds` and of signals. A method named as an event takes
it when it is durable.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.msgpack import decode

from wfe.model import event as ev
from wfe.model import event_kinds as kinds
from wfe.model.definition import Approval, Lock, Loop, Map, WaitSignal
from wfe.sim.expressions import template
from wfe.sim.kinds_outside import TRANSIENT

if TYPE_CHECKING:
    from wfe.sim.ledger import Shape
    from wfe.sim.node import Violation
    from wfe.wire.messages import TaskResult

Place = tuple[int, int]
"""(node, activation)."""
Channel = tuple[str, str]
"""(name of a signal, correlation)."""
LOST = ("WorkerLost", "PoisonTask", "TimedOut")
"""Failures of attempts of which no worker need have told."""


class KindBook:
    """What is open of a run, by place."""

    id: str
    shape: Shape
    started: ev.RunStarted
    status: str
    events: list[ev.RunEvent]

    def __init__(self) -> None:
        self.awaited: dict[Place, Channel] = {}
        """What waits for which signal."""
        self.deadlines: dict[Place, int] = {}
        """Place -> when its waiting is over; 0: it was while the run is paused."""
        self.escalations: dict[Place, int] = {}
        self.levels: dict[Place, int] = {}
        self.signals: dict[Channel, list[tuple[str, Raw]]] = {}
        self.taken: dict[Place, Raw] = {}
        """Payloads by the node that took them."""
        self.arrived: set[str] = set()
        self.grown: dict[Place, list[Any]] = {}
        self.loops: dict[Place, list[int]] = {}
        """Place -> activations of its iterations; one that has ended is negative."""
        self.asked: dict[Place, str] = {}
        """Lock blocks that hold or want their locks, in order; the name of a lock that all runs share."""
        self.granted: set[Place] = set()
        self.shared_by: dict[Place, str] = {}
        """Lock blocks that ever wanted a lock that all runs share."""
        self.registered: list[Place] = []
        self.called: set[Place] = set()
        self.callable = 0
        """How many of those that were registered may be called now."""
        self.compensates: dict[Place, int] = {}
        """Places that wait until what was registered has been called."""
        self.handler: Place | None = None
        self.ending = ""
        """How the run will end when all handlers have been called."""
        self.parents: dict[int, Place] = {}
        """Activation -> the map, loop or net that it is in."""
        self.results: dict[tuple[int, int, int], TaskResult] = {}

    def fail(self, message: str) -> Violation:
        raise NotImplementedError

    def _withdraw(self, first: int, stop: int, act: int) -> None:
        raise NotImplementedError

    def _open(self, place: Place, attempt: int) -> None:
        raise NotImplementedError

    def _closes(self, node: int, act: int, attempt: int) -> Place:
        raise NotImplementedError

    def tables(self) -> tuple[dict[Place, Any], ...]:
        """What is open, by place, of the kinds that are booked here."""
        return (self.awaited, self.deadlines, self.escalations, self.levels, self.loops, self.asked, self.compensates)

    def _place_ends(self, place: Place) -> None:
        for table in self.tables():
            table.pop(place, None)
        self.granted.discard(place)

    def _not_early(self, due_ms: int | None, time_ms: int, what: object) -> None:
        if due_ms is None or time_ms < due_ms:
            raise self.fail(f"{what} at {time_ms}, due at {due_ms}")

    # ---- signals ----------------------------------------------------------------------------------------------------

    def _SignalAwaited(self, event: ev.SignalAwaited, time_ms: int) -> None:
        wait = self.shape.nodes[event.node]
        assert isinstance(wait, WaitSignal)
        if event.due_ms != (0 if wait.timeout_ms is None else max(time_ms + wait.timeout_ms, 1)):
            raise self.fail(f"{event} at {time_ms}, it may take {wait.timeout_ms} ms")
        place = (event.node, event.act)
        correlation = "" if wait.correlate is None else str(template(wait.correlate, self._env()))
        if event.correlation != correlation:
            raise self.fail(f"{event}, it correlates with {correlation!r}")
        self.awaited[place] = (wait.signal, correlation)
        if event.due_ms:
            self.deadlines[place] = event.due_ms

    def _env(self) -> dict[str, Any]:
        return {"n": decode(self.started.input)}

    def _SignalArrived(self, event: ev.SignalArrived, time_ms: int) -> None:
        self._arrives(event.event_id)
        transient = event.name == TRANSIENT and self.status != "paused" and self.shape.loses(TRANSIENT)
        if transient and (event.name, event.correlation) not in self.awaited.values():
            raise self.fail(f"{event} is kept, though nobody waits for it")
        self.signals.setdefault((event.name, event.correlation), []).append((event.event_id, event.payload))

    def _arrives(self, event_id: str) -> None:
        if event_id in self.arrived:
            raise self.fail(f"signal {event_id} counts twice")
        self.arrived.add(event_id)

    def _SignalTaken(self, event: ev.SignalTaken, time_ms: int) -> None:
        wait: Any = self.shape.nodes[event.node]
        place = (event.node, event.act)
        if self.awaited.get(place, (wait.signal, event.correlation)) != (wait.signal, event.correlation):
            raise self.fail(f"{event} takes what it does not wait for: {self.awaited[place]}")
        self._takes(place, (wait.signal, event.correlation), event)
        self._place_ends(place)

    def _takes(self, place: Place, channel: Channel, event: object) -> Raw:
        """The oldest of its channel."""
        if not self.signals.get(channel):
            raise self.fail(f"{event} takes a signal that never came")
        self.taken[place] = payload = self.signals[channel].pop(0)[1]
        return payload

    def _SignalLost(self, event: kinds.SignalLost, time_ms: int) -> None:
        self._arrives(event.event_id)
        if event.name != TRANSIENT or (event.name, event.correlation) in self.awaited.values():
            raise self.fail(f"{event}, though somebody could take it: {self.awaited}")

    def _SignalsDropped(self, event: kinds.SignalsDropped, time_ms: int) -> None:
        name, _, correlation = event.channel.partition("\x1f")
        if name != TRANSIENT or not self.signals.pop((name, correlation), None):
            raise self.fail(f"{event} drops what is to be kept, or is not there")

    # ---- approvals --------------------------------------------------------------------------------------------------

    def _ApprovalAsked(self, event: kinds.ApprovalAsked, time_ms: int) -> None:
        place, approval = (event.node, event.act), self._approval(event.node)
        self.awaited[place] = (approval.approval, "")
        self.levels[place] = 0
        if approval.timeout_ms is not None:
            self.deadlines[place] = time_ms + approval.timeout_ms
        if approval.escalate:
            self.escalations[place] = time_ms + approval.escalate[0].after_ms

    def _approval(self, node: int) -> Approval:
        approval = self.shape.nodes[node]
        assert isinstance(approval, Approval)
        return approval

    def _ApprovalEscalated(self, event: kinds.ApprovalEscalated, time_ms: int) -> None:
        place, levels = (event.node, event.act), self._approval(event.node).escalate
        self._not_early(self.escalations.pop(place, None), time_ms, event)
        level = self.levels[place]
        if event.level != level + 1 or decode(event.to) != template(levels[level].to, self._env()):
            raise self.fail(f"{event} after level {level}")
        self.levels[place] = event.level
        if event.level < len(levels):
            self.escalations[place] = time_ms + levels[event.level].after_ms

    def _ApprovalDecided(self, event: kinds.ApprovalDecided, time_ms: int) -> None:
        place, approval = (event.node, event.act), self._approval(event.node)
        if place not in self.awaited:
            raise self.fail(f"{event} of an approval that is not open")
        if event.taken:
            self._takes(place, (approval.approval, ""), event)
        elif event.error is None or not isinstance(self.events[-2], ev.CommandApplied):  # else it was skipped
            self._not_early(self.deadlines.get(place), time_ms, event)
        self._place_ends(place)

    # ---- loops and races --------------------------------------------------------------------------------------------

    def _LoopOpened(self, event: kinds.LoopOpened, time_ms: int) -> None:
        place = (event.node, event.act)
        if place in self.loops:
            raise self.fail(f"loop {place} begins twice")
        self.loops[place] = []

    def _IterationOpened(self, event: kinds.IterationOpened, time_ms: int) -> None:
        place = (event.node, event.act)
        loop, begun = self.shape.nodes[event.node], self.loops[place]
        assert isinstance(loop, Loop)
        if begun and begun[-1] >= 0:
            raise self.fail(f"{event} begins before iteration {len(begun) - 1} has ended")
        if loop.max_iterations is not None and len(begun) >= loop.max_iterations:
            raise self.fail(f"{event} is iteration {len(begun)}, the limit is {loop.max_iterations}")
        begun.append(event.inner)
        self._inside_of(place, event.inner)

    def _inside_of(self, place: Place, act: int) -> None:
        if act in self.parents:
            raise self.fail(f"activation {act} is drawn twice")
        self.parents[act] = place

    def _IterationDone(self, event: kinds.IterationDone, time_ms: int) -> None:
        begun = self.loops[event.node, event.act]
        if not begun or begun[-1] < 0:
            raise self.fail(f"{event} ends an iteration that is not open")
        begun[-1] = -1 - begun[-1]

    def _LoopDone(self, event: kinds.LoopDone, time_ms: int) -> None:
        if (event.node, event.act) not in self.loops:
            raise self.fail(f"{event} ends a loop that is not open")
        self._withdraw(event.node, self.shape.stop[event.node], event.act)

    def _RaceWon(self, event: kinds.RaceWon, time_ms: int) -> None:
        self._withdraw(event.node + 1, self.shape.stop[event.node], event.act)

    # ---- maps -------------------------------------------------------------------------------------------------------

    def _MapGrown(self, event: kinds.MapGrown, time_ms: int) -> None:
        place = (event.node, event.act)
        node = self.shape.nodes[event.node]
        assert isinstance(node, Map)
        brought = decode(self._takes(place, (node.grow or "", ""), event))
        if event.closed != (brought is None):
            raise self.fail(f"{event}, the signal brings {brought}")
        if event.closed:
            self.awaited.pop(place)
            return
        known = self.grown.setdefault(place, [])
        base, count = self.bases[place]
        for act in range(base + count, base + count + len(brought)):
            self._inside_of(place, act)
        self.bases[place] = (base, count + len(brought))
        known += brought

    bases: dict[Place, tuple[int, int]]
    """Place of a map -> activation of item 0, and how many items it has."""

    def _MapLeft(self, event: kinds.MapLeft, time_ms: int) -> None:
        node = self.shape.nodes[event.node]
        assert isinstance(node, Map)
        if node.rest == "cancel":
            self._withdraw(event.node, self.shape.stop[event.node], event.act)

    # ---- locks ------------------------------------------------------------------------------------------------------

    def _LockAsked(self, event: kinds.LockAsked, time_ms: int) -> None:
        self.asked[event.node, event.act] = event.shared
        if event.shared:
            self.shared_by[event.node, event.act] = event.shared

    def _LockGranted(self, event: kinds.LockGranted, time_ms: int) -> None:
        place = (event.node, event.act)
        if place not in self.asked or place in self.granted:
            raise self.fail(f"{event} of a lock that is not wanted")
        if not self.asked[place]:
            self._check_own(place)
        self.granted.add(place)

    def _check_own(self, place: Place) -> None:
        """All or none, first come first served."""
        free = Counter(self.shape.definition.locks)
        for held in self.granted:
            if not self.asked[held]:
                free.subtract(self._lock_names(held))
        wanted = self._lock_names(place)
        if any(free[name] < 1 for name in wanted):
            raise self.fail(f"{place} takes {wanted}, free are {dict(free)}")
        for earlier in self.asked:
            if earlier == place:
                return
            if earlier not in self.granted and not self.asked[earlier] and set(wanted) & set(self._lock_names(earlier)):
                raise self.fail(f"{place} takes {wanted} before {earlier}, which came first")

    def _lock_names(self, place: Place) -> tuple[str, ...]:
        lock = self.shape.nodes[place[0]]
        assert isinstance(lock, Lock)
        return lock.names

    # ---- compensation -----------------------------------------------------------------------------------------------

    def _CompensationRegistered(self, event: kinds.CompensationRegistered, time_ms: int) -> None:
        self.registered.append((event.node, event.act))

    def _CompensateOpened(self, event: kinds.CompensateOpened, time_ms: int) -> None:
        self.compensates[event.node, event.act] = time_ms
        self.callable = len(self.registered)

    def _CompensationBegan(self, event: kinds.CompensationBegan, time_ms: int) -> None:
        if self.ending:
            raise self.fail(f"{event}: it compensates already, to be {self.ending}")
        self.callable = len(self.registered)
        self.ending = event.status
        self._withdraw(0, len(self.shape.nodes), 0)

    def uncalled(self) -> list[Place]:
        """Handlers that may be called now and were not, in the order in which they were registered."""
        return [place for place in self.registered[: self.callable] if place not in self.called]

    @property
    def registered_uncalled(self) -> list[Place]:
        """All handlers that were never called."""
        return [place for place in self.registered if place not in self.called]

    def _CompensationOpened(self, event: kinds.CompensationOpened, time_ms: int) -> None:
        place, todo = (event.node, event.act), self.uncalled()
        if self.handler is not None or not todo or todo[-1] != place:
            raise self.fail(f"{event}, the next to be called are {todo[-2:]}, one is called: {self.handler}")
        self.called.add(place)
        self.handler = place
        self._open(place, 1)

    def _CompensationDone(self, event: kinds.CompensationDone, time_ms: int) -> None:
        if self.handler != self._closes(event.node, event.act, event.attempt):
            raise self.fail(f"{event}, {self.handler} is called")
        result = self.results.get((event.node, event.act, event.attempt))
        if event.error is None and (result is None or result.status != 0):
            raise self.fail(f"{event} is recorded, the worker said {result}")
        if event.error is not None and event.error.type not in LOST and (result is None or result.status == 0):
            raise self.fail(f"{event} is recorded, the worker said {result}")
        self.handler = None

    def _CompensationEnded(self, event: kinds.CompensationEnded, time_ms: int) -> None:
        if self.handler is not None or (self.compensates and self.uncalled()):
            raise self.fail(f"compensation ends, {self.uncalled()} have not been called")
        self.compensates.clear()
