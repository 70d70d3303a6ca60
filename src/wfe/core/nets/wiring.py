"""A block of a definition -> a net: which blocks are nets, their edges, and what is computed about them in advance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wfe.core.expressions import Expression, compile_expression
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.signatures import MARKING
from wfe.core.nets.reach import reachable_edges
from wfe.core.nets.shape import Net, NetEdge, NetNode
from wfe.core.plan import Op, PlanNode
from wfe.errors import DefinitionError
from wfe.model.definition import Decision, Graph, Map, Node
from wfe.model.net import Edge, Join

_AND = Join()
_RUN = "run"


def is_net(nodes: Sequence[Node]) -> bool:
    """Whether a list of nodes needs the token game; everything else stays in the structured class."""
    return any(
        node.join is not None
        or node.cancels
        or node.split != "and"
        or node.enabled_while is not None
        or node.boundary
        or leaves_early(node)
        for node in nodes
    )


def leaves_early(node: Node) -> bool:
    """A map that may end while its items go on."""
    early = isinstance(node, Map) and (node.complete_after is not None or node.complete_when is not None)
    return early and getattr(node, "rest", "") == "continue"


def edges_of_block(before: Mapping[str, tuple[str, ...]]) -> tuple[Edge, ...]:
    """The edges that the order of a block gives."""
    return tuple(Edge(source, id_) for id_, sources in before.items() for source in sources)


def make_net(
    index: int,
    block: int,
    scope: int,
    members: Mapping[str, PlanNode],
    edges: Sequence[Edge],
    graph: Graph | None,
) -> Net:
    """The net of these nodes, by id. Without a graph its edges are those of a block: the cancelled leave by them."""
    wired: list[NetEdge] = []
    for edge in edges:
        for id_ in (edge.src, edge.dst):
            if id_ not in members:
                raise DefinitionError([f"an edge leads from or to {id_!r}, which is not in the same block"])
        ports = (edge.port,) if graph is not None else ("ok", "cancelled")
        when = None if edge.when is None else compile_expression(edge.when)
        source, target = members[edge.src].index, members[edge.dst].index
        wired.append(NetEdge(source, target, ports, edge.weight, edge.errors, when, edge.default))
    regions = {} if graph is None else graph.regions
    nodes = {node.index: _node(node, members, regions) for node in members.values()}
    for number, made in enumerate(wired):
        nodes[made.dst].incoming += (number,)
        nodes[made.src].outgoing += (number,)
    for node in nodes.values():
        node.ports = _ports(node, wired)
        if node.join.rest == "cancel" and node.join.mode == "n":
            named = _positions(node.join.region, members, regions)
            node.region = named or tuple(dict.fromkeys(wired[e].src for e in node.incoming))
    entry = _entry(graph, members, nodes)
    net = Net(index, block, scope, nodes, tuple(wired), entry)
    _study(net)
    return net


def _node(plan_node: PlanNode, members: Mapping[str, PlanNode], regions: Mapping[str, tuple[str, ...]]) -> NetNode:
    node = plan_node.node
    timers = [number for number, event in enumerate(node.boundary) if event.after_ms is not None]
    return NetNode(
        plan_node.index,
        plan_node.scope,
        node.join or _AND,
        split=node.split,
        cancels=_positions(node.cancels, members, regions),
        ends_run=_RUN in node.cancels and _RUN not in members and _RUN not in regions,
        enabled=None if node.enabled_while is None else compile_expression(node.enabled_while),
        skips=node.on_missed == "skip",
        boundary=node.boundary,
        timers=tuple(sorted(timers, key=lambda number: node.boundary[number].after_ms or 0)),
        lingers=leaves_early(node),
    )


def _positions(
    names: Sequence[str], members: Mapping[str, PlanNode], regions: Mapping[str, tuple[str, ...]]
) -> tuple[int, ...]:
    """Nodes and regions by name, as positions in order of declaration."""
    found: set[int] = set()
    for name in names:
        if name == _RUN and name not in members and name not in regions:
            continue
        for id_ in regions.get(name, (name,)):
            if id_ not in members:
                raise DefinitionError([f"{id_!r} is cancelled by a node of another block"])
            found.add(members[id_].index)
    return tuple(sorted(found))


def _ports(node: NetNode, edges: Sequence[NetEdge]) -> dict[str, tuple[int, ...]]:
    ports: dict[str, tuple[int, ...]] = {}
    for number in node.outgoing:
        for port in edges[number].ports:
            ports[port] = (*ports.get(port, ()), number)
    return ports


def _entry(graph: Graph | None, members: Mapping[str, PlanNode], nodes: Mapping[int, NetNode]) -> tuple[int, ...]:
    if graph is not None and graph.entry:
        return _positions(graph.entry, members, {})
    entry = tuple(index for index, node in nodes.items() if not node.incoming)
    if nodes and not entry:
        raise DefinitionError([f"every one of the nodes {', '.join(members)} waits for another one: name an entry"])
    return entry


def _study(net: Net) -> None:
    """What depends on the net as a whole."""
    modes = {index: node.join.mode for index, node in net.nodes.items()}
    net.joins = tuple(index for index, mode in modes.items() if mode in ("or", "n"))
    net.reach = tuple(reachable_edges(net.nodes[index], net.nodes, net.edges) for index in net.joins)
    for bit, (join, reach) in enumerate(zip(net.joins, net.reach, strict=True)):
        for index in {join, *reach}:
            net.nodes[index].watch |= 1 << bit
    for node in net.nodes.values():
        targets = [net.nodes[net.edges[number].dst] for number in node.outgoing]
        node.sweeps = bool(node.cancels) or any(target.region for target in targets)
    listeners: dict[str, tuple[int, ...]] = {}
    for node in net.nodes.values():
        for signal in dict.fromkeys(event.signal for event in node.boundary if event.signal is not None):
            listeners[signal] = (*listeners.get(signal, ()), node.index)
    net.listeners = listeners


def names_of_net(net: Net, nodes: Sequence[PlanNode]) -> set[str]:
    """The names that edges and ``enabled_while`` mention, and the nodes whose value says how they are left."""
    names: set[str] = set()
    for edge in net.edges:
        if edge.when is not None:
            names |= edge.when.names
        source = nodes[edge.src]
        if isinstance(source.node, Decision) and any(port in source.node.cases for port in edge.ports):
            names.add(source.id)
    for node in net.nodes.values():
        if node.enabled is not None:
            names |= node.enabled.names
    return names


def finish_net(net: Net, nodes: Sequence[PlanNode], by_id: Mapping[str, int]) -> None:
    """What depends on everything else of the plan."""
    for member in net.nodes.values():
        plan_node = nodes[member.index]
        member.kept = tuple(n.index for n in nodes[plan_node.index : plan_node.stop] if n.keep)
        member.plain = plan_node.op is Op.TASK and not plan_node.guarded and plan_node.input.template is None
        if member.enabled is not None:
            for id_ in asked_nodes(member.enabled):
                index = by_id.get(id_, -1)
                if index not in net.nodes:
                    raise DefinitionError([f"{plan_node.id!r} asks about {id_!r}, which is not in the same net"])
                net.nodes[index].heard = tuple(dict.fromkeys((*net.nodes[index].heard, member.index)))


def asked_nodes(expression: Expression) -> list[str]:
    """The ids that ``active()`` and ``done()`` ask about."""
    return list(dict.fromkeys(_asked(expression.ast)))


def _asked(tree: ast.Node) -> Iterator[str]:
    if isinstance(tree, ast.Call) and tree.function in MARKING:
        (id_,) = tree.arguments
        if isinstance(id_, ast.Literal):
            yield str(id_.value)
        return
    for part in ast.children(tree):
        yield from _asked(part)
