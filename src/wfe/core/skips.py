"""Going on without a node (`skip`): it ends with a value that somebody gives, and what it does is withdrawn.

Works on the state alone. Pure. Rejections are errors of `wfe.errors` and leave the state untouched.
"""

from __future__ import annotations

from msgspec import Raw

from wfe.core.advance import advance
from wfe.core.decisions import decided_by_skip
from wfe.core.durable import rounds as durable
from wfe.core.faults import withdrawing
from wfe.core.findings import those_near
from wfe.core.plan import Plan, PlanNode
from wfe.core.schemas import compile_schema
from wfe.core.turn import Turn
from wfe.core.values import decode, evaluate_raw
from wfe.errors import ExpressionError, InvalidInput, RunClosed
from wfe.model import event as ev
from wfe.model.definition import Approval, WaitSignal
from wfe.model.event_kinds import ApprovalDecided, CompensationDone
from wfe.model.event_rounds import NodeSkipped
from wfe.model.policy import ErrorInfo
from wfe.model.state import ENDED, RUN_DEADLINE, RunState


def skip(turn: Turn, node_id: str, value: Raw, act: int | None = None, command_id: str = "") -> None:
    """Ends an open node with this value; what it does is withdrawn. ``act``: which activation, if there are several."""
    run, plan = turn.run, turn.plan
    if run.status in ENDED:
        raise RunClosed(f"run {run.id} has ended as {run.status}: retry it first (skip then takes what is open)")
    if run.durable is not None:
        durable.skip_call(turn, node_id, value, act, command_id)
        return
    index = plan.by_id.get(node_id)
    if index is None:
        raise InvalidInput(f"the workflow has no node {node_id!r}; {those_near(plan.by_id, node_id)}", "node")
    acts = sorted(found for found in _open_activations(run, plan, index) if act in (None, found))
    if not acts:
        raise InvalidInput(f"node {node_id!r} is not open now: nothing to skip", "node")
    if len(acts) > 1:
        known = ", ".join(map(str, acts[:10]))
        raise InvalidInput(f"node {node_id!r} is open {len(acts)} times: name one activation ({known})", "activation")
    key = acts[0] * plan.stride + index
    if run.compensating is not None and run.compensating.current == key:
        attempt = run.open.get(key) or run.retrying.get(key, 1)
        ended: ev.RunEvent = CompensationDone(index, acts[0], attempt)
    else:
        fitting, refusal = _fitting(turn, plan.nodes[index], acts[0], value)
        if refusal is None:
            ended = NodeSkipped(index, acts[0], fitting, turn.now_ms)
        else:
            ended = ApprovalDecided(index, acts[0], fitting, taken=False, error=refusal)
    if command_id:
        turn.emit(ev.CommandApplied(command_id))
    withdrawing(turn, ended)
    advance(turn)


def _fitting(turn: Turn, place: PlanNode, act: int, value: Raw) -> tuple[Raw, ErrorInfo | None]:
    """The value that a skipped node ends with, or the error: of an approval that is refused. InvalidInput when it is
    nothing that the node could have come to."""
    node, types = place.node, turn.plan.definition.types
    if isinstance(node, Approval):
        return decided_by_skip(node, turn.plan.definition, value)
    found = None
    if place.returns is not None:
        found = place.returns.misfit(value)
    elif isinstance(node, WaitSignal) and node.schema is not None and not _is_default(turn, place, act, value):
        found = compile_schema(node.schema, types).check(decode(value))
    if found is not None:
        path, message = found
        raise InvalidInput(f"the output for {place.id!r} does not fit its schema: {message}", f"output{path[1:]}")
    return value, None


def _is_default(turn: Turn, place: PlanNode, act: int, value: Raw) -> bool:
    """Whether this is what a wait comes to when no signal is in time."""
    if place.template is None:
        return False
    try:
        return evaluate_raw(turn.run, turn.plan, place.scope, act, place.template, turn.now_ms) == value
    except ExpressionError:
        return False


def _open_activations(run: RunState, plan: Plan, index: int) -> set[int]:
    """Activations in which a node is open now, whatever it is."""
    stride = plan.stride
    tables = (
        run.open,
        run.retrying,
        run.waits,
        run.children,
        [key for key, group in run.groups.items() if not group.left],
        run.loops,
        run.approvals,
        run.locks,
        run.nets,
    )
    acts = {key // stride for table in tables for key in table if key % stride == index}
    acts |= {timer // 2 // stride for timer in run.timers if timer != RUN_DEADLINE and timer // 2 % stride == index}
    acts |= {act for act, frame in run.frames.items() if index in frame.pending}
    return acts
