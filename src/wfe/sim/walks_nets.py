"""What became of the nodes of a net; how its tokens moved the ledger knows. Part of `walks`, whose rules hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.model.definition import Graph, SubWorkflow
from wfe.sim.facts import Walked

if TYPE_CHECKING:
    from wfe.sim.expressions import Env
    from wfe.sim.interpreter import Interpreter
    from wfe.sim.ledger_kinds import Place


def graph(at: Interpreter, node: Graph, place: Place, env: Env) -> Walked:
    """Each firing ends, fails or is withdrawn by itself; the net ends when no token is left."""
    facts = at.facts
    found = Walked()
    for member, firing in facts.firings.get(place, []):
        walked = _firing(at, member, firing, env)
        left = facts.left_net.get(firing)
        if left == "ok" and not walked.done:
            raise at.book.fail(f"firing {firing} of {node.id} ends: {walked}")
        if left not in (None, "ok") and left not in walked.faults:
            raise at.book.fail(f"firing {firing} of {node.id} fails with {left}: {walked}")
        if left is None:
            found.take(walked)
    if place in facts.nets_over:
        return Walked(stuck=place not in facts.nodes)
    found.stuck = True
    if place in facts.faults:
        found.faults.append(facts.faults[place])
    return found


def _firing(at: Interpreter, member: int, firing: int, env: Env) -> Walked:
    """A node that has ended, and finds no way out of its split, fails."""
    place, node = (member, firing), at.book.shape.nodes[member]
    own = True
    if isinstance(node, SubWorkflow):
        own = place in at.facts.nodes  # else the fault was its child's
    elif isinstance(node, Graph):
        own = place in at.facts.nets_over  # else a token inside could not pass a node by, and the net failed
    lost = own and at.facts.faults.get(place) == "NoBranch"
    if lost:
        del at.facts.faults[place]
    walked = at.node(node, firing, dict(env))
    if not lost:
        return walked
    if not walked.done:
        raise at.book.fail(f"firing {firing} finds no branch: {walked}")
    return Walked(faults=["NoBranch"])
