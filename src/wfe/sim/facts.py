"""What chance decided in a run, by place, out of its history; and what an interpreter says became of some nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.msgpack import decode

from wfe.model import event as ev
from wfe.model import event_kinds as kinds
from wfe.model import event_nets as ev_nets
from wfe.model.event_rounds import NodeSkipped
from wfe.sim.ledger import RunBook
from wfe.sim.ledger_kinds import Place
from wfe.sim.rounds import counting


@dataclass(slots=True)
class Walked:
    """What became of some nodes. ``stuck``: some were withdrawn or never begun. ``faults``: types that may leave.
    ``ends``: values that the run may end with. ``breaks``: the innermost loop around them may have been ended;
    ``may_break``: it may, by what nobody waits for."""

    stuck: bool = False
    faults: list[str] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)
    breaks: bool = False
    may_break: bool = False

    def take(self, other: Walked) -> None:
        self.stuck = self.stuck or other.stuck
        self.faults += other.faults
        self.ends += other.ends
        self.breaks = self.breaks or other.breaks
        self.may_break = self.may_break or other.may_break

    @property
    def done(self) -> bool:
        return not (self.stuck or self.faults or self.ends or self.breaks)


class Facts:
    """One run's. ``order``: the number of the event with which a place ended."""

    def __init__(self, book: RunBook) -> None:
        self.tasks: dict[Place, Any] = {}
        self.nodes: dict[Place, Any] = {}
        self.faults: dict[Place, str] = {}
        self.arms: dict[Place, int] = {}
        self.caught: dict[Place, Any] = {}
        self.items: dict[Place, dict[int, Any]] = {}
        self.items_done: dict[Place, dict[int, int]] = {}
        """Index -> number of the event."""
        self.bases: dict[Place, int] = {}
        self.grown = book.grown
        self.left: dict[Place, int] = {}
        self.children: dict[Place, str] = {}
        self.bypassed: set[Place] = set()
        self.executed: dict[Place, list[bytes]] = {}
        """Inputs of the attempts that ran."""
        self.iterations: dict[Place, list[int]] = {}
        self.loops_over: set[Place] = set()
        self.contenders: dict[Place, tuple[int, ...]] = {}
        self.winners: dict[Place, int] = {}
        self.assigned: dict[Place, Any] = {}
        self.emitted: dict[Place, tuple[str, Any]] = {}
        self.decided: dict[Place, tuple[Any, Any]] = {}
        self.granted: set[Place] = set()
        self.registered: dict[Place, Any] = {}
        self.compensated: set[Place] = set()
        self._compensating: list[Place] = []
        self.firings: dict[Place, list[tuple[int, int]]] = {}
        """(node, activation), as they began."""
        self.fired: dict[Place, int] = {}
        """Node and activation around it -> activation of its last firing, where a block is a net."""
        self.left_net: dict[int, str] = {}
        """Firing -> how it left its net: ``ok``, or the type of its error."""
        self.nets_over: set[Place] = set()
        self.order: dict[Place, int] = {}
        self.signals = book.taken
        self.skipped: dict[Place, Any] = {}
        """What people said that a node came to."""
        self.refused: set[Place] = set()
        """Approvals that people skipped with a refusal."""
        before: ev.RunEvent = book.started
        for number, (_, event, *_) in enumerate(counting(book, book.seq)):
            self._take(event, number)
            if isinstance(event, kinds.ApprovalDecided):
                refused = event.error is not None and isinstance(before, ev.CommandApplied)
                (self.refused.add if refused else self.refused.discard)((event.node, event.act))
            before = event
        for (node, act, _), data in book.executed.items():
            self.executed.setdefault((node, act), []).append(data)

    def _take(self, event: ev.RunEvent, number: int) -> None:
        match event:
            case ev.TaskDone(node, act, _, value):
                self.tasks[node, act] = decode(value)
                self.order[node, act] = number
            case ev.TaskFailed(node, act, _, error, retry_ms):
                if not retry_ms:
                    self.faults[node, act] = error.type
            case ev.FaultRaised(node, act, error):
                self.faults[node, act] = error.type
            case ev.NodeDone(node, act, value):
                self.nodes[node, act] = decode(value)
                self.order[node, act] = number
            case ev.NodeBypassed(node, act):
                self.bypassed.add((node, act))
                self.order[node, act] = number
            case ev.BlockOpened(node, act, arm):
                self.arms[node, act] = arm
                if arm < 0:
                    self.order[node, act] = number
            case ev.SignalTaken(node, act):
                self.order[node, act] = number
            case ev.FaultCaught(node, act, error):
                self.caught[node, act] = error
                self.order[node, act] = number
            case NodeSkipped(node, act, value):
                self.skipped[node, act] = decode(value)
                self.order[node, act] = number
            case ev.ChildOpened(node, act, child, _):
                self.children[node, act] = child
            case _:
                self._take_map(event, number)

    def _take_map(self, event: ev.RunEvent, number: int) -> None:
        match event:
            case ev.MapOpened(node, act, base, _):
                self.bases[node, act] = base
                self.items.pop((node, act), None)  # those of a map that failed, and was begun again
                self.items_done.pop((node, act), None)
            case ev.ItemDone(node, act, index, _):
                self.items_done.setdefault((node, act), {})[index] = number
            case ev.ItemFailed(node, act, index, error):
                self.items.setdefault((node, act), {})[index] = (number, error)
            case ev.MapDone(node, act):
                self.order[node, act] = number
            case kinds.MapLeft(node, act):
                self.left[node, act] = self.order[node, act] = number
            case _:
                self._take_kind(event, number)

    def _take_kind(self, event: ev.RunEvent, number: int) -> None:
        match event:
            case kinds.LoopOpened(node, act):
                self.iterations[node, act] = []
            case kinds.IterationOpened(node, act, inner):
                self.iterations[node, act].append(inner)
            case kinds.LoopDone(node, act):
                self.loops_over.add((node, act))
                self.order[node, act] = number
            case kinds.RaceOpened(node, act, contenders):
                self.contenders[node, act] = contenders
            case kinds.RaceWon(node, act, winner):
                self.winners[node, act] = winner
                self.order[node, act] = number
            case kinds.StateAssigned(node, act, _, _, value):
                self.assigned[node, act] = decode(value)
                self.order[node, act] = number
            case kinds.EventEmitted(node, act, name, data):
                self.emitted[node, act] = (name, decode(data))
                self.order[node, act] = number
            case kinds.ApprovalAsked(node, act):
                self.decided.pop((node, act), None)  # a retry took its refusal back
            case kinds.ApprovalDecided(node, act, value, _, error):
                self.decided[node, act] = (decode(value), error)
                if error is None:
                    self.order[node, act] = number
            case kinds.LockGranted(node, act):
                self.granted.add((node, act))
            case kinds.CompensationRegistered(node, act, made):
                self.registered[node, act] = decode(made)
                self.order[node, act] = number
            case kinds.CompensateOpened(node, act):
                self._compensating.append((node, act))
            case kinds.CompensationEnded():
                self.compensated.update(self._compensating)
                self.order.update(dict.fromkeys(self._compensating, number))
                self._compensating = []
            case _:
                self._take_net(event)

    def _take_net(self, event: ev.RunEvent) -> None:
        match event:
            case ev_nets.FiringsOpened(node, act, base, members):
                begun = [(member, base + offset) for offset, member in enumerate(members)]
                self.firings.setdefault((node, act), []).extend(begun)
                self.fired.update({(member, act): firing for member, firing in begun})
            case ev_nets.FiringEnded(_, _, firing):
                self.left_net[firing] = "ok"
            case ev_nets.FiringFailed(_, _, firing, error):
                self.left_net[firing] = error.type
            case ev_nets.NetEnded(node, act):
                self.nets_over.add((node, act))
