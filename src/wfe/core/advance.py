"""Advance a run to a fixed point: open what is enabled, close what is complete, handle faults, until nothing is left.

Order is deterministic: places in the order in which they became enabled, faults before further openings.
"""

from __future__ import annotations

from collections.abc import Collection

from wfe.core.faults import handle_fault, next_fault, raise_fault
from wfe.core.nets.play import settle as settle_nets
from wfe.core.nets.play import step as step_net
from wfe.core.nodes import CLOSE, OPEN
from wfe.core.nodes.compensations import next_handler
from wfe.core.nodes.frames import close_frame
from wfe.core.nodes.locks import grant_locks
from wfe.core.plan import Op, PlanNode
from wfe.core.turn import Turn
from wfe.core.values import evaluate_truth, item_is_open
from wfe.errors import ExpressionError
from wfe.model.event import NodeBypassed, TasksOpened
from wfe.model.state import ENDED, RUNNING


def advance(turn: Turn, later: Collection[int] = ()) -> None:
    """Bring about everything that follows from what the turn has booked so far.

    ``later``: places that failed only after that, in a pause (`pauses.take_effect`).
    """
    run, plan, enabled = turn.run, turn.plan, turn.enabled
    busy = run.faults or run.locks or turn.nets or run.compensating is not None
    if busy or len(enabled) > 1 or run.status != RUNNING:
        _to_the_end(turn, later)
    elif enabled:
        # What the loop comes to for most turns: the next task of a chain can open, or nothing can, and all else rests.
        key, stride = enabled[0], plan.stride
        index, act = key % stride, key // stride
        if key >= 0 and plan.nodes[index].plain and act in run.frames:
            enabled.clear()
            turn.emit(TasksOpened(act, (index,)))
            turn.ready.append(key)
        else:
            _to_the_end(turn, later)


def _to_the_end(turn: Turn, later: Collection[int]) -> None:
    run, plan, enabled = turn.run, turn.plan, turn.enabled
    nodes, stride = plan.nodes, plan.stride
    tasks: list[int] = []
    tasks_act = 0
    position = 0
    while run.status == RUNNING:
        if run.faults and (fault := next_fault(run, later)) is not None:
            # Tasks that were collected but not recorded yet may lie inside what the fault withdraws: record them first.
            _open_tasks(turn, tasks_act, tasks)
            del enabled[:position]
            position = 0
            handle_fault(turn, *fault)
            continue
        if position == len(enabled):
            if (run.compensating is not None or run.locks) and settle(turn):
                continue
            if turn.nets:
                _open_tasks(turn, tasks_act, tasks)
                if settle_nets(turn):
                    continue
            break
        key = enabled[position]
        position += 1
        if key < 0:
            if tasks:  # what ends may withdraw others: tasks that were collected are recorded before
                _open_tasks(turn, tasks_act, tasks)
            del enabled[:position]  # and what it withdraws is taken out of the list
            position = 0
            _close(turn, ~key)
            continue
        act, index = divmod(key, stride)
        node = nodes[index]
        if node.plain:  # what the rest comes to for most nodes
            if act in run.frames:
                if tasks and act != tasks_act:
                    _open_tasks(turn, tasks_act, tasks)
                tasks_act = act
                tasks.append(index)
            continue
        if plan.scopes[node.scope].framed:
            if act not in run.frames:
                continue  # its frame was withdrawn meanwhile
        elif not item_is_open(run, plan, node.scope, act):
            continue
        if node.guarded and not _may_begin(turn, act, node):
            continue
        if node.op is Op.TASK and node.input.template is None:
            if act != tasks_act:
                _open_tasks(turn, tasks_act, tasks)
                tasks_act = act
            tasks.append(index)
            continue
        if tasks and node.op is Op.BREAK_IF:
            _open_tasks(turn, tasks_act, tasks)
        OPEN[node.op](turn, act, node)
    if tasks:
        _open_tasks(turn, tasks_act, tasks)
    enabled.clear()


def settle(turn: Turn) -> bool:
    """When nothing else can move: the next compensation handler, and locks that came free. Whether anything moved."""
    return next_handler(turn) or grant_locks(turn)


def _open_tasks(turn: Turn, act: int, nodes: list[int]) -> None:
    if not nodes or turn.run.status in ENDED:
        nodes.clear()
        return
    turn.emit(TasksOpened(act, tuple(nodes)))
    base = act * turn.plan.stride
    for node in nodes:
        turn.ready.append(base + node)
    nodes.clear()


def _may_begin(turn: Turn, act: int, node: PlanNode) -> bool:
    """Whether a node may run: not when its race was won meanwhile, nor when its ``if`` is false (it is bypassed)."""
    if node.contends:
        around = turn.run.frames[act].pending.get(node.block)
        if not around:
            return False
    if node.condition is None:
        return True
    try:
        holds = evaluate_truth(turn.run, turn.plan, node.scope, act, node.condition, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return False
    if not holds:
        turn.emit(NodeBypassed(node.index, act))
    return holds


def _close(turn: Turn, key: int) -> None:
    """A block, map or frame may have come to its end."""
    run, plan = turn.run, turn.plan
    act, index = divmod(key, plan.stride)
    if run.nets and key in run.nets:
        step_net(turn, key)
        return
    if index == plan.stride - 1:
        if act in run.frames and run.frames[act].pending[index] == 0:
            close_frame(turn, act)
        return
    node = plan.nodes[index]
    if node.op is Op.MAP:
        if key not in run.groups:
            return
    elif node.op is Op.LOOP:
        if key not in run.loops or run.loops[key].act >= 0:
            return
    elif act not in run.frames or run.frames[act].pending.get(index) != 0:
        return
    CLOSE[node.op](turn, act, node)
