"""What each node may count on when it starts: what has surely ended, which values exist, of which types. Pure.

Rules 1 and 5 of the design. A node starts when its *predecessors* (siblings: the one above, those in ``after``, or in a
`Parallel` those whose values it names) have ended. What has surely ended by then is everything that the predecessors
counted on, the predecessors, and the nodes inside them; of those inside, a value made under a condition (when, catch, a
bypassed block) is *optional*, and one made in a map body belongs to that body alone. Sets of nodes are bit masks by
position, so that thousands of nodes cost no more than big-integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wfe.core.findings import Findings, did_you_mean
from wfe.core.references import Site, SiteReader, Uses
from wfe.core.value_types import ValueTypes
from wfe.model.definition import (
    Block,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    When,
    children,
    walk,
)

VALUELESS = (When, Parallel, Block, End, Fail)
"""Nodes that exist for their order only: naming them in an expression is a mistake."""
_BLOCK_NAMES = {When: "when", Parallel: "parallel", Block: "branch", Catch: "catch", Map: "map"}


@dataclass(frozen=True, slots=True)
class Known:
    """Nodes whose values exist (``sure``), and those that have ended but whose values may not exist (``maybe``)."""

    sure: int = 0
    maybe: int = 0

    def __or__(self, other: Known) -> Known:
        return Known(self.sure | other.sure, self.maybe | other.maybe)

    def demoted(self) -> Known:
        """The same nodes, none of them surely with a value."""
        return Known(0, self.sure | self.maybe)


def predecessors(nodes: Sequence[Node], named: dict[str, frozenset[str]], *, concurrent: bool) -> dict[str, list[str]]:
    """For each node of a block the ids it waits for. ``named``: the names that a node and those inside it mention."""
    owners = {inner.id: node.id for node in nodes for inner in walk((node,))} if concurrent else {}
    found: dict[str, list[str]] = {}
    above: str | None = None
    for node in nodes:
        if node.after is not None:
            before = list(dict.fromkeys(node.after))
        elif concurrent:
            wanted = {owners[name] for name in named[node.id] if name in owners} - {node.id}
            before = [sibling.id for sibling in nodes if sibling.id in wanted]
        else:
            before = [] if above is None else [above]
        found[node.id] = before
        above = node.id
    return found


def never_ends(node: Node) -> bool:
    """Whether nothing after this node can ever run: it always ends or fails the run (or its catch block)."""
    if node.if_ is not None:
        return False
    match node:
        case End() | Fail():
            return True
        case Parallel() | Block():
            return any(never_ends(inner) for inner in node.do)
        case When():
            covers = bool(node.branches) and node.branches[-1].cond is None
            return covers and all(any(never_ends(inner) for inner in branch.do) for branch in node.branches)
        case Catch():
            return any(never_ends(inner) and not _can_fail(inner) for inner in node.do)
        case _:
            return False


def _can_fail(node: Node) -> bool:
    return any(isinstance(inner, Fail) for inner in walk((node,)))


class FlowChecker:
    """Walks a definition with unique ids; findings go to ``findings``. ``typed`` false: its schemas are broken."""

    def __init__(self, definition: Definition, findings: Findings, *, typed: bool) -> None:
        self._definition = definition
        self._findings = findings
        self._reader = SiteReader(findings)
        self._bits: dict[str, int] = {}
        self._nodes: dict[str, Node] = {}
        self._around: dict[str, str | None] = {}
        self._sites: dict[str, list[Site]] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._items: dict[str, str] = {}
        """Item name -> id of the innermost map around the place being checked."""
        self._types = ValueTypes(definition, findings, active=typed)

    def check(self) -> None:
        """Checks the whole definition."""
        definition = self._definition
        self._gather(definition.nodes, "nodes", None)
        at_end = self._block(definition.nodes, "nodes", Known(), concurrent=False)
        for site in self._reader.template(None, "output", definition.output):
            self._site(None, site, at_end)
        if not any(never_ends(node) for node in definition.nodes):
            self._types.check_result(None, "output", definition.output)
        for site in self._reader.template(None, "tags", definition.tags):
            self._site(None, site, Known())

    # ---- before the walk: expressions and the names in them ---------------------------------------------------------

    def _gather(self, nodes: tuple[Node, ...], prefix: str, around: str | None) -> frozenset[str]:
        mentioned: set[str] = set()
        for index, node in enumerate(nodes):
            where = f"{prefix}[{index}]"
            self._bits[node.id] = 1 << len(self._bits)
            self._nodes[node.id] = node
            self._around[node.id] = around
            sites = list(self._reader.node(node, where))
            self._sites[node.id] = sites
            own = {name for site in sites for name in site.uses.names}
            for block, place in _blocks(node, where):
                own |= self._gather(block, place, node.id)
            self._named[node.id] = frozenset(own)
            mentioned |= own
        return frozenset(mentioned)

    # ---- the walk ---------------------------------------------------------------------------------------------------

    def _block(self, nodes: tuple[Node, ...], prefix: str, start: Known, *, concurrent: bool) -> Known:
        """Checks the nodes of a block that starts with what ``start`` says; gives what is known when it has ended."""
        places = {node.id: f"{prefix}[{index}]" for index, node in enumerate(nodes)}
        before = predecessors(nodes, self._named, concurrent=concurrent)
        self._check_after(nodes, before, places)
        order, stuck = _topological(nodes, before)
        if stuck:
            self._report_circle(stuck, before, places)
        known_after: dict[str, Known] = {}
        lost: set[str] = set()
        everything = start
        for node in order:
            known = start
            for predecessor in before[node.id]:
                known |= known_after.get(predecessor, Known())
            if stuck and node.id in stuck:  # the circle is reported; what its nodes know cannot be told
                known |= Known(sum(self._bits[inner.id] for inner in walk(nodes)))
            self._check_reachable(node, before[node.id], lost, places)
            known_after[node.id] = known | self._node(node, places[node.id], known)
            everything |= known_after[node.id]
        return everything

    def _node(self, node: Node, where: str, known: Known) -> Known:
        """Checks one node; gives what its end adds."""
        for site in self._sites[node.id]:
            if not site.at_end:
                self._site(node.id, site, known)
        own = Known(self._bits[node.id])
        if isinstance(node, Map):
            self._map(node, where, known)
            self._types.node(node, where)
            return own
        inside = Known()
        for block, place in _blocks(node, where):
            inside |= self._block(block, place, known, concurrent=isinstance(node, Parallel))
        inside = Known(inside.sure & ~known.sure, inside.maybe & ~known.maybe)
        self._types.node(node, where)
        if isinstance(node, (When, Catch)) or node.if_ is not None:
            inside = inside.demoted()
        return own | inside

    def _map(self, node: Map, where: str, known: Known) -> None:
        hidden = self._items.get(node.as_)
        if hidden is not None:
            message = f"the item name {node.as_!r} hides the one of the map {hidden!r} around it"
            self._findings.warning(node.id, f"{where}.as", message, "give one of them another name")
        self._items[node.as_] = node.id
        with self._types.item(node):
            ended = self._block(node.do, f"{where}.do", known, concurrent=False)
            for site in self._sites[node.id]:
                if site.at_end:
                    self._site(node.id, site, ended)
            self._types.body(node)
        if hidden is None:
            del self._items[node.as_]
        else:
            self._items[node.as_] = hidden

    # ---- one block --------------------------------------------------------------------------------------------------

    def _check_after(self, nodes: tuple[Node, ...], before: dict[str, list[str]], places: dict[str, str]) -> None:
        siblings = set(places)
        for node in nodes:
            for name in before[node.id]:
                if name in siblings and name != node.id:
                    continue
                if name == node.id:
                    message = "the node waits for itself"
                elif name in self._nodes:
                    message = f"after names {name!r}, which is in another block: it can only name nodes of the same"
                else:
                    message = f"after names {name!r}, but there is no such node"
                self._findings.error(node.id, f"{places[node.id]}.after", message, did_you_mean(name, siblings))
            before[node.id] = [name for name in before[node.id] if name in siblings and name != node.id]

    def _report_circle(self, stuck: set[str], before: dict[str, list[str]], places: dict[str, str]) -> None:
        circle = _circle(stuck, before)
        chain = " -> ".join([*circle, circle[0]])
        first = min(circle, key=lambda id_: self._bits[id_])
        message = f"nodes wait for each other in a circle: {chain}"
        self._findings.error(
            first, f"{places[first]}.after", message, "each waits for the next; remove one of the waits"
        )

    def _check_reachable(self, node: Node, before: Iterable[str], lost: set[str], places: dict[str, str]) -> None:
        """``lost``: nodes seen so far after which nothing runs, or that never run themselves."""
        behind = [name for name in before if name in lost]
        if behind and not any(self._is_lost_itself(name, lost) for name in behind):
            message = f"the node can never run: {behind[0]!r} before it always ends the run"
            self._findings.error(node.id, places[node.id], message, "remove it, or make the one before it conditional")
        if behind:
            lost.update((node.id, f"unreachable {node.id}"))
        elif never_ends(node):
            lost.add(node.id)

    @staticmethod
    def _is_lost_itself(name: str, lost: set[str]) -> bool:
        return f"unreachable {name}" in lost

    # ---- one expression ---------------------------------------------------------------------------------------------

    def _site(self, node: str | None, site: Site, known: Known) -> None:
        if self._findings.full:
            return
        found = self._findings.count
        self._names(node, site.where, site.uses, known)
        if self._findings.count == found:
            self._types.site(node, site)

    def _names(self, node: str | None, where: str, uses: Uses, known: Known) -> None:
        for name in sorted(uses.names):
            if name in self._definition.params or name == "run" or name in self._items:
                continue
            target = self._nodes.get(name)
            if target is None:
                self._unknown(node, where, name, known)
            elif isinstance(target, VALUELESS):
                kind = _BLOCK_NAMES.get(type(target), type(target).__name__.lower())
                self._findings.error(node, where, f"{name!r} is a {kind} and has no value")
            elif not self._bits[name] & (known.sure | (known.maybe if name in uses.guarded else 0)):
                self._missing(node, where, name, known)

    def _unknown(self, node: str | None, where: str, name: str, known: Known) -> None:
        for inner in self._nodes.values():
            if isinstance(inner, Map) and inner.as_ == name:
                message = f"{name!r} is the item of the map {inner.id!r}, known only inside it"
                self._findings.error(node, where, message)
                return
        visible = [id_ for id_, bit in self._bits.items() if bit & known.sure]
        candidates = [*self._definition.params, *self._items, "run", *visible]
        self._findings.error(node, where, f"unknown name {name!r}", did_you_mean(name, candidates))

    def _missing(self, node: str | None, where: str, name: str, known: Known) -> None:
        """A node's value that cannot be counted on here: say why and what to do."""
        if name == node:
            self._findings.error(node, where, f"{name!r} uses its own value")
            return
        block = self._around[name]
        if self._bits[name] & known.maybe:
            while (
                block is not None and self._nodes[block].if_ is None and isinstance(self._nodes[block], VALUELESS[1:])
            ):
                block = self._around[block]
            assert block is not None, "a value is optional only because of a block around it"
            kind = _BLOCK_NAMES[type(self._nodes[block])]
            message = f"{name!r} is made inside the {kind} {block!r} and may not exist here"
            self._findings.error(node, where, message, f"use merge({name}, ...) with what to take instead")
            return
        outer = set(self._path(node))
        while block is not None:
            if isinstance(self._nodes[block], Map) and block not in outer:
                message = f"{name!r} is made once for each item of the map {block!r} and is not known outside it"
                self._findings.error(node, where, message, f"use {block!r}, the list of its results")
                return
            block = self._around[block]
        if name in outer:
            self._findings.error(node, where, f"{name!r} is the block that this is in: it has not ended yet")
            return
        choice = next((block for block in self._path(self._around[name]) if block in outer), None)
        if choice is not None and isinstance(self._nodes[choice], When):
            message = f"{name!r} is made in another branch of the when {choice!r}: only one branch runs"
            self._findings.error(node, where, message)
            return
        message = f"{name!r} has not surely ended when this is evaluated"
        self._findings.error(node, where, message, f"move it behind {name!r}, or name that in after")

    def _path(self, node: str | None) -> Iterable[str]:
        while node is not None:
            yield node
            node = self._around[node]


