"""The token game, slow and obvious: what rules R1 to R10 of docs/nets.md mean for one graph of tasks.

No counters, no tables made in advance, no events: whoever wants to know whether something holds looks at all there is.
`wfe.core.nets` is compared with it, step by step, in tests/property/test_nets_reference.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from wfe.model.definition import Graph, NodeBase
from wfe.model.net import Edge, Join

Predicate = Callable[["TokenGame"], bool]
Condition = Callable[[int], bool]


MOVES_MAX = 300


class Over(Exception):
    """The run has ended."""


class Endless(Exception):
    """The net goes round without ever waiting for a task."""


@dataclass(eq=False)
class Firing:
    node: str
    choice: object = None


@dataclass
class TokenGame:
    """``conditions``: of edges, by number, over the value that the node has made. ``predicates``: of nodes with
    ``enabled_while``."""

    graph: Graph
    conditions: dict[int, Condition] = field(default_factory=dict)
    predicates: dict[str, Predicate] = field(default_factory=dict)
    warnings: int = 0
    status: str = "running"

    def __post_init__(self) -> None:
        self.nodes: dict[str, NodeBase] = {node.id: node for node in self.graph.do}
        self.edges: list[Edge] = list(self.graph.edges)
        self.tokens = [0] * len(self.edges)
        self.seen: dict[str, set[int]] = {id_: set() for id_ in self.nodes}
        self.fired: set[str] = set()
        self.joined: list[tuple[str, object]] = []
        self.held: list[tuple[str, object]] = []
        self.active: list[Firing] = []
        self.done: set[str] = set()
        entry = self.graph.entry or tuple(id_ for id_ in self.nodes if not self.incoming(id_))
        self.joined += [(id_, None) for id_ in self.nodes if id_ in entry]
        with suppress(Over):
            self.go_on()

    # ---- what the author's tasks do ---------------------------------------------------------------------------------

    def complete(self, firing: Firing, value: int) -> None:
        node = self.nodes[firing.node]
        with suppress(Over):
            if "run" in node.cancels:
                self.end("cancelled")
            edges = self.split(firing.node, value)
            if edges is None:
                self.fail(firing, "NoBranch")
                return
            self.active.remove(firing)
            self.done.add(firing.node)
            self.decide(firing.choice)
            if node.cancels:
                self.cancel(self.region(node.cancels))
            self.leave(firing.node, edges)
            self.go_on()

    def fail(self, firing: Firing, kind: str) -> None:
        with suppress(Over):
            edges = self.fault_edges(firing.node, kind)
            if not edges:
                self.end(kind)
            self.active.remove(firing)
            self.decide(firing.choice)
            for number in edges:
                self.arrive(number)
            self.release()
            self.go_on()

    # ---- R1, R2: arriving and joining -------------------------------------------------------------------------------

    def incoming(self, id_: str) -> list[int]:
        return [number for number, edge in enumerate(self.edges) if edge.dst == id_]

    def outgoing(self, id_: str, port: str) -> list[int]:
        return [number for number, edge in enumerate(self.edges) if edge.src == id_ and edge.port == port]

    def join(self, id_: str) -> Join:
        return self.nodes[id_].join or Join()

    def arrive(self, number: int) -> None:
        for _ in range(self.edges[number].weight):
            self.tokens[number] += 1
            self.test(self.edges[number].dst, number)

    def test(self, id_: str, number: int) -> None:
        join, edges = self.join(id_), self.incoming(id_)
        match join.mode:
            case "xor":
                self.take([number])
                self.joined.append((id_, None))
            case "or" if len(edges) == 1:
                self.take([number])
                self.joined.append((id_, None))
            case "and" if all(self.tokens[e] for e in edges):
                self.take(edges)
                self.joined.append((id_, None))
            case "thread" if self.tokens[number] == join.n:
                self.take([number] * join.n)
                self.joined.append((id_, None))
            case "n":
                self.test_round(id_, number)

    def take(self, numbers: list[int]) -> None:
        for number in numbers:
            self.tokens[number] -= 1
            assert self.tokens[number] >= 0

    def test_round(self, id_: str, number: int) -> None:
        join = self.join(id_)
        if number in self.seen[id_]:
            if join.rest != "block":
                self.take([number])
            return
        self.take([number])
        self.seen[id_].add(number)
        if id_ not in self.fired and len(self.seen[id_]) == join.n:
            self.fired.add(id_)
            self.joined.append((id_, None))
            if join.rest == "cancel":
                self.fired.remove(id_)
                self.seen[id_] = set()
                region = self.region(join.region) or {self.edges[e].src for e in self.incoming(id_)}
                self.cancel(region, by=id_)
                return
        if id_ in self.fired and self.seen[id_] == set(self.incoming(id_)):
            self.next_round(id_)

    def next_round(self, id_: str) -> None:
        self.fired.discard(id_)
        self.seen[id_] = blocked = {e for e in self.incoming(id_) if self.tokens[e]}
        self.take(list(blocked))
        if len(blocked) >= self.join(id_).n:
            self.fired.add(id_)
            self.joined.append((id_, None))
            if blocked == set(self.incoming(id_)):
                self.next_round(id_)

    # ---- R3: or-joins -----------------------------------------------------------------------------------------------

    def can_reach(self, start: str, without: str) -> set[int]:
        """Edges into ``without`` that a token at ``start`` can come to, never passing ``without``."""
        found: set[int] = set()
        known, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for number, edge in enumerate(self.edges):
                if edge.src != here:
                    continue
                if edge.dst == without:
                    found.add(number)
                elif edge.dst not in known:
                    known.add(edge.dst)
                    todo.append(edge.dst)
        return found

    def positions(self, but: str) -> list[str]:
        """Where live tokens are, those before ``but`` excepted."""
        found = [firing.node for firing in self.active] + [id_ for id_, _ in self.held]
        found += [self.edges[n].dst for n, count in enumerate(self.tokens) if count and self.edges[n].dst != but]
        return found + [id_ for id_, seen in self.seen.items() if seen and id_ not in self.fired and id_ != but]

    def is_awaited(self, id_: str, filled: set[int]) -> bool:
        for position in self.positions(id_):
            reachable = self.can_reach(position, id_)
            if reachable - filled and not reachable & filled:
                return True
        return False

    def filled(self, id_: str) -> set[int]:
        return {number for number in self.incoming(id_) if self.tokens[number]}

    def test_when_quiet(self) -> bool:
        for id_ in self.nodes:
            if self.join(id_).mode == "or" and self.filled(id_) and not self.is_awaited(id_, self.filled(id_)):
                self.take(list(self.filled(id_)))
                self.joined.append((id_, None))
                return True
            if id_ in self.fired and not self.is_awaited(id_, self.seen[id_]):
                self.next_round(id_)
                return True
        return False

    # ---- R4, R6: beginning and leaving ------------------------------------------------------------------------------

    def enabled(self, id_: str) -> bool:
        predicate = self.predicates.get(id_)
        return predicate is None or predicate(self)

    def begin(self) -> None:
        """Those that ask about nothing begin together."""
        batch = list(itertools.takewhile(lambda entry: entry[0] not in self.predicates, self.joined))
        if not batch:
            id_, choice = self.joined[0]
            if not self.enabled(id_):
                self.joined.pop(0)
                if self.nodes[id_].on_missed == "wait":
                    self.held.append((id_, choice))
                    return
                edges = self.split(id_, None)
                if edges is None:
                    self.end("NoBranch")
                self.decide(choice)
                self.leave(id_, edges)
                return
            batch = [(id_, choice)]
        del self.joined[: len(batch)]
        self.active += [Firing(id_, choice) for id_, choice in batch]
        self.release()

    def release(self) -> None:
        """The marking has changed: some of what was held may go on."""
        free = {id_ for id_, _ in self.held if self.enabled(id_)}
        order = list(dict.fromkeys(id_ for id_, _ in self.held if id_ in free))
        for id_ in order:
            self.joined += [entry for entry in self.held if entry[0] == id_]
        self.held = [entry for entry in self.held if entry[0] not in free]

    def split(self, id_: str, value: int | None) -> list[int] | None:
        edges, split = self.outgoing(id_, "ok"), self.nodes[id_].split
        if split in ("and", "deferred") or not edges:
            return edges
        true = [n for n in edges if not self.edges[n].default and (self.edges[n].when is None or self.holds(n, value))]
        default = [n for n in edges if self.edges[n].default][:1]
        return (true[:1] if split == "xor" else true) or default or None

    def holds(self, number: int, value: int | None) -> bool:
        if value is None:
            self.end("expression")
        return self.conditions[number](value)

    def leave(self, id_: str, edges: list[int]) -> None:
        if self.nodes[id_].split == "deferred":
            choice = object()
            self.joined += [(self.edges[number].dst, choice) for number in edges]
        else:
            for number in edges:
                self.arrive(number)
        self.release()

    def decide(self, choice: object) -> None:
        if choice is not None:
            self.active = [firing for firing in self.active if firing.choice is not choice]
            self.joined = [entry for entry in self.joined if entry[1] is not choice]
            self.held = [entry for entry in self.held if entry[1] is not choice]

    def fault_edges(self, id_: str, kind: str) -> list[int]:
        ports = {
            number: edge.port
            for number, edge in enumerate(self.edges)
            if edge.src == id_
            and (
                (edge.port == "timeout" and kind == "TimedOut")
                or (edge.port == "error" and (not edge.errors or kind in edge.errors))
            )
        }
        return [number for number, port in ports.items() if port == next(iter(ports.values()))]

    # ---- R8, R10: cancelling and ending -----------------------------------------------------------------------------

    def region(self, names: tuple[str, ...]) -> set[str]:
        return {id_ for name in names for id_ in self.graph.regions.get(name, (name,)) if id_ in self.nodes}

    def cancel(self, region: set[str], by: str = "") -> None:
        gone = [firing for firing in self.active if firing.node in region]
        self.active = [firing for firing in self.active if firing.node not in region]
        for id_ in region:
            self.seen[id_] = set()
            self.fired.discard(id_)
            for number in self.incoming(id_):
                self.tokens[number] = 0
        self.joined = [entry for entry in self.joined if entry[0] not in region]
        self.held = [entry for entry in self.held if entry[0] not in region]
        for firing in gone:
            for number in self.outgoing(firing.node, "cancelled"):
                if self.edges[number].dst != by:
                    self.arrive(number)

    def go_on(self) -> None:
        """Until only the outside can move anything."""
        for move in itertools.count():
            if move > MOVES_MAX:
                raise Endless
            if self.joined:
                self.begin()
            elif self.test_when_quiet():
                continue
            elif self.active:
                return
            else:
                waiting = [id_ for id_ in self.nodes if self.join(id_).mode == "or" and self.filled(id_)]
                if waiting:
                    self.warnings += 1
                    self.take(list(self.filled(waiting[0])))
                    self.joined.append((waiting[0], None))
                    continue
                unfired = [id_ for id_, seen in self.seen.items() if seen and id_ not in self.fired]
                self.end("stuck" if any(self.tokens) or self.held or unfired else "completed")

    def end(self, status: str) -> NoReturn:
        self.status = status
        raise Over
