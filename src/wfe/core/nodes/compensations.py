"""Compensation (rule R9): handlers are registered as the run goes, and called in reverse order, each once.

Every step is an event, so a crash half way changes nothing: what was called is known, and the open attempt is given out
again like that of any task.
"""

from __future__ import annotations

from msgspec import structs

from wfe.core.faults import finish_run, raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import evaluate_raw
from wfe.errors import ExpressionError
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.event_kinds import CompensateOpened, CompensationEnded, CompensationOpened, CompensationRegistered
from wfe.model.policy import ErrorInfo
from wfe.model.state import CANCELLED, Compensating


def open_compensate_with(turn: Turn, act: int, node: PlanNode) -> None:
    """Register the task with its arguments as they are now."""
    assert node.template is not None
    try:
        made = evaluate_raw(turn.run, turn.plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(CompensationRegistered(node.index, act, made))


def open_compensate(turn: Turn, act: int, node: PlanNode) -> None:
    """Call now what was registered so far; `next_handler` does, when nothing else can move."""
    turn.emit(CompensateOpened(node.index, act))


def next_handler(turn: Turn) -> bool:
    """Open the next handler, or end the compensation when there is none. False: one runs, or there is nothing to do."""
    run = turn.run
    compensating = run.compensating
    if compensating is None or compensating.current >= 0:
        return False
    if compensating.todo:
        key = compensating.todo[-1].key
        act, index = divmod(key, turn.plan.stride)
        turn.emit(CompensationOpened(index, act))
        turn.ready.append(key)
    elif compensating.status:
        finish_run(turn, compensating.status, error=final_error(compensating))
    else:
        turn.emit(CompensationEnded())
    return True


def final_error(compensating: Compensating) -> ErrorInfo | None:
    """The error that the run would have ended with; handlers that failed are named in its message."""
    error, failures = compensating.error, compensating.failures
    if not failures:
        return error
    named = ", ".join(f"{failure.node} ({failure.type}: {failure.message})" for failure in failures)
    told = f"compensation failed: {named}"
    if error is None:
        assert compensating.status == CANCELLED, "a run fails with an error"
        return ErrorInfo("CompensationFailed", told[:ERROR_MESSAGE_CHARS_MAX], types=("CompensationFailed",))
    return structs.replace(error, message=f"{error.message}; {told}"[:ERROR_MESSAGE_CHARS_MAX])
