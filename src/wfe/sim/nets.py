"""The rules of nets (docs/nets.md), told once more than in `core` and slowly: what an event may do to a marking.

`NetGame` plays one `Graph` along its history: each method is told of one event, raises what is wrong as `Foul`, and
works out by itself which tokens move. No table is made in advance; whoever wants to know something looks at all there
is. Firings are named by their activation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wfe.model.definition import Decision, Graph, Map, Node
from wfe.model.net import Join
from wfe.model.policy import ErrorInfo
from wfe.sim.expressions import Env, holds

_PREDICATE = re.compile(r'(!?)(active|done)\("(\w+)"\)')


class Foul(Exception):
    """An event that the rules do not allow."""


class NetGame:
    """The marking of one net. ``env``: what conditions on edges see. ``cases``: values of decisions, by firing."""

    def __init__(self, graph: Graph, env: Env) -> None:
        self.graph, self.env = graph, env
        self.nodes: dict[str, Node] = {node.id: node for node in graph.do}
        self.edges = graph.edges
        self.tokens = [0] * len(self.edges)
        self.seen: dict[str, set[int]] = {id_: set() for id_ in self.nodes}
        self.fired: set[str] = set()
        self.joined: list[tuple[str, object]] = []
        self.held: list[tuple[str, object]] = []
        self.active: dict[int, tuple[str, object]] = {}
        self.lingering: dict[int, str] = {}
        self.done: set[str] = set()
        self.cases: dict[int, str] = {}
        self.gone: list[int] = []
        """Firings that the last event has withdrawn."""
        entry = graph.entry or tuple(id_ for id_ in self.nodes if not self._incoming(id_))
        self.joined += [(id_, None) for id_ in self.nodes if id_ in entry]

    def _need(self, allowed: bool, what: str) -> None:
        if not allowed:
            raise Foul(f"{what}: {self.__dict__}")

    # ---- events -----------------------------------------------------------------------------------------------------

    def begun(self, base: int, members: Sequence[str]) -> None:
        """Tokens behind joins become firings, oldest first."""
        self._need([id_ for id_, _ in self.joined[: len(members)]] == list(members), f"{members} begin")
        self._need(all(self._enabled(id_) for id_ in members), f"{members} begin, not enabled")
        for offset, (id_, choice) in enumerate(self.joined[: len(members)]):
            self.active[base + offset] = (id_, choice)
        del self.joined[: len(members)]

    def ended(self, firing: int, edges: Sequence[int]) -> None:
        self._need(firing in self.active, f"{firing} ends")
        id_, choice = self.active.pop(firing)
        self._need(list(edges) == self.split(id_, firing), f"{firing} of {id_} leaves by {edges}")
        node = self.nodes[id_]
        if isinstance(node, Map) and node.rest == "continue":
            self.lingering[firing] = id_
        self.done.add(id_)
        self._decide(choice)
        if node.cancels:
            self._cancel(self._region(node.cancels))
        self._leave(id_, edges)

    def failed(self, firing: int, error: ErrorInfo, edges: Sequence[int]) -> None:
        self._need(firing in self.active, f"{firing} fails")
        id_, choice = self.active.pop(firing)
        self._need(list(edges) == self._fault_edges(id_, error), f"{firing} of {id_} fails by {edges}")
        self.gone.append(firing)
        self._decide(choice)
        for number in edges:
            self._arrive(number)

    def was_held(self, id_: str) -> None:
        self._need(bool(self.joined) and self.joined[0][0] == id_ and not self._enabled(id_), f"{id_} is held")
        self.held.append(self.joined.pop(0))

    def released(self, id_: str) -> None:
        self._need(id_ in [other for other, _ in self.held] and self._enabled(id_), f"{id_} is released")
        position = [other for other, _ in self.held].index(id_)
        self.joined.append(self.held.pop(position))

    def missed(self, id_: str, edges: Sequence[int]) -> None:
        self._need(bool(self.joined) and self.joined[0][0] == id_ and not self._enabled(id_), f"{id_} is missed")
        self._need(list(edges) == self.split(id_, -1), f"{id_} is passed by on {edges}")
        _, choice = self.joined.pop(0)
        self._decide(choice)
        self._leave(id_, edges)

    def misses_without_branch(self) -> bool:
        """Whether the next to begin is to be passed by, and has no edge to be left by."""
        if not self.joined or self._enabled(id_ := self.joined[0][0]):
            return False
        return self.nodes[id_].on_missed == "skip" and self.split(id_, -1) is None

    def join_fired(self, id_: str, *, stalemate: bool) -> None:
        """An or-join: nothing else moves, and no token can still come on its empty edges."""
        filled = {number for number in self._incoming(id_) if self.tokens[number]}
        self._need(self._join(id_).mode == "or" and bool(filled) and not self.joined, f"or-join {id_} fires")
        if stalemate:
            self._need(not self.active, f"or-join {id_} fires in a stalemate")
        else:
            self._need(not self._is_awaited(id_, filled), f"or-join {id_} fires too early")
        self._take(filled)
        self.joined.append((id_, None))

    def round_reset(self, id_: str) -> None:
        self._need(id_ in self.fired and not self._is_awaited(id_, self.seen[id_]), f"the round of {id_} is over")
        self._next_round(id_)

    def reached(self, firing: int, boundary: int, edges: Sequence[int]) -> None:
        """A boundary event."""
        self._need(firing in self.active, f"a boundary of {firing} is reached")
        id_, choice = self.active[firing]
        event = self.nodes[id_].boundary[boundary]
        self._need(list(edges) == self._outgoing(id_, (event.port,)), f"{firing} of {id_} leaves by {edges}")
        if event.interrupting:
            del self.active[firing]
            self.gone.append(firing)
            self._decide(choice)
        for number in edges:
            self._arrive(number)

    def is_quiet(self) -> bool:
        """Whether nothing is active, nor can move."""
        return not (self.active or self.joined or any(self._enabled(id_) for id_, _ in self.held))

    def is_stranded(self) -> bool:
        """Whether tokens are left."""
        return (
            any(self.tokens)
            or bool(self.held)
            or any(seen and id_ not in self.fired for id_, seen in self.seen.items())
        )

    def take_gone(self) -> list[int]:
        gone, self.gone = self.gone, []
        return gone

    # ---- leaving ----------------------------------------------------------------------------------------------------

    def split(self, id_: str, firing: int) -> list[int] | None:
        """The edges that a node is left by; None: no branch."""
        node = self.nodes[id_]
        ports = ["ok"]
        if isinstance(node, Decision) and firing in self.cases:
            ports.append(self.cases[firing])
        edges = self._outgoing(id_, ports)
        if node.split in ("and", "deferred") or not edges:
            return edges
        true = [n for n in edges if not self.edges[n].default and self._holds(n)]
        default = [n for n in edges if self.edges[n].default][:1]
        return (true[:1] if node.split == "xor" else true) or default or None

    def _holds(self, number: int) -> bool:
        when = self.edges[number].when
        return when is None or holds(when, self.env)

    def _leave(self, id_: str, edges: Sequence[int]) -> None:
        if self.nodes[id_].split == "deferred":
            choice = object()
            self.joined += [(self.edges[number].dst, choice) for number in edges]
            return
        for number in edges:
            self._arrive(number)

    def _decide(self, choice: object) -> None:
        """The first of a deferred choice has ended: the others are withdrawn."""
        if choice is None:
            return
        for firing in [firing for firing, (_, other) in self.active.items() if other is choice]:
            del self.active[firing]
            self.gone.append(firing)
        self.joined = [entry for entry in self.joined if entry[1] is not choice]
        self.held = [entry for entry in self.held if entry[1] is not choice]

    def _fault_edges(self, id_: str, error: ErrorInfo) -> list[int]:
        ports: dict[int, str] = {}
        for number, edge in enumerate(self.edges):
            if edge.src != id_:
                continue
            if edge.port == "timeout" and error.is_a("TimedOut"):
                ports[number] = "timeout"
            elif edge.port == "error" and (not edge.errors or any(error.is_a(name) for name in edge.errors)):
                ports[number] = "error"
        return [number for number, port in ports.items() if port == next(iter(ports.values()))]

    def _enabled(self, id_: str) -> bool:
        predicate = self.nodes[id_].enabled_while
        if predicate is None:
            return True
        match = _PREDICATE.fullmatch(predicate)
        assert match is not None, f"the generator made {predicate!r}"
        where = {node for node, _ in self.active.values()} if match[2] == "active" else self.done
        return (match[3] in where) != bool(match[1])

    # ---- arriving and joining ---------------------------------------------------------------------------------------

    def _incoming(self, id_: str) -> list[int]:
        return [number for number, edge in enumerate(self.edges) if edge.dst == id_]

    def _outgoing(self, id_: str, ports: Sequence[str]) -> list[int]:
        return [number for number, edge in enumerate(self.edges) if edge.src == id_ and edge.port in ports]

    def _join(self, id_: str) -> Join:
        return self.nodes[id_].join or Join()

    def _arrive(self, number: int) -> None:
        for _ in range(self.edges[number].weight):
            self.tokens[number] += 1
            self._test(self.edges[number].dst, number)

    def _test(self, id_: str, number: int) -> None:
        join, edges = self._join(id_), self._incoming(id_)
        match join.mode:
            case "xor":
                self._fire(id_, [number])
            case "or" if len(edges) == 1:
                self._fire(id_, [number])
            case "and" if all(self.tokens[edge] for edge in edges):
                self._fire(id_, edges)
            case "thread" if self.tokens[number] == join.n:
                self._fire(id_, [number] * join.n)
            case "n":
                self._count(id_, number)
            case _:
                pass

    def _fire(self, id_: str, edges: Sequence[int]) -> None:
        self._take(edges)
        self.joined.append((id_, None))

    def _take(self, numbers: Sequence[int] | set[int]) -> None:
        for number in numbers:
            self.tokens[number] -= 1

    def _count(self, id_: str, number: int) -> None:
        """A join of n takes part in rounds: each edge counts once in a round."""
        join = self._join(id_)
        if number in self.seen[id_]:
            if join.rest != "block":
                self._take([number])
            return
        self._take([number])
        self.seen[id_].add(number)
        if id_ not in self.fired and len(self.seen[id_]) == join.n:
            self.fired.add(id_)
            self.joined.append((id_, None))
            if join.rest == "cancel":
                self.fired.remove(id_)
                self.seen[id_] = set()
                self._cancel(self._region(join.region) or {self.edges[e].src for e in self._incoming(id_)}, by=id_)
                return
        if id_ in self.fired and self.seen[id_] == set(self._incoming(id_)):
            self._next_round(id_)

    def _next_round(self, id_: str) -> None:
        self.fired.discard(id_)
        self.seen[id_] = blocked = {edge for edge in self._incoming(id_) if self.tokens[edge]}
        self._take(blocked)
        if len(blocked) >= self._join(id_).n:
            self.fired.add(id_)
            self.joined.append((id_, None))
            if blocked == set(self._incoming(id_)):
                self._next_round(id_)

    # ---- or-joins ---------------------------------------------------------------------------------------------------

    def _reachable(self, start: str, without: str) -> set[int]:
        """Edges into ``without`` that a token at ``start`` can come to, never passing ``without``."""
        found: set[int] = set()
        known, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for number, edge in enumerate(self.edges):
                if edge.src == here and edge.dst == without:
                    found.add(number)
                elif edge.src == here and edge.dst not in known:
                    known.add(edge.dst)
                    todo.append(edge.dst)
        return found

    def _is_awaited(self, id_: str, filled: set[int]) -> bool:
        positions = [node for node, _ in self.active.values()] + [node for node, _ in self.held]
        positions += [self.edges[n].dst for n, count in enumerate(self.tokens) if count and self.edges[n].dst != id_]
        positions += [node for node, seen in self.seen.items() if seen and node not in self.fired and node != id_]
        for position in positions:
            reachable = self._reachable(position, id_)
            if reachable - filled and not reachable & filled:
                return True
        return False

    # ---- cancelling -------------------------------------------------------------------------------------------------

    def _region(self, names: Sequence[str]) -> set[str]:
        return {id_ for name in names for id_ in self.graph.regions.get(name, (name,)) if id_ in self.nodes}

    def _cancel(self, region: set[str], by: str = "") -> None:
        left = [(firing, id_) for firing, (id_, _) in self.active.items() if id_ in region]
        for firing, _ in left:
            del self.active[firing]
        lingering = [firing for firing, id_ in self.lingering.items() if id_ in region]
        for firing in lingering:
            del self.lingering[firing]
        self.gone += [firing for firing, _ in left] + lingering
        for id_ in region:
            self.seen[id_] = set()
            self.fired.discard(id_)
            for number in self._incoming(id_):
                self.tokens[number] = 0
        self.joined = [entry for entry in self.joined if entry[0] not in region]
        self.held = [entry for entry in self.held if entry[0] not in region]
        for _, id_ in left:
            for number in self._outgoing(id_, ("cancelled",)):
                if self.edges[number].dst != by:
                    self._arrive(number)
