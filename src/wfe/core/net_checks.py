"""Static checks of nets (R12): edges, ports, joins and splits that cannot work, whatever the data. Pure.

`check_graph` judges a `Graph`, `check_block` a block whose nodes use joins, splits and the like, where the edges are
those that the order of the block gives. What waits for what, and the values, are `core.flow`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wfe.core.expressions import compile_expression
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.signatures import MARKING
from wfe.core.findings import Findings, did_you_mean
from wfe.core.net_paths import Paths, rests
from wfe.core.nets.wiring import is_net, leaves_early
from wfe.core.sites import calls_of
from wfe.core.visibility import Outline
from wfe.errors import ExpressionError
from wfe.limits import NET_CHECK_STEPS_MAX
from wfe.model.definition import Decision, Edge, End, Fail, Graph, Node

OWN_PORTS = ("ok", "error", "timeout", "cancelled")


class Ways:
    """Which nodes of a block may not run at all, though the block ends well: behind a split, or withdrawn joins."""

    def __init__(self, before: Mapping[str, Sequence[str]]) -> None:
        self._before = before
        self._splits: set[str] = set()
        self._unsure: set[str] = set()

    def add(self, node: Node) -> None:
        """Takes in a node, after those that it waits for."""
        if node.split != "and":
            self._splits.add(node.id)
        doubts = [name in self._unsure or name in self._splits for name in self._before[node.id]]
        some = node.join is not None and (
            node.join.mode in ("xor", "or") or (node.join.mode == "n" and node.join.n <= 1)
        )
        if bool(doubts) and (all(doubts) if some else any(doubts)):
            self._unsure.add(node.id)

    def unsure(self, id_: str) -> bool:
        """Whether the node may not have run when its block has ended."""
        return id_ in self._unsure


def withdrawn_ids(nodes: Sequence[Node], before: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Nodes of a block that others may withdraw, or events of their boundary: their values may be missing."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.cancels)
        if node.join is not None and node.join.rest == "cancel":
            found.update(node.join.region or before[node.id])
        if any(event.interrupting for event in node.boundary):
            found.add(node.id)
    return frozenset(found)


class NetChecker:
    """Judges one net at a time; findings go to ``findings``."""

    def __init__(self, outline: Outline, findings: Findings) -> None:
        self._outline = outline
        self._findings = findings

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def check_block(
        self, nodes: Sequence[Node], places: Mapping[str, str], before: Mapping[str, Sequence[str]]
    ) -> None:
        """A block in which some node joins, splits, cancels and so on."""
        if not is_net(nodes):
            return
        edges = [Edge(source, target) for target, sources in before.items() for source in sources]
        paths = Paths([node.id for node in nodes], edges, [node.id for node in nodes if not before[node.id]])
        for node in nodes:
            self._check_node(node, places[node.id], len(before[node.id]), set(places), {})
            if node.split in ("xor", "or") and paths.outgoing[node.id]:
                message = f"the split {node.split} needs edges with conditions, and the order of a block has none"
                self._error(node, places[node.id], "split", message, "use when, or a graph with edges")
            for event in node.boundary:
                message = f"nothing follows the port {event.port!r}: the order of a block has no ports"
                self._warn(node, places[node.id], "boundary", message, "use a graph with edges")
        self._check_deadlocks(nodes, places, paths)

    def check_race(self, nodes: Sequence[Node], places: Mapping[str, str]) -> None:
        """The children of a race start together: nothing orders or joins them."""
        for node in nodes:
            if is_net((node,)) and not leaves_early(node):
                message = "joins, splits, cancels and boundaries have no meaning between the children of a race"
                self._findings.error(node.id, places[node.id], message, "group its nodes with {branch: [...]}")
            if node.after:
                message = "the children of a race start together: none can wait for another"
                self._error(node, places[node.id], "after", message, "group its nodes with {branch: [...]}")

    # ---- graphs -----------------------------------------------------------------------------------------------------

    def check_graph(self, graph: Graph, where: str) -> None:
        """The edges of a graph, and each of its nodes."""
        nodes = {node.id: node for node in graph.do}
        places = {node.id: f"{where}.do[{index}]" for index, node in enumerate(graph.do)}
        sound = {i: edge for i, edge in enumerate(graph.edges) if self._check_edge(graph, i, where, nodes)}
        self._check_regions(graph, where, nodes)
        entries = [name for name in graph.entry if name in nodes]
        for name in graph.entry:
            if name not in nodes:
                self._unknown(graph.id, f"{where}.entry", "entry", name, nodes)
        if not graph.entry:
            targets = {edge.dst for edge in sound.values()}
            entries = [id_ for id_ in nodes if id_ not in targets]
        paths = Paths(list(nodes), list(sound.values()), entries)
        leaving: dict[str, list[tuple[int, Edge]]] = {id_: [] for id_ in nodes}
        for index, edge in sound.items():
            leaving[edge.src].append((index, edge))
        for node in graph.do:
            if node.after is not None:
                message = "in a graph edges alone order the nodes: after has no meaning"
                hint = f"write an edge: {', '.join(node.after)} -> {node.id}" if node.after else "leave it out"
                self._error(node, places[node.id], "after", message, hint)
            self._check_node(node, places[node.id], len(paths.incoming[node.id]), set(nodes), graph.regions)
            self._check_leaving(where, node, places[node.id], leaving[node.id])
        if entries:
            self._check_paths(graph, where, paths, places)
        elif graph.do and not graph.entry:
            message = "the graph has no place to begin: an edge leads to every node"
            self._findings.error(graph.id, f"{where}.entry", message, "name the first node: entry: id")

    def _check_edge(self, graph: Graph, index: int, where: str, nodes: Mapping[str, Node]) -> bool:
        """Whether an edge leads from a node of the graph to one of it."""
        edge = graph.edges[index]
        place = f"{where}.edges[{index}]"
        sound = True
        for end, name in (("from", edge.src), ("to", edge.dst)):
            if name not in nodes:
                self._unknown(graph.id, place, f"the edge {edge.src} -> {edge.dst}: {end}", name, nodes)
                sound = False
        if not sound:
            return False
        ports = _ports(nodes[edge.src])
        if edge.port not in ports:
            message = f"{edge.src!r} is never left by the port {edge.port!r}"
            hint = did_you_mean(edge.port, ports) or f"it has: {', '.join(ports)}"
            self._findings.error(edge.src, place, message, hint)
        if edge.errors and edge.port != "error":
            message = "errors count only for edges of the port error"
            self._findings.error(edge.src, place, message, "add port: error")
        if edge.default and edge.when is not None:
            message = "the default edge is taken when no other is: its condition has no meaning"
            self._findings.error(edge.src, place, message, "leave out when, or default")
        return True

    def _check_regions(self, graph: Graph, where: str, nodes: Mapping[str, Node]) -> None:
        for name, ids in graph.regions.items():
            place = f"{where}.regions.{name}"
            if name in nodes or name == "run":
                what = "also a node" if name in nodes else "what cancels calls the whole run"
                self._findings.error(graph.id, place, f"the region {name!r} is {what}", "give it another name")
            for id_ in ids:
                if id_ not in nodes:
                    self._unknown(graph.id, place, f"the region {name!r}", id_, nodes)

    def _check_leaving(self, where: str, node: Node, place: str, own: Sequence[tuple[int, Edge]]) -> None:
        """How a node is left: the edges of each port, and whether its split can choose among them."""
        by_port: dict[str, list[tuple[int, Edge]]] = {}
        for index, edge in own:
            by_port.setdefault(edge.port, []).append((index, edge))
        for port, found in by_port.items():
            self._check_choice(node, where, port, found)
        for event in node.boundary:
            if event.port not in by_port:
                message = f"no edge leads on from the port {event.port!r}"
                self._warn(node, place, "boundary", message, f"add {{from: {node.id}, to: ..., port: {event.port}}}")
        if isinstance(node, Decision) and own and "ok" not in by_port:
            for case in node.cases:
                if case not in by_port:
                    message = f"no edge leads on from the case {case!r}"
                    hint = f"add {{from: {node.id}, to: ..., port: {case}}}"
                    self._findings.warning(node.id, f"{place}.decision.{case}", message, hint)

    def _check_choice(self, node: Node, where: str, port: str, edges: Sequence[tuple[int, Edge]]) -> None:
        """The edges of one port: conditions need a split, and a split something to take when none holds."""
        split = node.split if port == "ok" or port not in OWN_PORTS else "and"
        defaults = [index for index, edge in edges if edge.default]
        for index, edge in edges:
            if (edge.when is not None or edge.default) and split not in ("xor", "or"):
                what = "condition" if edge.when is not None else "default"
                message = f"the {what} of this edge has no meaning: {node.id!r} takes all of its edges"
                hint = f"add split: xor (or split: or) to {node.id!r}" if split == "and" else "leave it out"
                self._findings.error(node.id, f"{where}.edges[{index}]", message, hint)
        if len(defaults) > 1:
            message = f"{node.id!r} has several default edges"
            self._findings.error(node.id, f"{where}.edges[{defaults[1]}]", message, "keep one of them")
        if split not in ("xor", "or") or defaults:
            return
        free = next((number for number, (_, edge) in enumerate(edges) if edge.when is None), None)
        if free is None:
            message = f"the split {split} has no default: when no condition holds, the run fails with NoBranch"
            hint = "add default: true to the edge for the rest"
            self._findings.warning(node.id, f"{where}.edges[{edges[-1][0]}]", message, hint)
        elif split == "xor" and free < len(edges) - 1:
            message = f"this edge is never taken: one without a condition, {edges[free][1].dst!r}, comes before it"
            self._findings.warning(node.id, f"{where}.edges[{edges[free + 1][0]}]", message, "put it first")

    def _check_paths(self, graph: Graph, where: str, paths: Paths, places: Mapping[str, str]) -> None:
        """What the shape of the whole graph says: nodes out of reach, circles without rest, joins that wait in vain."""
        nodes = {node.id: node for node in graph.do}
        reached = paths.reachable(lambda edge: edge.port != "ok" or not isinstance(nodes[edge.src], (End, Fail)))
        for node in graph.do:
            if node.id not in reached:
                message = "the node can never run: no edges lead to it from where the graph begins"
                hint = "add an edge to it, or name it in entry"
                self._findings.error(node.id, places[node.id], message, hint)
        circle = paths.circle([node.id for node in graph.do if not rests(node)])
        if circle:
            chain = " -> ".join([*circle, circle[0]])
            message = f"tokens would go round without end and without rest: {chain}"
            index = next(i for i, edge in enumerate(graph.edges) if edge.src in circle and edge.dst in circle)
            hint = "a circle needs a task, a sleep or a signal in it"
            self._findings.error(circle[0], f"{where}.edges[{index}]", message, hint)
        self._check_deadlocks(graph.do, places, paths)

    # ---- one node ---------------------------------------------------------------------------------------------------

    def _check_node(
        self, node: Node, place: str, incoming: int, siblings: set[str], regions: Mapping[str, object]
    ) -> None:
        """Its join, and the names in ``cancels`` and ``enabled_while``."""
        targets = {*siblings, *regions}
        for name in node.cancels:
            if name != "run" and name not in targets:
                self._unknown(node.id, f"{place}.cancels", "cancels", name, {*targets, "run"})
        if node.enabled_while is not None:
            for call in _marking_calls(node.enabled_while):
                (asked,) = call.arguments
                if isinstance(asked, ast.Literal) and asked.value not in siblings:
                    self._unknown(node.id, f"{place}.enabled_while", call.function, str(asked.value), siblings)
        join = node.join
        if join is None:
            return
        if join.mode == "n" and join.n > incoming and incoming:
            message = f"the join waits for {join.n} edges, and {incoming} lead to it: it never fires"
            self._error(node, place, "join", message, f"n is at most {incoming}")
        if join.region and (join.mode != "n" or join.rest != "cancel"):
            message = "the region of a join is what rest: cancel withdraws"
            self._error(node, place, "join", message, "add rest: cancel, or leave the region out")
        for name in join.region:
            if name not in targets:
                self._unknown(node.id, f"{place}.join", "the region of the join", name, targets)

    def _check_deadlocks(self, nodes: Sequence[Node], places: Mapping[str, str], paths: Paths) -> None:
        """Joins that wait for all of their edges though a choice before them takes only one."""
        several = {node.id for node in nodes if node.join is not None and node.join.mode not in ("and", "or")}
        waiting = [
            node
            for node in nodes
            if (node.join is None or node.join.mode == "and") and len(paths.incoming[node.id]) > 1
        ]
        steps = 0
        for source in nodes if waiting else ():
            branches = _branches(source, paths.outgoing[source.id])
            steps += paths.size * len(branches)
            if len(branches) < 2 or steps > NET_CHECK_STEPS_MAX:
                continue
            choice = paths.choice(source.id, branches)
            for node in waiting:
                pair = choice.exclusive_pair(paths.incoming[node.id])
                if pair is None:
                    continue
                message = f"the node waits for {pair[0]!r} and {pair[1]!r}, but {source.id!r} leads to only one of them"
                if pair[0] == pair[1]:
                    message = f"the node waits for two edges of {source.id!r}, which takes only one of them"
                hint = "add join: each (every token is a firing), or join: or"
                certain = paths.fires_once(source.id, several)
                self._error(node, places[node.id], "join", message, hint, certain=certain)

    # ---- findings ---------------------------------------------------------------------------------------------------

    def _error(
        self, node: Node, place: str, key: str, message: str, hint: str | None = None, *, certain: bool = True
    ) -> None:
        report = self._findings.error if certain else self._findings.warning
        report(node.id, f"{place}.{key}" if getattr(node, key) else place, message, hint)

    def _warn(self, node: Node, place: str, key: str, message: str, hint: str | None = None) -> None:
        self._findings.warning(node.id, f"{place}.{key}", message, hint)

    def _unknown(self, node: str, place: str, what: str, name: str, known: Iterable[str]) -> None:
        if name in self._outline.nodes:
            message = f"{what} names {name!r}, which is in another block: it can only name nodes of the same"
            self._findings.error(node, place, message, did_you_mean(name, known))
        else:
            self._findings.error(
                node, place, f"{what} names {name!r}, but there is no such node", did_you_mean(name, known)
            )


def _ports(node: Node) -> list[str]:
    """The ways in which a node may be left."""
    cases = list(node.cases) if isinstance(node, Decision) else []
    return list(dict.fromkeys([*OWN_PORTS, *(event.port for event in node.boundary), *cases]))


def _branches(node: Node, edges: Sequence[Edge]) -> list[list[Edge]]:
    """Groups of edges of which a node takes one group only; a single group when it may take several."""
    groups: dict[object, list[Edge]] = {}
    exclusive = node.split in ("xor", "deferred")
    for number, edge in enumerate(edges):
        if edge.port == "cancelled" or any(
            event.port == edge.port and not event.interrupting for event in node.boundary
        ):
            return []
        if edge.port == "ok" and isinstance(node, Decision) and len({e.port for e in edges}) > 1:
            return []
        groups.setdefault(number if exclusive and edge.port == "ok" else edge.port, []).append(edge)
    return list(groups.values())


def _marking_calls(text: str) -> Iterable[ast.Call]:
    try:
        return list(calls_of(compile_expression(text).ast, MARKING))
    except ExpressionError:
        return ()
