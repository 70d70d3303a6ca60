"""Which edges a node of a net is left by (rules R6 and R7). Reads a net, never the state."""

from __future__ import annotations

from collections.abc import Callable

from wfe.core.nets.shape import Net, NetEdge, NetNode
from wfe.model.definition import Decision, Node
from wfe.model.policy import ErrorInfo

Holds = Callable[[NetEdge], bool]


def ok_edges(net: Net, node: NetNode, definition: Node, case: object) -> tuple[int, ...]:
    """Edges that a node may leave by when it has ended. ``case``: a decision's value; the name of a case is a port."""
    edges = node.ports.get("ok", ())
    if not isinstance(definition, Decision) or case not in definition.cases or case == "ok":
        return edges
    return tuple(sorted((*edges, *node.ports.get(str(case), ()))))


def chosen_edges(net: Net, node: NetNode, edges: tuple[int, ...], holds: Holds) -> tuple[int, ...] | None:
    """Those that the split takes; None when it finds none. ``holds`` evaluates an edge's condition."""
    if not edges or node.split in ("and", "deferred"):
        return edges
    found: list[int] = []
    for number in edges:
        edge = net.edges[number]
        if not edge.default and (edge.when is None or holds(edge)):
            found.append(number)
            if node.split == "xor":
                break
    return tuple(found) or tuple(number for number in edges if net.edges[number].default)[:1] or None


def fault_edges(net: Net, node: NetNode, error: ErrorInfo) -> tuple[int, ...]:
    """Edges that take a fault: all matching ones of the port of the first that matches; none: the fault climbs."""

    def port_of(edge: NetEdge) -> str:
        if "timeout" in edge.ports and error.is_a("TimedOut"):
            return "timeout"
        if "error" in edge.ports and (not edge.errors or any(error.is_a(name) for name in edge.errors)):
            return "error"
        return ""

    ports = {number: port for number in node.outgoing if (port := port_of(net.edges[number]))}
    first = next(iter(ports.values()), "")
    return tuple(number for number, port in ports.items() if port == first)
