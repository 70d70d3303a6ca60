"""Turns of a durable function: what a worker says that the function did is checked, booked and brought about.

A turn that cannot be booked (its calls do not follow on, or do not fit what is recorded) changes nothing: the run is
paused as an incident, and resuming it opens a turn again. While a run is paused a turn that ends waits for the resume.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw, structs
from msgspec.msgpack import Decoder

from wfe.core.durable import calls
from wfe.core.durable.ahead import ahead_of
from wfe.core.durable.places import MAIN, state_of
from wfe.core.faults import end_run, withdrawing
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.value_checks import INVALID_OUTPUT, invalid_result
from wfe.core.values import encode
from wfe.limits import (
    DURABLE_CALLS_MAX,
    DURABLE_CANCEL_GRACE_MS,
    DURABLE_RECORD_BYTES_MAX,
    ERROR_MESSAGE_CHARS_MAX,
    LOSSES_MAX,
)
from wfe.model.command import TaskEnded
from wfe.model.durable import (
    CALL_PUBLISH,
    CANCEL,
    CONTINUE_WITH,
    DONE,
    NONDETERMINISTIC,
    NULL,
    OPEN,
    SUSPENDED,
    DurableTurn,
    TurnAhead,
)
from wfe.model.durable import CANCELLED as TURN_CANCELLED
from wfe.model.event import CommandDeferred, TaskReopened, TasksOpened
from wfe.model.event_durable import CallMade, CancelAsked, RoundContinued, TurnRefused, TurnTaken
from wfe.model.malformed import MALFORMED
from wfe.model.policy import ErrorInfo
from wfe.model.state import CANCELLED, COMPLETED, DEADLINE, ENDED, FAILED, PAUSED

_decode_turn = Decoder(DurableTurn).decode
_NOTHING_COUNTS, _DISAGREE = ". Nothing of this turn counts", "; wfe's worker and server do not agree"
_WAY_OUT = "deploy the code that it began with (or start a worker that has it), then resume the run"
_OUTSIDE = (
    "; if it has not changed, it depends on a clock, dice or other outside state: use wf.now(), wf.random() and "
    "wf.uuid(), and a task for the rest"
)


class _Done(NamedTuple):
    """A worker's turn, read. ``values``: what is published, by the position of its call."""

    calls: tuple[CallMade, ...]
    cancels: tuple[int, ...]
    values: dict[int, Raw]
    taken: int
    next_input: Raw | None


def task_ended(
    turn: Turn, key: int, attempt: int, status: int, value: Raw, error: ErrorInfo | None, previous: Raw, did: Raw
) -> None:
    """The end of an open attempt: of a turn, or of a task that the function called, with the turn that follows."""
    if key != MAIN:
        told = None if did == NULL or status != DONE else ahead_of(turn.run, did, turn.now_ms)
        calls.task_ended(turn, key, attempt, status == DONE, value, error, previous, 0 if told is None else told.at_ms)
        if told is not None and turn.run.status not in ENDED:
            _take_ahead(turn, told)
        return
    if turn.run.status == PAUSED:
        turn.emit(CommandDeferred(Raw(encode(TaskEnded(key, attempt, status, value, error, previous, did)))))
        return
    if status == NONDETERMINISTIC:
        _refuse(turn, attempt, "the function" if error is None else error.message)
        return
    done = _read(turn, did)
    if isinstance(done, str):
        _refuse(turn, attempt, done + _DISAGREE)
        return
    _take(turn, attempt, done, status, value, error)


def _take_ahead(turn: Turn, told: TurnAhead) -> None:
    """A turn that fits is taken as the one that its task's end has opened; else that stays open."""
    done = _checked(turn, told.turn)
    if not isinstance(done, str):
        turn.ready.remove(MAIN)
        _take(turn, turn.run.open[MAIN], done, told.status, told.value, told.error)


