"""Evolve for durable functions: turns, calls and their ends. See `core.evolve`; writes only, decides nothing.

Invariant: while the run is open, a turn is open (`MAIN` in ``run.open``) or the function has had every completion.
"""

from __future__ import annotations

from msgspec import Raw
from msgspec.msgpack import Decoder

from wfe.core.durable.places import MAIN, WITH_INPUT, close_call, key_of, state_of, with_input
from wfe.core.evolve_kinds import take
from wfe.core.places import Enabled, Evolve, forget, keep
from wfe.core.plan import Plan
from wfe.limits import BLOB_BYTES_MIN
from wfe.model import event_durable as ev
from wfe.model.blob import size_of
from wfe.model.durable import (
    CALL_APPROVAL,
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_START,
    CALL_TASK,
    CALL_VERSION,
    CALL_WORKFLOW,
    CANCELLED,
    ENDED,
    NULL,
    OPEN,
    RUN_CANCELLED,
    WITHDRAWN,
    ApprovalBody,
    Called,
    DurableCompletion,
    DurableState,
    SignalBody,
)
from wfe.model.state import DEADLINE, PAUSED, WAKE, Asked, RunState, channel_of
from wfe.model.tables import put

decode_signal = Decoder(SignalBody).decode
decode_approval = Decoder(ApprovalBody).decode


def new_state(now_ms: int) -> DurableState:
    """Of a run that begins."""
    return DurableState(began_ms=now_ms)


def _open_next_turn(run: RunState, state: DurableState) -> None:
    if MAIN not in run.open and len(state.completions) > state.taken:
        run.open[MAIN] = state.attempt + 1


def _turn_over(run: RunState, state: DurableState, attempt: int) -> None:
    run.open.pop(MAIN, None)
    forget(run, MAIN)
    state.attempt = attempt


def _turn_taken(run: RunState, plan: Plan, event: ev.TurnTaken, enabled: Enabled) -> None:
    state = state_of(run)
    _turn_over(run, state, event.attempt)
    state.taken = event.taken
    for made in event.calls:
        _open_call(run, key_of(run, plan, len(state.calls)), state, made)
    run.next_act = state.base + len(state.calls)
    for seq in event.cancels:
        close_call(run, plan, key_of(run, plan, seq), WITHDRAWN)
    _open_next_turn(run, state)


def _open_call(run: RunState, key: int, state: DurableState, made: ev.CallMade) -> None:
    kind, status = made.kind, OPEN
    if kind == CALL_TASK:
        run.open[key] = 1
    elif kind in (CALL_WORKFLOW, CALL_START):
        run.children = put(run.children, key, made.child)
    elif kind == CALL_SIGNAL:
        run.waits = put(run.waits, key, channel_of(made.name, decode_signal(made.body).correlation))
    elif kind == CALL_APPROVAL:
        run.waits = put(run.waits, key, made.name)
        run.approvals = put(run.approvals, key, Asked(decode_approval(made.body).to.copy()))
    elif kind in (CALL_PUBLISH, CALL_VERSION):
        status = ENDED
    if made.due_ms:
        run.timers = put(run.timers, key * 2 + (WAKE if kind == CALL_SLEEP else DEADLINE), made.due_ms)
    options, weight = _kept(run, kind, made.body) if status == OPEN else (NULL, 0)
    state.open_bytes += weight
    state.calls.append(
        Called(kind, made.name, made.version, made.where, status, made.timeout_ms, options, weight, made.asks)
    )


def _kept(run: RunState, kind: int, body: Raw) -> tuple[Raw, int]:
    """A call's body for the state, and what it weighs there: large arguments are blobs."""
    if len(body) < BLOB_BYTES_MIN or kind not in WITH_INPUT:
        return body.copy(), len(body)
    known = len(run.blobs)
    options = with_input(kind, body, lambda given: keep(run, given))
    return options, len(body) if len(run.blobs) > known else len(options)


def _call_ended(run: RunState, plan: Plan, event: ev.CallEnded, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    state = state_of(run)
    value = keep(run, event.value)
    if event.signalled:
        payload = take(run, run.waits[key])
        value = value if key in run.approvals else payload
    close_call(run, plan, key, ENDED)
    state.completions.append(DurableCompletion(event.act - state.base, event.status, value, event.error, event.time_ms))
    state.size_bytes += size_of(value, run.blobs)
    _open_next_turn(run, state)


def _published(run: RunState, plan: Plan, event: ev.Published, enabled: Enabled) -> None:
    """Nothing changes: it is kept in the history alone."""


def _round_continued(run: RunState, plan: Plan, event: ev.RoundContinued, enabled: Enabled) -> None:
    state = state_of(run)
    for seq, call in enumerate(state.calls):
        if call.status == OPEN:
            close_call(run, plan, key_of(run, plan, seq), WITHDRAWN)
    _turn_over(run, state, event.attempt)
    state.base = run.next_act
    state.round += 1
    state.taken = state.size_bytes = 0
    state.began_ms = event.time_ms
    state.input = keep(run, event.input)
    state.calls = []
    state.completions = []
    if state.cancelled:
        state.completions.append(DurableCompletion(RUN_CANCELLED, CANCELLED, at_ms=event.time_ms))
    run.open[MAIN] = event.attempt + 1


def _cancel_asked(run: RunState, plan: Plan, event: ev.CancelAsked, enabled: Enabled) -> None:
    state = state_of(run)
    state.cancelled = True
    state.completions.append(DurableCompletion(RUN_CANCELLED, CANCELLED, at_ms=event.time_ms))
    run.timers = put(run.timers, MAIN * 2 + DEADLINE, event.due_ms)
    _open_next_turn(run, state)


def _turn_refused(run: RunState, plan: Plan, event: ev.TurnRefused, enabled: Enabled) -> None:
    _turn_over(run, state_of(run), event.attempt)
    run.open[MAIN] = event.attempt + 1
    run.status = PAUSED
    run.incident = event.message


EVOLVE: dict[type, Evolve] = {
    ev.TurnTaken: _turn_taken,
    ev.CallEnded: _call_ended,
    ev.Published: _published,
    ev.RoundContinued: _round_continued,
    ev.CancelAsked: _cancel_asked,
    ev.TurnRefused: _turn_refused,
}
