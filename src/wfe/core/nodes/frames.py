"""The end of a frame: of the run itself, of one item of a map, of an iteration of a loop, of a firing in a net."""

from __future__ import annotations

from wfe.core.faults import end_run
from wfe.core.nets.leave import end_firing
from wfe.core.nodes.loops import close_iteration
from wfe.core.plan import ScopeKind
from wfe.core.turn import Turn
from wfe.core.value_checks import INVALID_OUTPUT, invalid_result
from wfe.core.values import evaluate_raw
from wfe.errors import ExpressionError
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.event import FaultRaised, ItemDone
from wfe.model.policy import ErrorInfo
from wfe.model.state import COMPLETED, FAILED, NULL


def close_frame(turn: Turn, act: int) -> None:
    """All nodes of a frame have ended: the run completes, or its item of the map is done."""
    run, plan = turn.run, turn.plan
    frame = run.frames[act]
    if act == 0:
        if run.compensating is not None:
            return  # a handler that was begun is awaited; its end closes the frame
        try:
            output = evaluate_raw(run, plan, 0, 0, plan.output, turn.now_ms)
        except ExpressionError as error:
            end_run(turn, FAILED, error=_failure(str(error), "output"))
            return
        unfit = None if plan.returns is None else invalid_result(plan.returns, output, run.blobs, run.workflow)
        if unfit is not None:
            end_run(turn, FAILED, error=ErrorInfo(INVALID_OUTPUT, unfit, "output", types=(INVALID_OUTPUT,)))
            return
        end_run(turn, COMPLETED, output=output)
        return
    scope = plan.scopes[frame.scope]
    if scope.kind is ScopeKind.FIRING:
        end_firing(turn, act)
        return
    if scope.kind is ScopeKind.ITERATION:
        close_iteration(turn, act)
        return
    outer_act, map_index = divmod(frame.group, plan.stride)
    value = NULL
    if scope.output is not None:
        try:
            value = evaluate_raw(run, plan, scope.index, act, scope.output, turn.now_ms)
        except ExpressionError as error:
            last = max(scope.last_node, scope.start)
            turn.emit(FaultRaised(last, act, _failure(str(error), plan.nodes[map_index].id)))
            return
    elif scope.last_node >= 0:
        value = frame.values.get(scope.last_node, NULL)
    turn.emit(ItemDone(map_index, outer_act, frame.index, value))


def _failure(message: str, node: str) -> ErrorInfo:
    return ErrorInfo("expression", message[:ERROR_MESSAGE_CHARS_MAX], node, types=("expression",))