def _take(turn: Turn, attempt: int, done: _Done, status: int, value: Raw, error: ErrorInfo | None) -> None:
    """Record a turn, and what it comes to."""
    if len(state_of(turn.run).calls) + len(done.calls) > DURABLE_CALLS_MAX:
        message = f"more than {DURABLE_CALLS_MAX} calls: begin a next round with wf.continue_with(...) before that"
        end_run(turn, FAILED, error=_error(turn, "TooManyCalls", message))
        return
    _book(turn, attempt, done)
    if turn.run.status in ENDED:
        return
    if state_of(turn.run).open_bytes > DURABLE_RECORD_BYTES_MAX:
        message = (
            f"the arguments of its open calls have more than {DURABLE_RECORD_BYTES_MAX} bytes together: await some "
            "before it makes more, or pass paths or URLs"
        )
        end_run(turn, FAILED, error=_error(turn, "ArgumentsTooLarge", message))
        return
    if done.next_input is not None and status == SUSPENDED:
        _continue(turn, attempt, done.next_input)
    elif status == SUSPENDED:
        _suspended(turn)
    elif status == DONE:
        _returned(turn, value)
    elif status == TURN_CANCELLED and state_of(turn.run).cancelled:
        end_run(turn, CANCELLED)
    else:
        found = error or _error(turn, "CancelledError", "the function was cancelled from inside")
        end_run(turn, FAILED, error=structs.replace(found, node=found.node or turn.plan.nodes[0].id))


def _returned(turn: Turn, value: Raw) -> None:
    """The function's own end: with what it declares, or not."""
    run, declared = turn.run, turn.plan.returns
    unfit = None if declared is None else invalid_result(declared, value, run.blobs, run.workflow)
    if unfit is None:
        end_run(turn, COMPLETED, output=value)
    else:
        end_run(turn, FAILED, error=_error(turn, INVALID_OUTPUT, unfit))


def _read(turn: Turn, did: Raw) -> _Done | str:
    """What the function did, with its outcomes; or why it cannot be."""
    if did == NULL:
        return _Done((), (), {}, state_of(turn.run).taken, None)
    try:
        return _checked(turn, _decode_turn(did))
    except MALFORMED as problem:
        return f"the turn cannot be read: {problem}"


def _checked(turn: Turn, told: DurableTurn) -> _Done | str:
    """`_read`, of a turn that is decoded."""
    state = state_of(turn.run)
    made: list[CallMade] = []
    cancels: list[int] = []
    values: dict[int, Raw] = {}
    next_input = None
    seq = len(state.calls)
    try:
        for command in told.commands:
            if command.kind == CANCEL:
                cancels.append(command.seq)
            elif command.kind == CONTINUE_WITH:
                next_input = command.body
            elif command.seq != seq:
                return f"the turn makes call {command.seq} where call {seq} is the next"
            else:
                if command.kind == CALL_PUBLISH:
                    values[len(made)] = command.body
                made.append(calls.made_of(turn, command, state.base + seq))
                seq += 1
    except (ValueError, *MALFORMED) as problem:
        return f"the turn cannot be read: {problem}"
    if not state.taken <= told.taken <= len(state.completions):
        return f"the function had {told.taken} ends of calls, {state.taken} to {len(state.completions)} are possible"
    if cancels and any(not 0 <= number < seq for number in cancels):
        return "the turn cancels a call that was never made"
    return _Done(tuple(made), tuple(cancels), values, told.taken, next_input)


def _book(turn: Turn, attempt: int, done: _Done) -> None:
    """Record the turn, then let its calls begin, in their order."""
    run, stride = turn.run, turn.plan.stride
    state = state_of(run)
    first, known = state.base + len(state.calls), len(state.calls)
    cancels = done.cancels
    if cancels:
        cancels = tuple(seq for seq in dict.fromkeys(cancels) if seq >= known or state.calls[seq].status == OPEN)
    event = TurnTaken(0, 0, attempt, done.taken, done.calls, cancels)
    if cancels:
        withdrawing(turn, event)
        if (MAIN, attempt) in turn.withdrawn:
            turn.withdrawn.remove((MAIN, attempt))  # it has ended
    else:
        turn.emit(event)
    if MAIN in run.open:
        turn.ready.append(MAIN)
    for position, made in enumerate(done.calls):
        if run.status in ENDED:
            return
        if not cancels or known + position not in cancels:
            calls.begin_call(turn, (first + position) * stride, made, done.values.get(position, NULL))