def _blocks(node: Node, where: str) -> list[tuple[tuple[Node, ...], str]]:
    if isinstance(node, When):
        return [(branch.do, f"{where}.branches[{index}].do") for index, branch in enumerate(node.branches)]
    return [(block, f"{where}.do") for block in children(node)]


def _topological(nodes: Sequence[Node], before: dict[str, list[str]]) -> tuple[list[Node], set[str]]:
    """The nodes, each after its predecessors, and the ids of those in or behind a circle, which come last."""
    waiting = {node.id: len(before[node.id]) for node in nodes}
    followers: dict[str, list[str]] = {node.id: [] for node in nodes}
    by_id = {node.id: node for node in nodes}
    for id_, names in before.items():
        for name in names:
            followers[name].append(id_)
    ready = [id_ for id_, count in waiting.items() if count == 0]
    order: list[Node] = []
    for id_ in ready:
        order.append(by_id[id_])
        for follower in followers[id_]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    stuck = set(by_id) - set(ready)
    return order + [node for node in nodes if node.id in stuck], stuck


def _circle(stuck: set[str], before: dict[str, list[str]]) -> list[str]:
    """One circle among nodes that wait for each other: following any wait within them leads into it."""
    trail: list[str] = []
    current = min(stuck)
    while current not in trail:
        trail.append(current)
        current = next(name for name in before[current] if name in stuck)
    return trail[trail.index(current) :]
