"""Where the calls of a durable function live, and what ends with them. Pure; used by booking and by decide."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw, structs
from msgspec.msgpack import Decoder, Encoder

from wfe.core.places import disarm, forget
from wfe.core.plan import Plan
from wfe.model.durable import (
    CALL_NAMES,
    CALL_START,
    CALL_TASK,
    CALL_WORKFLOW,
    NULL,
    Called,
    ChildBody,
    DurableState,
    TaskBody,
)
from wfe.model.event_durable import CallMade
from wfe.model.state import RunState

WITH_INPUT = frozenset((CALL_TASK, CALL_WORKFLOW, CALL_START))
"""Calls whose bodies hold arguments."""
_decode_task, _decode_child, _encode = Decoder(TaskBody).decode, Decoder(ChildBody).decode, Encoder().encode
MAIN = 0
"""The place of the function itself: the only node of its definition, in the root frame."""


def state_of(run: RunState) -> DurableState:
    """The state of a run that is a durable function."""
    assert run.durable is not None, "the run is a graph"
    return run.durable


def key_of(run: RunState, plan: Plan, seq: int) -> int:
    """The place of a call."""
    return (state_of(run).base + seq) * plan.stride


def call_at(run: RunState, plan: Plan, key: int) -> Called:
    """The call at a place."""
    state = run.durable
    assert state is not None, "the run is a graph"
    return state.calls[key // plan.stride - state.base]


def with_input(kind: int, body: Raw, change: Callable[[Raw], Raw]) -> Raw:
    """The body of a call with other arguments."""
    found = _decode_task(body) if kind == CALL_TASK else _decode_child(body)
    return Raw(_encode(structs.replace(found, input=change(found.input))))


def shown_name(call: Called | CallMade) -> str:
    """A call's name, or the word for its kind."""
    return call.name or CALL_NAMES.get(call.kind, "call")


def close_call(run: RunState, plan: Plan, key: int, status: int) -> None:
    """A call is over: nothing of it is open any more."""
    run.open.pop(key, None)
    forget(run, key)
    if run.timers or run.expired:
        disarm(run, key)
    if run.retrying:
        run.retrying.pop(key, None)
    if run.waits:
        run.waits.pop(key, None)
        run.approvals.pop(key, None)
    if run.children:
        run.children.pop(key, None)
    call = call_at(run, plan, key)
    call.status = status
    call.options = NULL
    if call.weight:
        state_of(run).open_bytes -= call.weight
        call.weight = 0


def awaited_children(run: RunState, plan: Plan) -> list[tuple[int, str]]:
    """Places and ids of sub-workflows that share this run's fate; those that are only started go on without it."""
    return [(key, child) for key, child in run.children.items() if call_at(run, plan, key).kind == CALL_WORKFLOW]
