"""Going on with a durable function after its failure, from a point of another run, or past a call that hangs.

A run that failed because of a call's error goes on from before that call's end: the call is made anew, whatever else
ended stays ended, and the function is re-run. One that failed by itself is re-run from what was recorded when its last
turn began: code that was mended meanwhile goes another way from there. See `core.rounds`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw
from msgspec.msgpack import Encoder

from wfe.core.decisions import decided_by_skip
from wfe.core.durable.calls import approval_of, ask_again, begin_wait, end_call
from wfe.core.durable.places import MAIN, call_at, key_of, shown_name, state_of
from wfe.core.evolve import replay
from wfe.core.plan import Plan
from wfe.core.turn import Turn
from wfe.errors import InvalidInput
from wfe.limits import DURABLE_CANCEL_GRACE_MS
from wfe.model import event as ev
from wfe.model.durable import DONE, FAILED, OPEN, TIMED_OUT, DurableCompletion, DurableState
from wfe.model.event_durable import CallEnded, RoundContinued, TurnTaken
from wfe.model.event_rounds import RunRestored
from wfe.model.policy import ErrorInfo
from wfe.model.state import DEADLINE, RUN_DEADLINE, RUNNING, RunState
from wfe.model.tables import put

_encode = Encoder().encode
_OF_CALLS = (CallEnded, ev.TaskFailed, ev.TaskReopened, ev.TaskHandedOut)
_AFTER_A_TURN = ("TooManyCalls", "ArgumentsTooLarge", "stuck")


def restart_point(plan: Plan, events: Sequence[ev.RunEvent], before: RunState) -> tuple[Sequence[ev.RunEvent], bool]:
    """What of a failed run's history its retry goes on from, and whether the function is to be re-run at once.

    ``events`` end with the run's end; ``before``: the run before that.
    """
    ended = events[-1]
    assert isinstance(ended, ev.RunEnded), "only failed runs are retried"
    cut = _cause(events, state_of(before), ended.error)
    if cut >= 0:
        return _without_call(plan, events, cut), False
    last = next((n for n in reversed(range(len(events))) if isinstance(events[n], TurnTaken)), -1)
    if last >= 0 and ended.error is not None and _by_last_turn(events[last:], ended.error):
        return events[:last], True
    return events[:-1], True


def _cause(events: Sequence[ev.RunEvent], state: DurableState, error: ErrorInfo | None) -> int:
    """Which event says that the call failed whose error is the run's; -1: none, or it lies before a former retry."""
    if error is None:
        return -1
    failed: list[DurableCompletion] = [c for c in state.completions[: state.taken] if c.status in (FAILED, TIMED_OUT)]
    same = [c for c in failed if c.error is not None and (c.error.type, c.error.message) == (error.type, error.message)]
    for position in reversed(range(len(events))):
        event = events[position]
        if isinstance(event, RunRestored) or not same:
            break
        if isinstance(event, CallEnded) and event.act == state.base + same[-1].seq:
            return position
    return -1


def _without_call(plan: Plan, events: Sequence[ev.RunEvent], cut: int) -> list[ev.RunEvent]:
    """Everything up to a call's end, and of what came after it the ends of other calls made by then, and signals."""
    lost = events[cut]
    assert isinstance(lost, CallEnded)
    made = range(1, replay(None, plan, events[:cut]).next_act)
    kept = list(events[:cut])
    for event in events[cut + 1 : -1]:
        of_call = isinstance(event, _OF_CALLS) and event.act in made and event.act != lost.act
        if of_call or isinstance(event, (ev.SignalArrived, ev.CommandApplied)):
            kept.append(event)
    return kept


def _by_last_turn(events: Sequence[ev.RunEvent], error: ErrorInfo) -> bool:
    """Whether the turn that these events begin with is the one that ended the run."""
    given_out = any(isinstance(event, ev.TaskReopened) and not event.act for event in events)
    of_engine = error.type in ("PoisonTask", "RecordTooLarge") or (error.type == "TimedOut" and not error.node)
    return error.type in _AFTER_A_TURN or not (given_out or of_engine)


