"""Approvals: a person decides by a signal, in time or not; who is asked changes while nobody decides."""

from __future__ import annotations

from typing import Any

from wfe.core.decisions import outcome_of
from wfe.core.faults import raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import decode, evaluate_raw
from wfe.errors import ExpressionError
from wfe.model.blob import expand
from wfe.model.definition import Approval
from wfe.model.event_kinds import ApprovalAsked, ApprovalDecided, ApprovalEscalated
from wfe.model.state import DEADLINE, WAKE


def open_approval(turn: Turn, act: int, node: PlanNode) -> None:
    """Take a decision that came early, else ask and wait."""
    approval = node.node
    assert isinstance(approval, Approval)
    assert node.template is not None
    run, plan = turn.run, turn.plan
    try:
        to = evaluate_raw(run, plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    key = act * plan.stride + node.index
    due_ms = 0 if approval.timeout_ms is None else max(turn.now_ms + approval.timeout_ms, 1)
    escalate_ms = max(turn.now_ms + approval.escalate[0].after_ms, 1) if approval.escalate else 0
    turn.emit(ApprovalAsked(node.index, act, to, due_ms, escalate_ms))
    if approval.approval in run.signals:
        take_decision(turn, act, node)
        return
    if due_ms:
        turn.arm(due_ms, key * 2 + DEADLINE)
    if escalate_ms:
        turn.arm(escalate_ms, key * 2 + WAKE)


def take_decision(turn: Turn, act: int, node: PlanNode) -> None:
    """The oldest signal of its name decides; its payload was checked before it was buffered."""
    approval = node.node
    assert isinstance(approval, Approval)
    _, payload = turn.run.signals[approval.approval][0]
    _decide(turn, act, node, decode(expand(payload, turn.run.blobs)), taken=True)


def escalate_approval(turn: Turn, act: int, node: PlanNode) -> None:
    """Nobody has decided: somebody else is asked."""
    approval = node.node
    assert isinstance(approval, Approval)
    key = act * turn.plan.stride + node.index
    level = turn.run.approvals[key].level
    try:
        to = evaluate_raw(turn.run, turn.plan, node.scope, act, node.parts[f"escalate.{level}"], turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    further = approval.escalate[level + 1 :]
    escalate_ms = max(turn.now_ms + further[0].after_ms, 1) if further else 0
    turn.emit(ApprovalEscalated(node.index, act, to, level + 1, escalate_ms))
    if escalate_ms:
        turn.arm(escalate_ms, key * 2 + WAKE)


def expire_approval(turn: Turn, act: int, node: PlanNode) -> None:
    """Nobody has decided in time."""
    approval = node.node
    assert isinstance(approval, Approval)
    if approval.on_timeout == "fail":
        raise_fault(turn, act, node, "TimedOut", f"nobody decided {approval.approval!r} in time")
        return
    _decide(turn, act, node, {"approved": approval.on_timeout == "approve", "by": "timeout"}, taken=False)


def _decide(turn: Turn, act: int, node: PlanNode, said: dict[str, Any], *, taken: bool) -> None:
    approval = node.node
    assert isinstance(approval, Approval)
    value, error = outcome_of(approval, said)
    turn.emit(ApprovalDecided(node.index, act, value, taken, error))
