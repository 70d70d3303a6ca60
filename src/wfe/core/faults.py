"""Rule R7: a fault goes to the retry policy, then to the innermost catch block that takes its type, then to the run."""

from __future__ import annotations

from wfe.core.plan import Op, PlanNode
from wfe.core.turn import Turn
from wfe.core.values import group_key, item_index
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.definition import Catch, Map
from wfe.model.event import FaultCaught, FaultRaised, ItemFailed, RunEnded
from wfe.model.mail import ChildControl, ChildEnded
from wfe.model.policy import ErrorInfo
from wfe.model.state import CANCELLED, FAILED, NULL


def raise_fault(turn: Turn, act: int, node: PlanNode, kind: str, message: str) -> None:
    """A node that is no task fails with an error of the engine or of the author."""
    error = ErrorInfo(kind, message[:ERROR_MESSAGE_CHARS_MAX], node.id, types=(kind,))
    turn.emit(FaultRaised(node.index, act, error))


def handle_fault(turn: Turn) -> None:
    """Handle the oldest open fault."""
    run, plan = turn.run, turn.plan
    key, error = run.faults[0]
    act, index = divmod(key, plan.stride)
    frame_itself = plan.stride - 1
    while True:
        node = plan.nodes[index]
        block = node.block
        while block != frame_itself:
            holder = plan.nodes[block]
            if holder.op is Op.CATCH and isinstance(holder.node, Catch) and _takes(holder.node, error):
                _withdrawing(turn, FaultCaught(holder.index, act, error))
                return
            block = holder.block
        if node.scope == 0:
            end_run(turn, FAILED, error=error)
            return
        group = group_key(run, plan, node.scope, act)
        outer_act, map_index = divmod(group, plan.stride)
        if _tolerated(plan.nodes[map_index].node, len(run.groups[group].items), len(run.groups[group].errors)):
            item = item_index(run, group, act)
            _withdrawing(turn, ItemFailed(map_index, outer_act, item, error))
            return
        act, index = outer_act, map_index


def _takes(catch: Catch, error: ErrorInfo) -> bool:
    return any(error.is_a(name) for name in catch.errors)


def _tolerated(node: object, items: int, failed: int) -> bool:
    assert isinstance(node, Map)
    if node.tolerate_count is not None:
        return failed < node.tolerate_count
    if node.tolerate_percent is not None:
        return (failed + 1) * 100 <= node.tolerate_percent * items
    return False


def end_run(turn: Turn, status: str, *, output: object = NULL, error: ErrorInfo | None = None) -> None:
    """End the run: withdraw whatever is open, tell children and the parent."""
    run = turn.run
    parent, node, act = run.parent, run.parent_node, run.parent_act
    _withdrawing(turn, RunEnded(status, turn.now_ms, output, error))  # type: ignore[arg-type]
    if parent:
        failure = error
        if status == CANCELLED and failure is None:
            failure = ErrorInfo("RunCancelled", f"sub-workflow {run.workflow} ({run.id}) was cancelled")
        turn.mail.append((parent, ChildEnded(parent, node, act, run.id, status, run.output, failure)))


def _withdrawing(turn: Turn, event: FaultCaught | ItemFailed | RunEnded) -> None:
    """Emit an event that withdraws things, and tell workers and children whose work no longer counts."""
    run = turn.run
    open_before = dict(run.open) if run.open else {}
    children_before = awaited_children(turn)
    turn.emit(event)
    for key, attempt in open_before.items():
        if key not in run.open:
            turn.withdrawn.append((key, attempt))
    for key, child in children_before:
        if key not in run.children:
            turn.mail.append((child, ChildControl(child, "cancel")))


def awaited_children(turn: Turn) -> list[tuple[int, str]]:
    """Places and ids of sub-workflows that share this run's fate; detached ones go on without it."""
    nodes, stride = turn.plan.nodes, turn.plan.stride
    return [(key, child) for key, child in turn.run.children.items() if nodes[key % stride].op is Op.WORKFLOW]
