"""What chance decided in a run, by place, out of its history; and what an interpreter says became of some nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.msgpack import decode

from wfe.model import event as ev
from wfe.sim.ledger import Place, RunBook


@dataclass(slots=True)
class Walked:
    """What became of some nodes. ``stuck``: some were withdrawn or never begun. ``faults``: types that may leave."""

    stuck: bool = False
    faults: list[str] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)

    def take(self, other: Walked) -> None:
        self.stuck = self.stuck or other.stuck
        self.faults += other.faults
        self.ends += other.ends

    @property
    def done(self) -> bool:
        return not (self.stuck or self.faults or self.ends)


class Facts:
    """One run's."""

    def __init__(self, book: RunBook) -> None:
        self.tasks: dict[Place, Any] = {}
        self.nodes: dict[Place, Any] = {}
        self.faults: dict[Place, str] = {}
        self.arms: dict[Place, int] = {}
        self.caught: dict[Place, Any] = {}
        self.items: dict[Place, dict[int, Any]] = {}
        self.bases: dict[Place, int] = {}
        self.children: dict[Place, str] = {}
        self.bypassed: set[Place] = set()
        self.executed: dict[Place, list[bytes]] = {}
        """Inputs of the attempts that ran."""
        self.signals = book.taken
        for event in book.events:
            self._take(event)
        for (node, act, _), data in book.executed.items():
            self.executed.setdefault((node, act), []).append(data)

    def _take(self, event: ev.RunEvent) -> None:
        match event:
            case ev.TaskDone(node, act, _, value):
                self.tasks[node, act] = decode(value)
            case ev.TaskFailed(node, act, _, error, retry_ms):
                if not retry_ms:
                    self.faults[node, act] = error.type
            case ev.FaultRaised(node, act, error):
                self.faults[node, act] = error.type
            case ev.NodeDone(node, act, value):
                self.nodes[node, act] = decode(value)
            case ev.NodeBypassed(node, act):
                self.bypassed.add((node, act))
            case ev.BlockOpened(node, act, arm):
                self.arms[node, act] = arm
            case ev.FaultCaught(node, act, error):
                self.caught[node, act] = error
            case ev.MapOpened(node, act, base, _):
                self.bases[node, act] = base
            case ev.ItemFailed(node, act, index, error):
                self.items.setdefault((node, act), {})[index] = error
            case ev.ChildOpened(node, act, child, _):
                self.children[node, act] = child
