"""What a worker gets: of a turn, what is recorded; of a task that the function called, input and terms. Pure."""

from __future__ import annotations

from msgspec import Raw, structs
from msgspec.msgpack import Encoder

from wfe.core.durable.calls import decode_task
from wfe.core.durable.places import MAIN, call_at, state_of
from wfe.core.plan import Plan
from wfe.core.values import splice
from wfe.model.blob import expand
from wfe.model.durable import NULL, OPEN, Called, DurableRecord, TaskBody
from wfe.model.needs import Needs
from wfe.model.state import RunState

_encode = Encoder().encode


def errand_of(run: RunState, plan: Plan, key: int) -> tuple[Called, TaskBody]:
    """The task of an open call, and its terms."""
    call = call_at(run, plan, key)
    return call, decode_task(call.options)


def kind_of(run: RunState, plan: Plan, key: int) -> tuple[str, int]:
    """The task and version that a worker must offer for an open place."""
    if key == MAIN or key not in run.open:
        return plan.nodes[0].task, plan.nodes[0].task_version
    call = call_at(run, plan, key)
    return call.name, call.version


def asked_of(run: RunState, plan: Plan, key: int) -> Needs | None:
    """What the worker of an open place must have."""
    if key == MAIN or key not in run.open or not (call := call_at(run, plan, key)).asks:
        return None
    return decode_task(call.options).needs


def timeout_of(run: RunState, plan: Plan, key: int) -> int:
    """How long an open place may be with a worker, in ms; 0: without a limit."""
    return 0 if key == MAIN else max(call_at(run, plan, key).timeout_ms, 0)


def redelivers(run: RunState, plan: Plan, key: int) -> bool:
    """Whether what is open at a place may be given out again after it was lost with its worker."""
    return key == MAIN or decode_task(call_at(run, plan, key).options).redeliver


def record_of(run: RunState, plan: Plan, now_ms: int, *, partial: bool) -> Raw:
    """What a turn is given: everything of the round, or only what the function has not had yet."""
    state = state_of(run)
    if partial:
        since, calls, seen, given = len(state.calls), [], state.taken, NULL
    else:
        since, calls, seen = 0, [_shown(call) for call in state.calls], 0
        given = splice(run, plan, 0, 0, plan.nodes[0].input) if not state.round else state.input
    completions = state.completions[seen:]
    if run.blobs:
        given = expand(given, run.blobs)
        completions = [structs.replace(found, value=expand(found.value, run.blobs)) for found in completions]
    record = DurableRecord(
        since, calls, seen, completions, given, state.round, state.began_ms, now_ms, partial, run.key,
        state.seed, state.base,
    )  # fmt: skip
    return Raw(_encode(record))


def _shown(call: Called) -> Called:
    return structs.replace(call, options=NULL, weight=0, asks=False) if call.status == OPEN else call
