"""Blocks (when, parallel, branch, catch) and the nodes that end at once (set, end, fail)."""

from __future__ import annotations

from wfe.core.faults import end_run, raise_fault
from wfe.core.plan import Op, PlanNode
from wfe.core.turn import Turn
from wfe.core.value_checks import INVALID_OUTPUT, invalid_result
from wfe.core.values import caught_value, evaluate, evaluate_raw, evaluate_truth
from wfe.errors import ExpressionError
from wfe.model.definition import Fail
from wfe.model.event import BlockOpened, NodeDone
from wfe.model.state import COMPLETED, NULL


def open_when(turn: Turn, act: int, node: PlanNode) -> None:
    """Choose the first arm whose condition holds (rule R6, xor)."""
    chosen = -1
    try:
        for number, arm in enumerate(node.arms):
            if arm.cond is None:
                chosen = number
                break
            if evaluate_truth(turn.run, turn.plan, node.scope, act, arm.cond, turn.now_ms):
                chosen = number
                break
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(BlockOpened(node.index, act, chosen))


def open_block(turn: Turn, act: int, node: PlanNode) -> None:
    """Begin the nodes inside."""
    turn.emit(BlockOpened(node.index, act))


def close_block(turn: Turn, act: int, node: PlanNode) -> None:
    """The last node inside has ended: so has the block."""
    value = caught_value(None) if node.op is Op.CATCH else NULL
    turn.emit(NodeDone(node.index, act, value))


def open_set(turn: Turn, act: int, node: PlanNode) -> None:
    """A transformation: its value is computed here, no worker is involved."""
    assert node.template is not None
    try:
        value = evaluate_raw(turn.run, turn.plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(NodeDone(node.index, act, value))


def open_end(turn: Turn, act: int, node: PlanNode) -> None:
    """End the whole run with a value (pattern 43, explicit termination)."""
    assert node.template is not None
    try:
        value = evaluate_raw(turn.run, turn.plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    check = turn.plan.returns
    unfit = None if check is None else invalid_result(check, value, turn.run.blobs, turn.run.workflow)
    if unfit is not None:
        raise_fault(turn, act, node, INVALID_OUTPUT, unfit)
        return
    end_run(turn, COMPLETED, output=value)


def open_fail(turn: Turn, act: int, node: PlanNode) -> None:
    """Fail with the author's error."""
    assert node.template is not None
    assert isinstance(node.node, Fail)
    try:
        message = evaluate(turn.run, turn.plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    raise_fault(turn, act, node, node.node.error, message if isinstance(message, str) else str(message))
