"""Durable functions in words: where a call stands, who is asked by one, and what its events say. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from wfe.core.durable.calls import approval_of, decode_child, decode_signal, decode_task
from wfe.core.durable.places import MAIN, call_at, shown_name, state_of
from wfe.core.durable.records import kind_of
from wfe.core.plan import Plan
from wfe.model.blob import described, expand
from wfe.model.durable import (
    CALL_NAMES,
    CALL_SIGNAL,
    CALL_START,
    CALL_TASK,
    CALL_WORKFLOW,
    DONE,
    FAILED,
    NULL,
    TASK_PREFIX,
    TIMED_OUT,
)
from wfe.model.event_durable import CallEnded, CallMade
from wfe.model.state import DEADLINE, Asked, RunState
from wfe.wire.approvals import OpenApproval
from wfe.wire.rounds import NodeState

_encode = msgspec.msgpack.Encoder().encode
_OUTCOMES = {DONE: "done", FAILED: "failed", TIMED_OUT: "timed out"}


def place_words(run: RunState, plan: Plan, key: int) -> str:
    """The function, or a call of it with its activation."""
    if key == MAIN:
        return plan.nodes[0].id
    return f"{shown_name(call_at(run, plan, key))}[{key // plan.stride}]"


def task_words(run: RunState, plan: Plan, key: int) -> str:
    """What a worker does, or would do, for an open place."""
    name, _ = kind_of(run, plan, key)
    return f"turn of {name.removeprefix(TASK_PREFIX)}" if key == MAIN else name


def where_words(run: RunState, plan: Plan, key: int) -> str:
    """The line of the call, after a blank; nothing for the function itself."""
    where = "" if key == MAIN else call_at(run, plan, key).where
    return f" ({where})" if where else ""


def asked_approval(run: RunState, plan: Plan, key: int, asked: Asked) -> OpenApproval:
    """An approval that a call awaits."""
    approval = approval_of(call_at(run, plan, key))
    form = NULL if approval.form is None else Raw(_encode(approval.form))
    due_ms = run.timers.get(key * 2 + DEADLINE, 0)
    act = key // plan.stride
    return OpenApproval(
        run.id, run.workflow, approval.id, act, approval.approval, asked.to, due_ms, asked.level, run.key, form
    )


def ended_calls(run: RunState) -> list[NodeState]:
    """Calls of this round that have ended, in the order of their ends."""
    state = state_of(run)
    found = []
    for completion in state.completions:
        if completion.seq >= 0:
            error = completion.error
            detail = "" if error is None else f"{error.type}: {error.message}"
            outcome = _OUTCOMES.get(completion.status, "ended")
            value = expand(completion.value, run.blobs)
            act = state.base + completion.seq
            found.append(NodeState(shown_name(state.calls[completion.seq]), act, outcome, detail, value=value))
    return found


def made_words(calls: tuple[CallMade, ...]) -> list[dict[str, Any]]:
    """The calls of a turn, for a history."""
    found = []
    for made in calls:
        words: dict[str, Any] = {"kind": CALL_NAMES.get(made.kind, "call"), "name": made.name, "where": made.where}
        if made.kind == CALL_TASK:
            words["input"] = described(decode_task(made.body).input)
        elif made.kind in (CALL_WORKFLOW, CALL_START):
            words |= {"input": described(decode_child(made.body).input), "child": made.child}
        elif made.kind == CALL_SIGNAL and (correlation := decode_signal(made.body).correlation):
            words["correlation"] = correlation
        if made.due_ms:
            words["due_ms"] = made.due_ms
        found.append(words)
    return found


def end_words(event: CallEnded) -> str:
    """How a call ended."""
    return _OUTCOMES.get(event.status, "ended")