def _suspended(turn: Turn) -> None:
    """The function waits: for something that can come."""
    run = turn.run
    if not (run.open or run.waits or run.children or any(timer > MAIN * 2 + DEADLINE for timer in run.timers)):
        message = "the function waits for what no call of it can bring about: it awaits a bare future, or itself"
        end_run(turn, FAILED, error=_error(turn, "stuck", message))


def _continue(turn: Turn, attempt: int, arguments: Raw) -> None:
    """The next round; what is open of this one is withdrawn."""
    withdrawing(turn, RoundContinued(0, 0, attempt, arguments, turn.now_ms))
    turn.ready.append(MAIN)


def _refuse(turn: Turn, attempt: int, problem: str) -> None:
    way_out = f"{_NOTHING_COUNTS}: {_WAY_OUT}" + _OUTSIDE * (not problem.endswith(_DISAGREE))
    message = problem[: ERROR_MESSAGE_CHARS_MAX - len(way_out)] + way_out
    turn.emit(TurnRefused(0, 0, attempt, message, turn.now_ms))


def by_changed_code(incident: str) -> bool:
    """Whether an incident is the function's: its code did not do again what is recorded."""
    return _NOTHING_COUNTS in incident and _DISAGREE not in incident


def _error(turn: Turn, kind: str, message: str) -> ErrorInfo:
    return ErrorInfo(kind, message, turn.plan.nodes[0].id, types=(kind,))


def task_lost(turn: Turn, key: int, attempt: int, *, spent: bool, previous: Raw) -> None:
    """An open attempt was lost with its worker: of a turn, or of a task that the function called."""
    run = turn.run
    if key != MAIN:
        calls.task_lost(turn, key, attempt, spent=spent, previous=previous)
        return
    losses = run.losses.get(key, 0) + 1
    if spent and losses > LOSSES_MAX:
        name = turn.plan.nodes[0].id
        message = f"{name} was lost with its worker {losses} times: it probably kills the process that runs it"
        end_run(turn, FAILED, error=structs.replace(_error(turn, "PoisonTask", message), attempts=losses, fatal=True))
        return
    turn.emit(TaskReopened(0, 0, attempt + 1, spent, previous))
    turn.ready.append(MAIN)


def ask_cancel(turn: Turn) -> bool:
    """Tell the function that its run is to be cancelled. False: there is none that could clean up."""
    run = turn.run
    state = state_of(run)
    if state.cancelled:
        return True
    if run.status == PAUSED or not state.attempt:
        return False
    due_ms = turn.now_ms + DURABLE_CANCEL_GRACE_MS
    in_turn = MAIN in run.open
    turn.emit(CancelAsked(0, 0, turn.now_ms, due_ms))
    turn.arm(due_ms, MAIN * 2 + DEADLINE)
    if not in_turn:
        turn.ready.append(MAIN)
    return True


# ---- handlers of the node, see `core.nodes` -------------------------------------------------------------------------


def open_function(turn: Turn, act: int, node: PlanNode) -> None:
    """The function begins; or a call of a past point is made anew (`rounds`)."""
    turn.emit(TasksOpened(act, (node.index,)))
    turn.ready.append(act * turn.plan.stride + node.index)


def expire(turn: Turn, act: int, node: PlanNode) -> None:
    """A call took too long; or the function did, after it was cancelled."""
    if act:
        calls.expire(turn, act * turn.plan.stride + node.index)
    else:
        end_run(turn, CANCELLED)
