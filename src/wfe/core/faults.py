"""Rule R7: a fault goes to the retry policy, then to what takes its type, from the inside out (catch blocks, tolerant
maps, the edges of a node in a net), then to the run.

Also what every withdrawal has to tell others, and how a run ends.
"""

from __future__ import annotations

from collections.abc import Collection

from wfe.core.durable.places import awaited_children as called_children
from wfe.core.groups import total_of
from wfe.core.nets.milestones import recheck
from wfe.core.nets.ports import fault_edges
from wfe.core.plan import Op, PlanNode, ScopeKind
from wfe.core.turn import ALL, Turn
from wfe.core.values import group_key, item_index
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.blob import expand
from wfe.model.definition import Catch, Map
from wfe.model.event import FaultCaught, FaultRaised, ItemFailed, RunEnded, RunEvent
from wfe.model.event_kinds import CompensationBegan, RaceWon
from wfe.model.event_nets import FiringFailed
from wfe.model.ids import lock_address
from wfe.model.mail import ChildControl, ChildEnded, LockReleased
from wfe.model.policy import ErrorInfo
from wfe.model.state import CANCELLED, COMPLETED, FAILED, NULL, RunState


def raise_fault(turn: Turn, act: int, node: PlanNode, kind: str, message: str) -> None:
    """A node that is no task fails with an error of the engine or of the author."""
    error = ErrorInfo(kind, message[:ERROR_MESSAGE_CHARS_MAX], node.id, types=(kind,))
    turn.emit(FaultRaised(node.index, act, error))


def next_fault(run: RunState, later: Collection[int]) -> tuple[int, ErrorInfo] | None:
    """The oldest open fault that is none of these places'."""
    return next((fault for fault in run.faults if fault[0] not in later), None)


def handle_fault(turn: Turn, key: int, error: ErrorInfo) -> None:
    """Handle an open fault. Whatever takes it withdraws the place that failed, and the fault with it."""
    run, plan = turn.run, turn.plan
    act, index = divmod(key, plan.stride)
    frame_itself = plan.stride - 1
    # A fault of a net begins at the block that is the net: a catch around its nodes may be that block.
    block = index if index == frame_itself or key in run.nets else plan.nodes[index].block
    while True:
        while block != frame_itself:
            holder = plan.nodes[block]
            if holder.op is Op.CATCH and isinstance(holder.node, Catch) and _takes(holder.node, error):
                withdrawing(turn, FaultCaught(holder.index, act, error))
                return
            if holder.op is Op.RACE and ~(act * plan.stride + block) in turn.enabled:
                settle_race(turn, act, holder)  # it was won before this contender failed
                return
            block = holder.block
        scope = run.frames[act].scope if act in run.frames else plan.nodes[index].scope
        if scope == 0:
            end_run(turn, FAILED, error=error)
            return
        holding = group_key(run, plan, scope, act)
        outer_act, outer_index = divmod(holding, plan.stride)
        kind = plan.scopes[scope].kind
        if kind is ScopeKind.ITEM and _tolerated(plan.nodes[outer_index].node, run, holding):
            item = item_index(run, holding, act)
            withdrawing(turn, ItemFailed(outer_index, outer_act, item, error))
            return
        if kind is ScopeKind.FIRING and _leaves_by_edges(turn, act, error):
            return
        act, index = outer_act, outer_index
        block = index if kind is ScopeKind.FIRING else plan.nodes[index].block


def _leaves_by_edges(turn: Turn, firing: int, error: ErrorInfo) -> bool:
    """Whether edges of the firing's node take its fault: then it is withdrawn, and tokens leave by them."""
    run, plan = turn.run, turn.plan
    key = run.frames[firing].group
    marking = run.nets[key]
    if firing not in marking.firings:
        return False  # its tokens have left before
    net = plan.nets[marking.net]
    edges = fault_edges(net, net.nodes[marking.firings[firing]], error)
    if not edges:
        return False
    act, block = divmod(key, plan.stride)
    withdrawing(turn, FiringFailed(block, act, firing, error, edges))
    turn.touch(key, ALL)
    recheck(turn, key, None)
    return True