def begin_anew(run: RunState, plan: Plan, now_ms: int, attempt: int, *, rerun: bool) -> list[int]:
    """Makes a state of the past one that can go on; calls that must be asked for anew. ``attempt``: of the last turn.

    ``rerun``: a turn is open whatever there is to tell.
    """
    state = state_of(run)
    state.attempt = max(state.attempt, attempt)
    turn_is_open = rerun or MAIN in run.open or len(state.completions) > state.taken
    run.open.pop(MAIN, None)
    for key in run.open:
        run.open[key] += 1
    if turn_is_open:
        run.open[MAIN] = state.attempt + 1
    for table in (run.failures, run.losses, run.handed_out):
        table.clear()
    reopen = list(run.children)
    for seq, call in enumerate(state.calls):
        key = key_of(run, plan, seq)
        if call.status == OPEN and call.timeout_ms > 0 and key in run.waits:
            run.timers = put(run.timers, key * 2 + DEADLINE, now_ms + call.timeout_ms)
    if MAIN * 2 + DEADLINE in run.timers:
        run.timers = put(run.timers, MAIN * 2 + DEADLINE, now_ms + DURABLE_CANCEL_GRACE_MS)
    if RUN_DEADLINE in run.timers:
        run.timers = put(run.timers, RUN_DEADLINE, now_ms + plan.timeout_ms)
    for timer in run.expired:
        run.timers = put(run.timers, timer, now_ms)
    run.expired.clear()
    run.deferred.clear()
    run.status, run.incident = RUNNING, ""
    return reopen


def go_on(turn: Turn, reopen: Sequence[int]) -> None:
    """After the restored state was booked: what it holds is ready, armed, and asked for again.

    The point may lie in the middle of a turn: waits that would have been met at once are met now.
    """
    run = turn.run
    for key in reopen:
        ask_again(turn, key)
    for key in list(run.waits):
        if key in run.waits:
            begin_wait(turn, key, 0, call_at(run, turn.plan, key).timeout_ms)
    for timer, due_ms in run.timers.items():
        turn.arm(due_ms, timer)
    turn.ready.extend(run.open)


def last_attempt(events: Sequence[ev.RunEvent]) -> int:
    """The last attempt of the function that its history names: later ones count only above it."""
    numbers = [
        event.attempt
        for event in events
        if isinstance(event, (TurnTaken, ev.TaskReopened)) and not event.act
    ]  # fmt: skip
    return max(numbers, default=0) + 1


def between_turns(events: Sequence[ev.RunEvent], cut: int) -> int:
    """A point after these many events, moved to before a turn that was to end the run or its round: re-run from within
    it the function would end where it is recorded to wait."""
    last = next((n for n in reversed(range(cut)) if isinstance(events[n], TurnTaken)), -1)
    if last < 0:
        return cut
    for position in range(last + 1, len(events)):
        event = events[position]
        if isinstance(event, TurnTaken):
            return cut
        if isinstance(event, RoundContinued):
            return last if position >= cut else cut
        if isinstance(event, ev.RunEnded):
            by_turn = event.error is None or _by_last_turn(events[last:], event.error)
            return last if by_turn and position >= cut else cut
    return cut


def place_of_call(events: Sequence[ev.RunEvent], name: str) -> int:
    """How many events there are before the turn that first made a call of this name; 0: there is none."""
    for position, event in enumerate(events):
        if isinstance(event, TurnTaken) and any(shown_name(made) == name for made in event.calls):
            return position
    return 0


def names_of_calls(events: Sequence[ev.RunEvent]) -> list[str]:
    """What the calls that the function made are called, each once."""
    made = (shown_name(call) for event in events if isinstance(event, TurnTaken) for call in event.calls)
    return list(dict.fromkeys(made))


def recorded_value(run: RunState, name: str) -> DurableCompletion | None:
    """The last recorded end of a call of this name."""
    state = state_of(run)
    found = (c for c in reversed(state.completions) if c.seq >= 0 and shown_name(state.calls[c.seq]) == name)
    return next(found, None)


def skip_call(turn: Turn, name: str, value: Raw, act: int | None, command_id: str) -> None:
    """Ends an open call with this value; what it does is withdrawn."""
    run, plan = turn.run, turn.plan
    state = state_of(run)
    open_calls = [(seq, call) for seq, call in enumerate(state.calls) if call.status == OPEN]
    places = [key_of(run, plan, seq) for seq, call in open_calls if shown_name(call) == name]
    if act is not None:
        places = [key for key in places if key // plan.stride == act]
    if not places:
        names = ", ".join(list(dict.fromkeys(shown_name(call) for _, call in open_calls))[:10]) or "none"
        raise InvalidInput(f"no call {name!r} of the function is open now: nothing to skip (open: {names})", "node")
    if len(places) > 1:
        known = ", ".join(str(key // plan.stride) for key in places[:10])
        raise InvalidInput(f"call {name!r} is open {len(places)} times: name one activation ({known})", "activation")
    refusal = None
    if places[0] in run.approvals:
        value, refusal = decided_by_skip(approval_of(call_at(run, plan, places[0])), plan.definition, value)
    if command_id:
        turn.emit(ev.CommandApplied(command_id))
    end_call(turn, places[0], DONE if refusal is None else FAILED, value, refusal, withdraw=True)
