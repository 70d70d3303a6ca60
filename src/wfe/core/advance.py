"""Advance a run to a fixed point: open what is enabled, close what is complete, handle faults, until nothing is left.

Order is deterministic: places in the order in which they became enabled, faults before further openings.
"""

from __future__ import annotations

from wfe.core.faults import handle_fault, raise_fault
from wfe.core.nodes import CLOSE, OPEN
from wfe.core.nodes.frames import close_frame
from wfe.core.plan import Op
from wfe.core.turn import Turn
from wfe.core.values import evaluate
from wfe.errors import ExpressionError
from wfe.model.event import NodeBypassed, TasksOpened
from wfe.model.state import ENDED, PAUSED


def advance(turn: Turn) -> None:
    """Bring about everything that follows from what the turn has booked so far."""
    run, plan = turn.run, turn.plan
    enabled = turn.enabled
    stride = plan.stride
    tasks: list[int] = []
    tasks_act = 0
    position = 0
    while run.status not in ENDED:
        if run.status == PAUSED:
            break
        if run.faults:
            # Tasks that were collected but not recorded yet may lie inside what the fault withdraws: record them first.
            _open_tasks(turn, tasks_act, tasks)
            del enabled[:position]
            position = 0
            handle_fault(turn)
            continue
        if position == len(enabled):
            break
        key = enabled[position]
        position += 1
        if key < 0:
            _close(turn, ~key)
            continue
        act, index = divmod(key, stride)
        node = plan.nodes[index]
        if plan.scopes[node.scope].framed and act not in run.frames:
            continue  # its frame was withdrawn meanwhile
        if node.condition is not None and not _condition(turn, act, index):
            continue
        if node.op is Op.TASK and node.input.template is None:
            if act != tasks_act:
                _open_tasks(turn, tasks_act, tasks)
                tasks_act = act
            tasks.append(index)
            continue
        OPEN[node.op](turn, act, node)
    _open_tasks(turn, tasks_act, tasks)
    enabled.clear()


def _open_tasks(turn: Turn, act: int, nodes: list[int]) -> None:
    if not nodes or turn.run.status in ENDED:
        nodes.clear()
        return
    turn.emit(TasksOpened(act, tuple(nodes)))
    base = act * turn.plan.stride
    turn.ready.extend(base + node for node in nodes)
    nodes.clear()


def _condition(turn: Turn, act: int, index: int) -> bool:
    """Whether a node's ``if`` lets it run; otherwise it is bypassed, or its fault is raised."""
    node = turn.plan.nodes[index]
    assert node.condition is not None
    try:
        holds = evaluate(turn.run, turn.plan, node.scope, act, node.condition, turn.now_ms)
        if not isinstance(holds, bool):
            raise ExpressionError("a condition must be true or false", text=node.condition.text)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return False
    if not holds:
        turn.emit(NodeBypassed(index, act))
    return holds


def _close(turn: Turn, key: int) -> None:
    """A block, map or frame may have come to its end."""
    run, plan = turn.run, turn.plan
    act, index = divmod(key, plan.stride)
    if index == plan.stride - 1:
        if act in run.frames:
            close_frame(turn, act)
        return
    node = plan.nodes[index]
    if node.op is Op.MAP:
        if key not in run.groups:
            return
    elif act not in run.frames or run.frames[act].pending.get(index) != 0:
        return
    CLOSE[node.op](turn, act, node)