def settle_race(turn: Turn, act: int, node: PlanNode) -> None:
    """The contender that ended first wins; its value was the first to be kept (rule R6, deferred choice)."""
    contenders = node.arms[0].entry
    winner = next(index for index in turn.run.frames[act].values if index in contenders)
    withdrawing(turn, RaceWon(node.index, act, winner))


def _takes(catch: Catch, error: ErrorInfo) -> bool:
    return any(error.is_a(name) for name in catch.errors)


def _tolerated(node: object, run: RunState, holding: int) -> bool:
    assert isinstance(node, Map)
    group = run.groups[holding]
    items, failed = total_of(group), len(group.errors)
    if group.left:
        return True  # nobody hears of it any more
    if node.tolerate_count is not None:
        return failed < node.tolerate_count
    if node.tolerate_percent is not None:
        return (failed + 1) * 100 <= node.tolerate_percent * items
    return False


def end_run(
    turn: Turn, status: str, *, output: object = NULL, error: ErrorInfo | None = None, compensate: bool = True
) -> None:
    """End the run; before it fails or is cancelled, call the compensation handlers, last first (rule R9)."""
    run = turn.run
    begun = run.compensating
    registered = run.compensations or (begun is not None and (begun.todo or begun.current >= 0))
    if compensate and registered and status != COMPLETED:
        withdrawing(turn, CompensationBegan(status, turn.now_ms, error))
        return
    finish_run(turn, status, output=output, error=error)


def finish_run(turn: Turn, status: str, *, output: object = NULL, error: ErrorInfo | None = None) -> None:
    """End the run now: withdraw whatever is open, tell children and the parent."""
    run = turn.run
    parent, node, act = run.parent, run.parent_node, run.parent_act
    withdrawing(turn, RunEnded(status, turn.now_ms, output, error))  # type: ignore[arg-type]
    if parent:
        failure = error
        if status == CANCELLED and failure is None:
            failure = ErrorInfo("RunCancelled", f"sub-workflow {run.workflow} ({run.id}) was cancelled")
        output = expand(run.output, run.blobs)  # another run has other blobs
        turn.mail.append((parent, ChildEnded(parent, node, act, run.id, status, output, failure)))


def withdrawing(turn: Turn, event: RunEvent) -> None:
    """Emit an event that withdraws things; tell workers and children whose work no longer counts, and shared locks."""
    run = turn.run
    open_before = dict(run.open) if run.open else {}
    children_before = awaited_children(turn)
    locks_before = dict(run.shared_locks) if run.shared_locks else {}
    turn.emit(event)
    for key, attempt in open_before.items():
        if key not in run.open:
            turn.withdrawn.append((key, attempt))
    for key, child in children_before:
        if key not in run.children:
            turn.mail.append((child, ChildControl(child, "cancel")))
    for key, lock in locks_before.items():
        if key not in run.shared_locks:
            release_shared(turn, key, lock)


def release_shared(turn: Turn, key: int, lock: str) -> None:
    """Tell the owner of a lock of all runs that this place neither holds nor wants it any more."""
    act, node = divmod(key, turn.plan.stride)
    turn.mail.append((lock_address(lock, turn.partitions), LockReleased(lock, turn.run.id, node, act)))


def awaited_children(turn: Turn) -> list[tuple[int, str]]:
    """Places and ids of sub-workflows that share this run's fate; detached ones go on without it."""
    run = turn.run
    if run.durable is not None:
        return called_children(run, turn.plan)
    if not run.children:
        return []
    nodes, stride = turn.plan.nodes, turn.plan.stride
    return [(key, child) for key, child in run.children.items() if nodes[key % stride].op is Op.WORKFLOW]
