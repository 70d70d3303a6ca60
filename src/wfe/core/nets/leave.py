"""The end of a firing: which edges its tokens leave by, and what its end withdraws."""

from __future__ import annotations

from typing import Any

from wfe.core.expressions import Absent, Lookup
from wfe.core.faults import end_run, raise_fault, withdrawing
from wfe.core.nets.milestones import fail_net, recheck
from wfe.core.nets.ports import chosen_edges, ok_edges
from wfe.core.nets.shape import Net, NetEdge, NetNode
from wfe.core.plan import SourceKind
from wfe.core.turn import ALL, Turn
from wfe.core.values import decode, lookup_for, truth
from wfe.errors import ExpressionError
from wfe.model.definition import Decision
from wfe.model.event_nets import FiringEmptied, FiringEnded, FiringMissed
from wfe.model.state import CANCELLED


class NoBranchError(Exception):
    """No edge of a split may be taken."""


def end_firing(turn: Turn, firing: int) -> None:
    """A firing's frame has nothing left to do."""
    run, plan = turn.run, turn.plan
    key = run.frames[firing].group
    marking = run.nets[key]
    act, block = divmod(key, plan.stride)
    if firing in marking.lingering:
        if not any(group // plan.stride == firing for group in run.groups):
            turn.emit(FiringEmptied(block, act, firing))
            turn.touch(key, 0)
        return
    net = plan.nets[marking.net]
    node = net.nodes[marking.firings[firing]]
    if node.ends_run:
        end_run(turn, CANCELLED)
        return
    try:
        edges = leaving_edges(turn, key, node, firing)
    except (NoBranchError, ExpressionError) as error:
        kind = "NoBranch" if isinstance(error, NoBranchError) else "expression"
        raise_fault(turn, firing, plan.nodes[node.index], kind, str(error))
        return
    event = FiringEnded(block, act, firing, edges)
    if node.sweeps or firing in marking.choices:
        withdrawing(turn, event)
        turn.touch(key, ALL)
        recheck(turn, key, None)
        return
    turn.emit(event)
    moved(turn, key, net, node, edges)


def moved(turn: Turn, key: int, net: Net, node: NetNode, edges: tuple[int, ...]) -> None:
    """Tokens went from a node over these edges: note what that may let go on."""
    joins = node.watch
    for number in edges:
        joins |= net.nodes[net.edges[number].dst].watch
    turn.touch(key, joins)
    if turn.run.nets[key].held:
        recheck(turn, key, node.heard)


def leaving_edges(turn: Turn, key: int, node: NetNode, firing: int) -> tuple[int, ...]:
    """The edges by which a node is left that has ended (R6). ``firing`` -1: it was passed by, its value is null."""
    run, plan = turn.run, turn.plan
    net = plan.nets[run.nets[key].net]
    definition = plan.nodes[node.index].node
    seen = _lookup(turn, key, net, node, firing)
    case: Any = None
    if isinstance(definition, Decision) and firing >= 0 and node.index in run.frames[firing].values:
        case = decode(run.frames[firing].values[node.index])

    def holds(edge: NetEdge) -> bool:
        assert edge.when is not None
        return truth(edge.when.evaluate(seen), edge.when.text)

    edges = chosen_edges(net, node, ok_edges(net, node, definition, case), holds)
    if edges is None:
        targets = ", ".join(plan.nodes[net.edges[number].dst].id for number in node.outgoing)
        raise NoBranchError(f"no condition on the way from {definition.id} to {targets} holds, and none is the default")
    return edges


def _lookup(turn: Turn, key: int, net: Net, node: NetNode, firing: int) -> Lookup:
    """Conditions on edges see what is around the net, and the values of the firing that leaves."""
    run, plan = turn.run, turn.plan
    around = lookup_for(run, plan, net.scope, key // plan.stride, turn.now_ms)
    names = plan.scopes[net.scope].names
    stop = plan.nodes[node.index].stop

    def lookup(name: str) -> Any:
        source = names.get(name)
        if source is None or source.kind is not SourceKind.NODE or not node.index <= source.node < stop:
            return around(name)
        if firing < 0 and source.node == node.index:
            return None
        value = None if firing < 0 else run.frames[firing].values.get(source.node)
        if value is None:
            raise Absent(f"{name} has no value here")
        return decode(value)

    return lookup


def miss(turn: Turn, key: int, node: NetNode) -> bool:
    """A token passes a node by that is not enabled. False: it can't, which is a fault of the net."""
    plan = turn.plan
    act, block = divmod(key, plan.stride)
    net = plan.nets[turn.run.nets[key].net]
    try:
        edges = leaving_edges(turn, key, node, -1)
    except (NoBranchError, ExpressionError) as error:
        kind = "NoBranch" if isinstance(error, NoBranchError) else "expression"
        fail_net(turn, key, kind, str(error), plan.nodes[node.index].id)
        return False
    withdrawing(turn, FiringMissed(block, act, node.index, edges))
    moved(turn, key, net, node, edges)
    return True
