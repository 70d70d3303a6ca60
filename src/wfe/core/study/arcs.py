"""A definition as one flat graph of control: an arc leads from every node to those that may follow it. Pure.

A block begins with its own node, from which arcs lead into it; the ends of what is inside lead on to what follows the
block. A choice that may pass its branches by leads on itself. Maps and loops are passed through their body once: the
way back of a loop is an arc of kind *back*, which says nothing about order. Nets keep their edges, ways back included.
Where many ends meet many followers a place ``<id>.end`` stands between them, so that the graph grows no faster than the
text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from wfe.core.compile import block_predecessors
from wfe.core.visibility import kind_name
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Block,
    BreakIf,
    Catch,
    Definition,
    End,
    Fail,
    Graph,
    Lock,
    Loop,
    Map,
    Node,
    Parallel,
    Race,
    When,
    children,
)
from wfe.model.net import Edge

CHOICES = frozenset({"branch", "otherwise", "skipped", "caught", "bypassed", "break", "port"})
"""Kinds of arcs of which one is taken, not all."""


END = "workflow.end"


class Arc(Struct, frozen=True, omit_defaults=True):
    """``kind``: order, branch, otherwise, skipped (no branch held), caught, bypassed (its ``if`` was false), item,
    iteration, break, contender, port (of a net's edge), back. ``label``: the condition or the port."""

    source: str
    target: str
    kind: str = "order"
    label: str = ""


@dataclass(slots=True)
class Spot:
    """A node, or the end of a block. ``block``: the node around it. ``repeated``: it is inside a map or a loop."""

    id: str
    kind: str
    block: str = ""
    repeated: bool = False
    join: str = ""
    """all, any, or the mode of its join; empty: at most one arc leads to it."""
    split: str = ""
    """In a net: the node's split, when it is not "and"."""
    virtual: bool = False


@dataclass(slots=True)
class Group:
    """Nodes of one block that may run at the same time. ``kind``: parallel, race, items."""

    block: str
    kind: str
    nodes: tuple[str, ...]


@dataclass(slots=True)
class ControlGraph:
    """``spots`` in order of the text, a block before what is inside it."""

    spots: dict[str, Spot] = field(default_factory=dict)
    arcs: list[Arc] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def control_graph(definition: Definition) -> ControlGraph:
    """The graph of a definition; of one that is not valid as far as it goes."""
    drawing = _Drawing()
    _, ends, all_come = drawing.block(definition.nodes, None, repeated=False)
    graph = drawing.graph
    leads_on = {arc.source for arc in graph.arcs if arc.kind != "back"}
    if any(source in leads_on for source, _, _ in ends):
        # A choice that ends the workflow by passing its branches by is an end, too: it gets a place of its own.
        graph.spots[END] = Spot(END, "end", join="all" if all_come else "any", virtual=True)
        graph.arcs += [Arc(source, END, kind, label) for source, kind, label in ends]
    position = {spot: index for index, spot in enumerate(graph.spots)}
    graph.arcs.sort(key=lambda arc: position[arc.source])
    return graph


Ends = list[tuple[str, str, str]]
"""Where a node or block is left: (spot, kind, label)."""


class _Drawing:
    def __init__(self) -> None:
        self.graph = ControlGraph()
        self._breaks: list[Ends] = []

    def block(self, nodes: Sequence[Node], holder: Node | None, *, repeated: bool) -> tuple[list[str], Ends, bool]:
        """Draws the nodes of a block; gives where it begins, where it ends, and whether all ends come or just one."""
        ends: dict[str, Ends] = {}
        together: dict[str, bool] = {}
        for node in nodes:
            ends[node.id], together[node.id] = self._node(node, holder, repeated)
        if isinstance(holder, Graph):
            return self._net(holder, ends)
        before = _before(nodes, holder)
        followers: dict[str, int] = dict.fromkeys(ends, 0)
        for sources in before.values():
            for source in sources:
                followers[source] += 1
        for node in nodes:
            for source in before[node.id]:
                if followers[source] > 1 and len(ends[source]) > 1:
                    self._gather(source, ends, together)
                self._lead(ends[source], node.id)
            several = len(before[node.id]) > 1 or any(together[source] for source in before[node.id])
            mode = node.join.mode if node.join is not None else ("all" if several else "any")
            self._joins(node.id, mode)
        self._levels(before, holder)
        last = [id_ for id_ in ends if not followers[id_]]
        all_come = not isinstance(holder, Race) and (len(last) > 1 or any(together[id_] for id_ in last))
        return [id_ for id_ in ends if not before[id_]], [end for id_ in last for end in ends[id_]], all_come

    def _node(self, node: Node, holder: Node | None, repeated: bool) -> tuple[Ends, bool]:
        """Draws a node and what is inside it; gives where it is left, and whether all these ends come."""
        split = node.split if node.split != "and" else ""
        around = "" if holder is None else holder.id
        self.graph.spots[node.id] = Spot(node.id, kind_name(node), around, repeated, split=split)
        if isinstance(node, BreakIf) and self._breaks:
            self._breaks[-1].append((node.id, "break", node.cond))
        inside: tuple[Ends, bool] = ([(node.id, "order", "")], False)
        match node:
            case End() | Fail():
                inside = [], False
            case When():
                inside = self._when(node, repeated), False
            case Loop():
                inside = self._loop(node), False
            case Map():
                inside = self._arm(node, node.do, "item", "", repeated=True)
                body = tuple(inner.id for inner in node.do)
                self.graph.groups.append(Group(node.id, "items", body))
            case Parallel() | Block() | Lock() | Race() | Graph():
                kind = "contender" if isinstance(node, Race) else "order"
                inside = self._arm(node, node.do, kind, "", repeated=repeated)
            case Catch():
                ends, all_come = self._arm(node, node.do, "order", "", repeated=repeated)
                inside = [*ends, (node.id, "caught", ", ".join(node.errors))], all_come
            case _:
                pass
        if node.if_ is not None and (children(node) or not inside[0]):
            inside = [*inside[0], (node.id, "bypassed", node.if_)], inside[1]
        return inside

    def _when(self, node: When, repeated: bool) -> Ends:
        found: Ends = []
        for branch in node.branches:
            kind, label = ("otherwise", "") if branch.cond is None else ("branch", branch.cond)
            found += self._arm(node, branch.do, kind, label, repeated=repeated)[0]
        if not node.branches or node.branches[-1].cond is not None:
            found.append((node.id, "skipped", ""))
        return found

    def _loop(self, node: Loop) -> Ends:
        self._breaks.append([])
        ends, _ = self._arm(node, node.do, "iteration", node.while_ or node.items or "", repeated=True)
        self.graph.arcs += [Arc(source, node.id, "back", node.until or "") for source, _, _ in ends]
        return [*ends, *self._breaks.pop()]

    def _arm(self, node: Node, nodes: Sequence[Node], kind: str, label: str, *, repeated: bool) -> tuple[Ends, bool]:
        """One block inside a node; one without nodes is left by the node itself."""
        if not nodes:
            return [(node.id, kind, label)], False
        begins, ends, all_come = self.block(nodes, node, repeated=repeated)
        self.graph.arcs += [Arc(node.id, begin, kind, label) for begin in begins]
        return ends, all_come

    def _net(self, graph: Graph, ends: dict[str, Ends]) -> tuple[list[str], Ends, bool]:
        incoming: dict[str, int] = dict.fromkeys(ends, 0)
        left: set[str] = set()
        edges = [edge for edge in graph.edges if edge.src in ends and edge.dst in ends]
        for edge in edges:
            incoming[edge.dst] += 1
            if edge.port == "ok":
                left.add(edge.src)
            for source, _, _ in ends[edge.src]:
                self.graph.arcs.append(Arc(source, edge.dst, *_way(edge)))
        modes = {node.id: node.join.mode if node.join is not None else "all" for node in graph.do}
        for id_ in ends:
            self._joins(id_, modes[id_])
        self._net_groups(graph, edges)
        entries = [id_ for id_ in graph.entry if id_ in ends] or [id_ for id_ in ends if not incoming[id_]]
        last = [id_ for id_ in ends if id_ not in left and not _decides(edges, id_)]
        return entries, [end for id_ in last for end in ends[id_]], len(last) > 1

    def _net_groups(self, graph: Graph, edges: Sequence[Edge]) -> None:
        """Followers of a node that takes all its edges may run at the same time."""
        splits = {node.id: node.split for node in graph.do}
        for id_, split in splits.items():
            targets = tuple(dict.fromkeys(edge.dst for edge in edges if edge.src == id_ and edge.port == "ok"))
            if split in ("and", "or") and len(targets) > 1:
                self.graph.groups.append(Group(graph.id, "parallel", targets))

    # ---- details ----------------------------------------------------------------------------------------------------

    def _gather(self, id_: str, ends: dict[str, Ends], together: dict[str, bool]) -> None:
        """Puts one place behind the many ends of a block."""
        end = f"{id_}.end"
        if end not in self.graph.spots:
            spot = self.graph.spots[id_]
            join = "all" if together[id_] else "any"
            self.graph.spots[end] = Spot(end, "end", spot.block, spot.repeated, join, virtual=True)
            self._lead(ends[id_], end)
        ends[id_], together[id_] = [(end, "order", "")], False

    def _lead(self, ends: Ends, target: str) -> None:
        self.graph.arcs += [Arc(source, target, kind, label) for source, kind, label in ends]

    def _joins(self, id_: str, mode: str) -> None:
        self.graph.spots[id_].join = mode

    def _levels(self, before: dict[str, tuple[str, ...]], holder: Node | None) -> None:
        """Siblings of the same depth may run at the same time."""
        level: dict[str, int] = {}
        todo = list(before)
        while todo:
            waiting = []
            for id_ in todo:
                if all(source in level for source in before[id_]):
                    level[id_] = 1 + max((level[source] for source in before[id_]), default=0)
                else:
                    waiting.append(id_)
            if len(waiting) == len(todo):
                break  # they wait for each other: validation says so
            todo = waiting
        by_level: dict[int, list[str]] = {}
        for id_ in before:
            by_level.setdefault(level.get(id_, 0), []).append(id_)
        for siblings in by_level.values():
            if len(siblings) > 1:
                kind = "race" if isinstance(holder, Race) else "parallel"
                self.graph.groups.append(Group("" if holder is None else holder.id, kind, tuple(siblings)))


def _before(nodes: Sequence[Node], holder: Node | None) -> dict[str, tuple[str, ...]]:
    """What each node of a block waits for, of those that there are."""
    if isinstance(holder, Race):
        return {node.id: () for node in nodes}
    try:
        found = block_predecessors(nodes, isinstance(holder, Parallel))
    except ExpressionError:  # a definition that is not valid is still worth a look
        found = {node.id: node.after or () for node in nodes}
    return {id_: tuple(s for s in sources if s in found and s != id_) for id_, sources in found.items()}


def _way(edge: Edge) -> tuple[str, str]:
    """Kind and label of an edge's arc."""
    if edge.port != "ok":
        return "port", edge.port
    if edge.when is not None:
        return "branch", edge.when
    return ("otherwise", "") if edge.default else ("order", "")


def _decides(edges: Sequence[Edge], id_: str) -> bool:
    """Whether a node is left by ports of its own only: the cases of a decision."""
    ports = {edge.port for edge in edges if edge.src == id_}
    return bool(ports - {"error", "timeout", "cancelled"})
