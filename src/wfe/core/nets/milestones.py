"""Milestones (pattern 18): nodes that may begin only while a predicate over the marking holds (R4, ``enabled_while``).

It is evaluated when a token comes and again after each change of the marking that it asks about, before anything else
moves: so a milestone that is passed within one turn is not missed.
"""

from __future__ import annotations

from typing import Any

from wfe.core.nets.shape import NetNode
from wfe.core.plan import Plan
from wfe.core.turn import Turn
from wfe.core.values import lookup_for, truth
from wfe.errors import ExpressionError
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.event import FaultRaised
from wfe.model.event_nets import FiringReleased
from wfe.model.marking import Marking
from wfe.model.policy import ErrorInfo


def fail_net(turn: Turn, key: int, kind: str, message: str, node_id: str = "") -> None:
    """A fault of the net itself: it climbs from the block that is the net."""
    act, block = divmod(key, turn.plan.stride)
    error = ErrorInfo(kind, message[:ERROR_MESSAGE_CHARS_MAX], node_id, types=(kind,))
    turn.emit(FaultRaised(block, act, error))


def is_enabled(turn: Turn, key: int, node: NetNode) -> bool | None:
    """Whether the predicate of a node holds now; None: it has no value, which is a fault of the net."""
    if node.enabled is None:
        return True
    run, plan = turn.run, turn.plan
    marking = run.nets[key]
    around = lookup_for(run, plan, plan.nets[marking.net].scope, key // plan.stride, turn.now_ms)

    def lookup(name: str) -> Any:
        asked = _asked(plan, marking, name)
        return around(name) if asked is None else asked

    try:
        return truth(node.enabled.evaluate(lookup), node.enabled.text)
    except ExpressionError as error:
        fail_net(turn, key, "expression", str(error), plan.nodes[node.index].id)
        return None


def _asked(plan: Plan, marking: Marking, name: str) -> bool | None:
    """What ``active(id)`` and ``done(id)`` say."""
    function, bracket, rest = name.partition("(")
    if not bracket or function not in ("active", "done"):
        return None
    index = plan.by_id.get(rest.removesuffix(")"), -1)
    return index in (marking.active if function == "active" else marking.done)


def recheck(turn: Turn, key: int, changed: tuple[int, ...] | None) -> None:
    """The marking has changed: let go the tokens whose node is enabled now. ``changed``: nodes whose predicates may say
    something else; None: all."""
    marking = turn.run.nets.get(key)
    if marking is None or not marking.held:
        return
    nodes = turn.plan.nets[marking.net].nodes
    act, block = divmod(key, turn.plan.stride)
    waiting: dict[int, int] = {}
    for index, _ in marking.held:
        waiting[index] = waiting.get(index, 0) + 1
    for index, count in waiting.items():
        if (changed is None or index in changed) and is_enabled(turn, key, nodes[index]):
            for _ in range(count):
                turn.emit(FiringReleased(block, act, index))
