"""Tasks whose input expressions make, or schemas describe; plain ones are opened in bulk by `core.advance`."""

from __future__ import annotations

from wfe.core.faults import raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.value_checks import INVALID_INPUT, invalid_input
from wfe.core.values import evaluate_raw
from wfe.errors import ExpressionError
from wfe.model.event import TaskOpenedWith


def open_task(turn: Turn, act: int, node: PlanNode) -> None:
    """Evaluate the input, record it, and make the task ready."""
    template = node.input.template
    assert template is not None, "a task whose input is spliced is opened in bulk"
    try:
        made = evaluate_raw(turn.run, turn.plan, node.scope, act, template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    if node.accepts and (refusal := invalid_input(node.accepts, made, turn.run.blobs, node.task)) is not None:
        raise_fault(turn, act, node, INVALID_INPUT, refusal)
        return
    turn.emit(TaskOpenedWith(node.index, act, made))
    turn.ready.append(act * turn.plan.stride + node.index)
