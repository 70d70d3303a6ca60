"""Loops: one iteration after another (pattern 21), each in a frame of its own, bounded per turn and in all."""

from __future__ import annotations

from wfe.core.faults import raise_fault, withdrawing
from wfe.core.groups import length_of
from wfe.core.plan import PlanNode, ScopeKind
from wfe.core.turn import Turn
from wfe.core.values import evaluate_raw, evaluate_truth, group_key
from wfe.errors import ExpressionError
from wfe.limits import MAP_ITEMS_MAX, TURN_EVENTS_MAX
from wfe.model.blob import whole
from wfe.model.definition import Loop
from wfe.model.event import NodeDone
from wfe.model.event_kinds import IterationDone, IterationOpened, LoopDone, LoopOpened, LoopRested
from wfe.model.state import NULL, WAKE


def open_loop(turn: Turn, act: int, node: PlanNode) -> None:
    """Evaluate the items, if it goes over any; the first iteration opens when the loop closes (`close_loop`)."""
    items = NULL
    over = node.parts.get("items")
    if over is not None:
        try:
            items = evaluate_raw(turn.run, turn.plan, node.scope, act, over, turn.now_ms)
            count = length_of(whole(items, turn.run.blobs))
            if count is None:
                raise ExpressionError("a list of items is wanted")
            if count > MAP_ITEMS_MAX:
                raise ExpressionError(f"a loop over {count} items, the limit is {MAP_ITEMS_MAX}")
        except ExpressionError as error:
            raise_fault(turn, act, node, "expression", str(error))
            return
    turn.emit(LoopOpened(node.index, act, items))


def close_loop(turn: Turn, act: int, node: PlanNode) -> None:
    """No iteration is open: begin the next one, unless the loop is over, or has taken enough of this turn."""
    definition = node.node
    assert isinstance(definition, Loop)
    run = turn.run
    key = act * turn.plan.stride + node.index
    loop = run.loops[key]
    try:
        total = loop.count if loop.items is None else len(loop.items)
        goes_on = (loop.items is None and not loop.count) or loop.iteration < total
        if goes_on and "while_" in node.parts:
            goes_on = evaluate_truth(run, turn.plan, node.scope, act, node.parts["while_"], turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    if not goes_on:
        turn.emit(LoopDone(node.index, act))
    elif definition.max_iterations is not None and loop.iteration >= definition.max_iterations:
        message = f"loop {node.id} wants more than {definition.max_iterations} iterations"
        raise_fault(turn, act, node, "LoopLimit", message)
    elif len(turn.events) >= TURN_EVENTS_MAX:
        turn.emit(LoopRested(node.index, act, turn.now_ms))
        turn.arm(turn.now_ms, key * 2 + WAKE)
    else:
        turn.emit(IterationOpened(node.index, act, run.next_act))


def close_iteration(turn: Turn, act: int) -> None:
    """All nodes of an iteration have ended: the loop is over if ``until`` holds."""
    run, plan = turn.run, turn.plan
    loop_act, index = divmod(run.frames[act].group, plan.stride)
    node = plan.nodes[index]
    until = node.parts.get("until")
    if until is not None:
        try:
            over = evaluate_truth(run, plan, node.body, act, until, turn.now_ms)
        except ExpressionError as error:
            raise_fault(turn, loop_act, node, "expression", str(error))
            return
        if over:
            turn.emit(LoopDone(index, loop_act))
            return
    turn.emit(IterationDone(index, loop_act))


def resume_loop(turn: Turn, act: int, node: PlanNode) -> None:
    """A loop that rested goes on."""
    close_loop(turn, act, node)


def open_break(turn: Turn, act: int, node: PlanNode) -> None:
    """End the innermost loop around the node if the condition holds; what else runs inside is withdrawn."""
    run, plan = turn.run, turn.plan
    assert node.expression is not None
    try:
        holds = evaluate_truth(run, plan, node.scope, act, node.expression, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    if not holds:
        turn.emit(NodeDone(node.index, act))
        return
    scope, inner = node.scope, act
    while scope > 0:
        outer, index = divmod(group_key(run, plan, scope, inner), plan.stride)
        if plan.scopes[scope].kind is ScopeKind.ITERATION:
            withdrawing(turn, LoopDone(index, outer))
            return
        scope, inner = plan.scopes[scope].parent, outer
    raise_fault(turn, act, node, "NoLoop", f"{node.id} is not inside a loop that it could end")
