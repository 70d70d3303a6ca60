"""The books of nets: their histories are played by the rules of `nets`. Part of `ledger`, whose rules hold."""

from __future__ import annotations

from typing import Any

from msgspec.msgpack import decode

from wfe.model import event as ev
from wfe.model import event_nets as nets
from wfe.model.definition import Custom, Decision, Graph, Http, Task
from wfe.sim.ledger_kinds import KindBook, Place
from wfe.sim.nets import Foul, NetGame


class NetBook(KindBook):
    """What is open of the nets of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.games: dict[Place, NetGame] = {}
        self.boundaries: dict[Place, int] = {}
        """(the number of no node, firing) -> when its next boundary event is due."""
        self.begun_ms: dict[int, int] = {}
        self.fired: set[Place] = set()
        """Tasks that the firing of a net has opened."""

    def tables(self) -> tuple[dict[Place, Any], ...]:
        return (*super().tables(), self.games, self.boundaries)

    def _play(self, event: Any, play: str, *arguments: Any, **named: Any) -> None:
        """What an event does to the marking of its net; nets that only keep the order of a block are not played."""
        game = self.games.get((event.node, event.act))
        if game is None:
            return
        try:
            getattr(game, play)(*arguments, **named)
        except Foul as foul:
            raise self.fail(f"{event}: {foul}") from None
        for firing in game.take_gone():
            self._withdraw(0, len(self.shape.nodes) + 1, firing)

    def _id(self, node: int) -> str:
        return self.shape.nodes[node].id

    # ---- events -----------------------------------------------------------------------------------------------------

    def _BlockOpened(self, event: ev.BlockOpened, time_ms: int) -> None:
        node = self.shape.nodes[event.node]
        if isinstance(node, Graph):
            self.games[event.node, event.act] = NetGame(node, self._env())

    def _FiringsOpened(self, event: nets.FiringsOpened, time_ms: int) -> None:
        self._play(event, "begun", event.base, [self._id(member) for member in event.members])
        for offset, member in enumerate(event.members):
            place = (member, event.base + offset)
            self._inside_of((member, event.act), place[1])
            self.begun_ms[place[1]] = time_ms
            node = self.shape.nodes[member]
            timers = [boundary.after_ms for boundary in node.boundary if boundary.after_ms is not None]
            if timers:  # whether or not it is armed
                self.boundaries[len(self.shape.nodes), place[1]] = time_ms + min(timers)
            if isinstance(node, (Task, Http, Custom)) and node.if_ is None:
                self.fired.add(place)
                self._open(place, 1)

    def _decided(self, place: Place, value: Any) -> None:
        """The case of a decision, if it is the firing of a net."""
        if not isinstance(self.shape.nodes[place[0]], Decision):
            return
        for game in self.games.values():
            if place[1] in game.active:
                game.cases[place[1]] = decode(value)

    def _FiringEnded(self, event: nets.FiringEnded, time_ms: int) -> None:
        self._play(event, "ended", event.firing, event.edges)
        self.boundaries.pop((len(self.shape.nodes), event.firing), None)

    def _FiringFailed(self, event: nets.FiringFailed, time_ms: int) -> None:
        self._play(event, "failed", event.firing, event.error, event.edges)

    def _FiringHeld(self, event: nets.FiringHeld, time_ms: int) -> None:
        self._play(event, "was_held", self._id(event.member))

    def _FiringReleased(self, event: nets.FiringReleased, time_ms: int) -> None:
        self._play(event, "released", self._id(event.member))

    def _FiringMissed(self, event: nets.FiringMissed, time_ms: int) -> None:
        self._play(event, "missed", self._id(event.member), event.edges)

    def _JoinFired(self, event: nets.JoinFired, time_ms: int) -> None:
        self._play(event, "join_fired", self._id(event.member), stalemate=event.stalemate)

    def _RoundReset(self, event: nets.RoundReset, time_ms: int) -> None:
        self._play(event, "round_reset", self._id(event.member))

    def _BoundaryArmed(self, event: nets.BoundaryArmed, time_ms: int) -> None:
        game = self.games[event.node, event.act]
        after_ms = game.nodes[game.active[event.firing][0]].boundary[event.boundary].after_ms
        if after_ms is None or event.due_ms < self.begun_ms[event.firing] + after_ms:
            raise self.fail(f"{event}, the firing began at {self.begun_ms[event.firing]}")
        self.boundaries[len(self.shape.nodes), event.firing] = event.due_ms

    def _BoundaryReached(self, event: nets.BoundaryReached, time_ms: int) -> None:
        game = self.games[event.node, event.act]
        if event.firing not in game.active:
            raise self.fail(f"{event} of a firing that is not active")
        place = (len(self.shape.nodes), event.firing)
        if event.taken:
            boundary = game.nodes[game.active[event.firing][0]].boundary[event.boundary]
            self._takes(place, (boundary.signal or "", ""), event)
        else:
            self._not_early(self.boundaries.pop(place, None), time_ms, event)
        self._play(event, "reached", event.firing, event.boundary, event.edges)

    def _NetEnded(self, event: nets.NetEnded, time_ms: int) -> None:
        game = self.games.pop((event.node, event.act), None)
        if game is not None and (not game.is_quiet() or game.is_stranded()):
            raise self.fail(f"{event}, though it could go on: {game.__dict__}")

    def _net_fails(self, place: Place, kind: str) -> None:
        """A net is stuck only when nothing in it can move, and tokens are left; it has no branch only where a node is
        passed by."""
        game = self.games.get(place)
        if game is not None and kind == "stuck" and not (game.is_quiet() and game.is_stranded()):
            raise self.fail(f"{place} is stuck, though it is not: {game.__dict__}")
        if game is not None and kind == "NoBranch" and not game.misses_without_branch():
            raise self.fail(f"{place} has no branch, though no node is to be passed by: {game.__dict__}")
