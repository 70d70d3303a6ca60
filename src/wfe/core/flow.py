"""What each node may count on when it starts: what has surely ended, which values exist, of which types. Pure.

Rules 1 and 5 of the design. A node starts when its *predecessors* (siblings: the one above, those in ``after``, or in
a `Parallel` those whose values it names) have ended; with a join, when some of them have. What has surely ended by then
is everything that the predecessors counted on, the predecessors, and the nodes inside them; of those inside, a value
made under a condition (when, catch, race, a bypassed block) is *optional*, and one made in a map or loop body belongs
to that body alone. In a `Graph` the values of all siblings may be named: whether they exist shows at run time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wfe.core.expressions import compile_expression
from wfe.core.expressions import nodes as ast
from wfe.core.findings import Findings, did_you_mean
from wfe.core.net_checks import NetChecker, Ways, withdrawn_ids
from wfe.core.nets.wiring import is_net
from wfe.core.references import Site
from wfe.core.sites import SiteReader
from wfe.core.state_checks import StateChecker
from wfe.core.value_types import ValueTypes
from wfe.core.visibility import Known, NameChecker, Outline, all_of, blocks_of, kind_name, local_names, one_of
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Assign,
    Block,
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
    walk,
)


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
        case Parallel() | Block() | Lock():
            return not is_net(node.do) and any(never_ends(inner) for inner in node.do)
        case Race():
            return bool(node.do) and all(never_ends(inner) for inner in node.do)
        case When():
            covers = bool(node.branches) and node.branches[-1].cond is None
            return covers and all(
                not is_net(branch.do) and any(never_ends(inner) for inner in branch.do) for branch in node.branches
            )
        case Catch():
            return not is_net(node.do) and any(never_ends(inner) and not _can_fail(inner) for inner in node.do)
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
        self._outline = Outline(definition)
        self._names = NameChecker(self._outline, findings)
        self._types = ValueTypes(definition, findings, active=typed)
        self._nets = NetChecker(self._outline, findings)
        self._states = StateChecker(self._outline, self._names, findings)
        self._sites: dict[str, list[Site]] = {}
        self._edge_sites: dict[str, list[tuple[str, Site]]] = {}
        """Graph -> the conditions of its edges, each with the node that it leaves."""
        self._named: dict[str, frozenset[str]] = {}
        self._won: dict[tuple[str, str], Known] = {}
        """Race and child -> what is known where the child has won."""

    def check(self) -> None:
        """Checks the whole definition."""
        definition = self._definition
        self._gather(definition.nodes, "nodes", None)
        at_end = self._block(definition.nodes, "nodes", Known(), None)
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
            self._outline.add(node, around)
            sites = list(self._reader.node(node, where))
            self._sites[node.id] = sites
            own = {name for site in sites for name in site.uses.names}
            if isinstance(node, Graph):
                edges = [(edge.src, site) for edge, site in self._reader.edges(node, where)]
                self._edge_sites[node.id] = edges
                own |= {name for _, site in edges for name in site.uses.names}
            if isinstance(node, Assign):
                own.add(node.state)
            for block, place in blocks_of(node, where):
                own |= self._gather(block, place, node.id)
            self._named[node.id] = frozenset(own)
            mentioned |= own
        return frozenset(mentioned)

    # ---- the walk ---------------------------------------------------------------------------------------------------

    def _block(self, nodes: tuple[Node, ...], prefix: str, start: Known, holder: Node | None) -> Known:
        """Checks the nodes of a block that starts with what ``start`` says; gives what is known when it has ended."""
        if isinstance(holder, Graph):
            return self._graph(holder, prefix, start)
        places = {node.id: f"{prefix}[{index}]" for index, node in enumerate(nodes)}
        if isinstance(holder, Race):
            before: dict[str, list[str]] = {node.id: [] for node in nodes}
            self._nets.check_race(nodes, places)
        else:
            before = predecessors(nodes, self._named, concurrent=isinstance(holder, Parallel))
            self._check_after(nodes, before, places)
            self._nets.check_block(nodes, places, before)
        order, stuck = _topological(nodes, before)
        if stuck:
            self._report_circle(stuck, before, places)
        ways = Ways(before)
        withdrawn = withdrawn_ids(nodes, before) if is_net(nodes) else frozenset()
        starts: dict[str, Known] = {}
        ended: dict[str, Known] = {}
        lost: set[str] = set()
        for node in order:
            known = start | self._when_joined(node, [ended.get(name, Known()) for name in before[node.id]])
            if stuck and node.id in stuck:  # the circle is reported; what its nodes know cannot be told
                known |= Known(sum(self._outline.bits[inner.id] for inner in walk(nodes)))
            self._check_reachable(node, before[node.id], lost, places)
            starts[node.id] = known
            added = self._node(node, places[node.id], known)
            ended[node.id] = known | (added.demoted() if node.id in withdrawn else added)
            ways.add(node)
            if isinstance(holder, Race):
                self._won[holder.id, node.id] = ended[node.id]
        self._states.check_block(nodes, places, starts)
        return start | all_of(
            Known(start.sure, 0) | known.without(start).demoted() if ways.unsure(id_) else known
            for id_, known in ended.items()
        )

    @staticmethod
    def _when_joined(node: Node, ended: list[Known]) -> Known:
        """What is known when a node starts that waits for all of these, or by its join for some."""
        if node.join is None or node.join.mode == "and" or (node.join.mode == "n" and node.join.n >= len(ended)):
            return all_of(ended)
        return one_of(ended)

    def _graph(self, graph: Graph, prefix: str, start: Known) -> Known:
        """Nodes that run in any order, and again: siblings' values may be named, its own may be missing."""
        bits = self._outline.bits
        self._nets.check_graph(graph, prefix.removesuffix(".do"))
        seen = {node.id: self._visible_in(node) for node in graph.do}
        everything = all_of(seen.values())
        after: dict[str, Known] = {}
        starts: dict[str, Known] = {}
        for index, node in enumerate(graph.do):
            known = start | everything
            known = Known(known.sure & ~bits[node.id], known.maybe | seen[node.id].sure | seen[node.id].maybe)
            starts[node.id] = known
            after[node.id] = known | self._node(node, f"{prefix}[{index}]", known)
        for source, site in self._edge_sites[graph.id]:
            self._site(source, site, after.get(source, start | everything))
        self._states.check_declared(graph.do, prefix, starts)
        return start | everything.demoted()

    def _visible_in(self, node: Node) -> Known:
        """What siblings in a graph may name: the node, and what is made inside it in frames that are not its own."""
        inside = 0
        if not isinstance(node, (Map, Loop)):
            for block, _ in blocks_of(node, ""):
                for inner in block:
                    found = self._visible_in(inner)
                    inside |= found.sure | found.maybe
        return Known(self._outline.bits[node.id], inside)

    def _node(self, node: Node, where: str, known: Known) -> Known:
        """Checks one node; gives what its end adds."""
        inner = known | (self._proven(node.if_) if node.if_ is not None else Known())
        for site in self._sites[node.id]:
            if not site.at_end:
                self._site(node.id, site, known if site.where.endswith(".if") else inner)
        own = Known(self._outline.bits[node.id])
        if isinstance(node, (Map, Loop)):
            self._body(node, where, inner)
            self._types.node(node, where)
            return own
        inside = Known()
        for index, (block, place) in enumerate(blocks_of(node, where)):
            entry = inner
            if isinstance(node, When) and (cond := node.branches[index].cond) is not None:
                entry |= self._proven(cond)
            inside |= self._block(block, place, entry, node)
        inside = inside.without(known)
        self._types.node(node, where)
        if isinstance(node, Assign) and self._states.check_target(node, where, known):
            self._types.check_assign(node, where)
        if isinstance(node, (When, Catch, Race)) or node.if_ is not None:
            inside = inside.demoted()
        return own | inside

    def _body(self, node: Map | Loop, where: str, known: Known) -> None:
        """The nodes of a map or loop, in a frame of their own."""
        names = self._outline.locals
        outer = dict(names)
        for name, key in local_names(node).items():
            if name in names:
                holder = self._outline.nodes[names[name]]
                message = f"the name {name!r} hides the one of the {kind_name(holder)} {holder.id!r} around it"
                if isinstance(node, Map) and isinstance(holder, Map):
                    message = f"the item name {name!r} hides the one of the map {holder.id!r} around it"
                self._findings.warning(node.id, f"{where}.{key}", message, "give one of them another name")
            names[name] = node.id
        with self._types.inside(node):
            ended = self._block(node.do, f"{where}.do", known, node)
            for site in self._sites[node.id]:
                if site.at_end:
                    self._site(node.id, site, ended)
            if isinstance(node, Map):
                self._types.body(node)
        self._outline.locals = outer

    def _proven(self, condition: str) -> Known:
        """What is known besides where a condition such as ``race.winner == "a"`` holds."""
        try:
            tree = compile_expression(condition).ast
        except ExpressionError:
            return Known()
        return all_of(self._won.get(pair, Known()) for pair in _winners(tree))

    # ---- one block --------------------------------------------------------------------------------------------------

    def _check_after(self, nodes: tuple[Node, ...], before: dict[str, list[str]], places: dict[str, str]) -> None:
        siblings = set(places)
        for node in nodes:
            for name in before[node.id]:
                if name in siblings and name != node.id:
                    continue
                if name == node.id:
                    message = "the node waits for itself"
                elif name in self._outline.nodes:
                    message = f"after names {name!r}, which is in another block: it can only name nodes of the same"
                else:
                    message = f"after names {name!r}, but there is no such node"
                self._findings.error(node.id, f"{places[node.id]}.after", message, did_you_mean(name, siblings))
            before[node.id] = [name for name in before[node.id] if name in siblings and name != node.id]

    def _report_circle(self, stuck: set[str], before: dict[str, list[str]], places: dict[str, str]) -> None:
        circle = _circle(stuck, before)
        chain = " -> ".join([*circle, circle[0]])
        first = min(circle, key=lambda id_: self._outline.bits[id_])
        message = f"nodes wait for each other in a circle: {chain}"
        hint = "each waits for the next; remove one of the waits, or draw the way back in a graph"
        self._findings.error(first, f"{places[first]}.after", message, hint)

    def _check_reachable(self, node: Node, before: Sequence[str], lost: set[str], places: dict[str, str]) -> None:
        """``lost``: nodes seen so far after which nothing runs, or that never run themselves."""
        behind = [name for name in before if name in lost]
        if node.join is not None and node.join.mode != "and" and len(behind) < len(before):
            behind = []
        if behind and not any(f"unreachable {name}" in lost for name in behind):
            message = f"the node can never run: {behind[0]!r} before it always ends the run"
            self._findings.error(node.id, places[node.id], message, "remove it, or make the one before it conditional")
        if behind:
            lost.update((node.id, f"unreachable {node.id}"))
        elif never_ends(node):
            lost.add(node.id)

    # ---- one expression ---------------------------------------------------------------------------------------------

    def _site(self, node: str | None, site: Site, known: Known) -> None:
        if self._findings.full:
            return
        found = self._findings.count
        self._names.check(node, site.where, site.uses, known, site.bound)
        if self._findings.count == found:
            self._types.site(node, site)


def _winners(condition: ast.Node) -> Iterable[tuple[str, str]]:
    """(race, child) for which a condition that holds says that the child has won."""
    match condition:
        case ast.Binary("==", ast.Field(ast.Name(race), "winner"), ast.Literal(str(child))):
            return ((race, child),)
        case ast.Binary("==", ast.Literal(str(child)), ast.Field(ast.Name(race), "winner")):
            return ((race, child),)
        case ast.Logic("&&", operands):
            return tuple(pair for operand in operands for pair in _winners(operand))
        case _:
            return ()


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
