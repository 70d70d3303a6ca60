"""Sub-workflows: awaited or detached, on whatever partition their id hashes to; asked for and answered by mail."""

from __future__ import annotations

from wfe.core.faults import raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import encode_value, evaluate
from wfe.errors import ExpressionError
from wfe.limits import KEY_CHARS_MAX, SUBFLOW_DEPTH_MAX
from wfe.model.definition import StartWorkflow, SubWorkflow
from wfe.model.event import ChildOpened
from wfe.model.ids import child_run_id, partition_of_key
from wfe.model.mail import ChildControl, ChildStart
from wfe.model.state import DEADLINE
from wfe.model.trace import of_child


def open_workflow(turn: Turn, act: int, node: PlanNode) -> None:
    """Ask for the child's start by mail and await its end."""
    call = node.node
    assert isinstance(call, SubWorkflow)
    assert node.template is not None
    run, plan = turn.run, turn.plan
    if run.depth >= SUBFLOW_DEPTH_MAX:
        raise_fault(turn, act, node, "LoopLimit", f"sub-workflows nested deeper than {SUBFLOW_DEPTH_MAX}")
        return
    try:
        made = encode_value(evaluate(run, plan, node.scope, act, node.template, turn.now_ms))
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    child = child_run_id(run.id, node.index, act, turn.partitions, turn.now_ms, round=run.round)
    due_ms = turn.now_ms + node.timeout_ms if node.timeout_ms else 0
    turn.emit(ChildOpened(node.index, act, child, due_ms))
    if due_ms:
        turn.arm(due_ms, (act * plan.stride + node.index) * 2 + DEADLINE)
    start = ChildStart(
        child, call.workflow, call.version or 0, made, run.namespace, priority=run.priority, principal=run.principal,
        parent=run.id, parent_node=node.index, parent_act=act, depth=run.depth + 1, trace=of_child(run.trace, run.id),
    )  # fmt: skip
    turn.mail.append((child, start))


def open_start(turn: Turn, act: int, node: PlanNode) -> None:
    """Ask for a detached run by mail, and await only that it was started: the value is its id.

    With a key it goes where the key hashes to; if the key names a run already, the value is that run's id.
    """
    call = node.node
    assert isinstance(call, StartWorkflow)
    assert node.template is not None
    run = turn.run
    try:
        found = evaluate(run, turn.plan, node.scope, act, node.template, turn.now_ms)
        made = encode_value(found["with"])
        key = found["key"]
        if key is None:
            key = ""
        elif not isinstance(key, str) or not 0 < len(key) <= KEY_CHARS_MAX:
            raise ExpressionError(f"a key is text of 1 to {KEY_CHARS_MAX} characters, not {key!r}")
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    partition = partition_of_key(run.namespace, call.workflow, key, turn.partitions) if key else None
    child = child_run_id(run.id, node.index, act, turn.partitions, turn.now_ms, partition)
    start = ChildStart(
        child, call.workflow, call.version or 0, made, run.namespace, key=key, priority=run.priority,
        principal=run.principal, parent=run.id, parent_node=node.index, parent_act=act, detached=True,
        trace=of_child(run.trace, run.id),
    )  # fmt: skip
    turn.emit(ChildOpened(node.index, act, child))
    turn.mail.append((child, start))


def expire_workflow(turn: Turn, act: int, node: PlanNode) -> None:
    """The child took too long: it is cancelled."""
    child = turn.run.children.get(act * turn.plan.stride + node.index)
    raise_fault(turn, act, node, "TimedOut", f"sub-workflow {node.id} took longer than {node.timeout_ms} ms")
    if child is not None:
        turn.mail.append((child, ChildControl(child, "cancel")))
