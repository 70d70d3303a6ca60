"""Decide: commands to one run. Each function takes a `Turn`, emits events and advances the run to a fixed point.

Rejections are errors of `wfe.errors` and leave the state untouched.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import Raw, structs
from msgspec.msgpack import Decoder

from wfe.core.advance import advance
from wfe.core.durable import turns as durable
from wfe.core.durable.calls import child_over, end_call
from wfe.core.evolve import new_run
from wfe.core.faults import awaited_children, end_run
from wfe.core.nets.boundaries import boundary_due
from wfe.core.nodes import EXPIRE, locks
from wfe.core.nodes import WAKE as WAKES
from wfe.core.pauses import enable_first, ends_in_pause, take_effect
from wfe.core.plan import Plan
from wfe.core.retry import retry_delay_ms
from wfe.core.signals import drop_transient, hand_over, signal
from wfe.core.turn import Turn
from wfe.core.value_checks import invalid_output
from wfe.core.values import encode, encode_value, slim
from wfe.errors import BY_CODE, ProtocolError, RunClosed, WfeError
from wfe.limits import BLOB_BYTES_MIN, LOSSES_MAX
from wfe.model.command import Begin, ChildBegun, ChildOver, Command, Control, LockGotten, Signal, TaskEnded, TaskLost
from wfe.model.definition import Task
from wfe.model.event import (
    CommandApplied,
    CommandDeferred,
    FaultRaised,
    NodeDone,
    RunPaused,
    RunQuarantined,
    RunResumed,
    RunStarted,
    TaskDone,
    TaskFailed,
    TaskHandedOut,
    TaskReopened,
    TimerExpired,
)
from wfe.model.event_kinds import CompensationDone
from wfe.model.mail import ChildControl, MailBody
from wfe.model.policy import ErrorInfo
from wfe.model.state import CANCELLED, DEADLINE, ENDED, FAILED, NULL, PAUSED, RUN_DEADLINE, WAKE, RunState

_decode_command = Decoder(Command).decode
__all__ = [
    "apply",
    "begin",
    "child_ended",
    "child_started",
    "control",
    "lock_given",
    "quarantine",
    "signal",
    "start",
    "task_lost",
    "task_result",
    "timer_due",
]
DONE, FAILED_ATTEMPT, CANCELLED_ATTEMPT = 0, 1, 2
"""Status of a task result."""


def start(plan: Plan, event: RunStarted) -> RunState:
    """The state of a new run; `begin` its first turn with it."""
    return new_run(event, plan)


def begin(turn: Turn, event: RunStarted) -> None:
    """The first turn: record the start and open what has no predecessor."""
    turn.events.append(event)
    if event.due_ms:
        turn.arm(event.due_ms, RUN_DEADLINE)
    _open_first(turn)


def _open_first(turn: Turn) -> None:
    plan = turn.plan
    arm = plan.scopes[0].arm
    turn.enabled.extend(arm.entry if arm.pending else (~(plan.stride - 1),))
    advance(turn)


def task_result(
    turn: Turn,
    key: int,
    attempt: int,
    status: int,
    value: Raw,
    error: ErrorInfo | None,
    previous: Raw = NULL,
    did: Raw = NULL,
) -> bool:
    """The end of an attempt. False: it no longer counts (another attempt is open, or none), nothing changed.

    ``did``: what a durable function did in the turn that this was (`TaskResult.turn`).
    """
    run, plan = turn.run, turn.plan
    if run.open.get(key) != attempt:
        return False
    if run.durable is not None:
        durable.task_ended(turn, key, attempt, status, value, error, previous, did)
        return True
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    if status == DONE and node.returns is not None:
        error = invalid_output(node.returns, value, node.retry, node.task)
        status = DONE if error is None else FAILED_ATTEMPT
    if status == DONE and (run.compensating is None or not _is_handler(run, key)):
        turn.emit(TaskDone(index, act, attempt, value if len(value) < BLOB_BYTES_MIN else slim(run, value)))
    elif status == DONE:
        turn.emit(CompensationDone(index, act, attempt))
    else:
        _attempt_failed(turn, key, attempt, error or ErrorInfo("Error", "failed without an error"), previous)
    advance(turn)
    return True


def _is_handler(run: RunState, key: int) -> bool:
    """Whether the task of a place is the compensation handler that is being called."""
    return run.compensating is not None and run.compensating.current == key


def _failed_for_good(turn: Turn, key: int, attempt: int, error: ErrorInfo) -> None:
    act, index = divmod(key, turn.plan.stride)
    if _is_handler(turn.run, key):
        turn.emit(CompensationDone(index, act, attempt, error))
    else:
        turn.emit(TaskFailed(index, act, attempt, error))


def _attempt_failed(turn: Turn, key: int, attempt: int, error: ErrorInfo, previous: Raw) -> None:
    run, plan = turn.run, turn.plan
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    failures = run.failures.get(key, 0) + 1
    error = structs.replace(error, node=node.id, attempts=failures)
    delay_ms = retry_delay_ms(node.retry, failures, error, turn.random)
    if delay_ms is None:
        _failed_for_good(turn, key, attempt, error)
        return
    due_ms = turn.now_ms + delay_ms
    turn.emit(TaskFailed(index, act, attempt, error, due_ms, previous))
    turn.arm(due_ms, key * 2 + WAKE)


def task_lost(turn: Turn, key: int, attempt: int, *, spent: bool, previous: Raw = NULL) -> bool:
    """An attempt was lost with its worker: open another, unless it was lost too often or must not run twice.

    ``spent`` false: nobody can have begun it (it never reached a worker's hands), so it does not count as a loss.
    """
    run, plan = turn.run, turn.plan
    if run.open.get(key) != attempt:
        return False
    if run.durable is not None:
        durable.task_lost(turn, key, attempt, spent=spent, previous=previous)
        return True
    act, index = divmod(key, plan.stride)
    task = plan.nodes[index]
    losses = run.losses.get(key, 0) + 1
    if spent and isinstance(task.node, Task) and not task.node.redeliver:
        message = f"the worker was lost while it ran {task.task}, which must not be given out again"
        _final(turn, key, attempt, "WorkerLost", message, losses)
    elif spent and losses > LOSSES_MAX:
        message = f"{task.task} was lost with its worker {losses} times: it probably kills the process that runs it"
        _final(turn, key, attempt, "PoisonTask", message, losses)
    else:
        turn.emit(TaskReopened(index, act, attempt + 1, spent, previous))
        turn.ready.append(key)
    advance(turn)
    return True


def hand_out(turn: Turn, key: int, attempt: int) -> None:
    """A task that must not run twice goes to a worker next: whoever recovers the run must know."""
    if turn.run.open.get(key) == attempt:
        act, index = divmod(key, turn.plan.stride)
        turn.emit(TaskHandedOut(index, act, attempt))


def _final(turn: Turn, key: int, attempt: int, kind: str, message: str, attempts: int) -> None:
    node = turn.plan.nodes[key % turn.plan.stride]
    _failed_for_good(turn, key, attempt, ErrorInfo(kind, message, node.id, attempts, types=(kind,), fatal=True))


def timer_due(turn: Turn, timer: int) -> bool:
    """A timer is due. False when it is not (or no longer) armed or not due yet."""
    run = turn.run
    due_ms = run.timers.get(timer)
    if due_ms is None or due_ms > turn.now_ms:
        return False
    if run.status == PAUSED and not ends_in_pause(turn, timer):
        turn.emit(TimerExpired(timer))
        return True
    _expire(turn, timer)
    if run.status != PAUSED:
        advance(turn)
    return True


def _expire(turn: Turn, timer: int) -> None:
    run, plan = turn.run, turn.plan
    if timer == RUN_DEADLINE:
        limit_ms = plan.timeout_ms
        end_run(
            turn, FAILED, error=ErrorInfo("TimedOut", f"the run took longer than {limit_ms} ms", types=("TimedOut",))
        )
        return
    key, kind = divmod(timer, 2)
    act, index = divmod(key, plan.stride)
    if index == plan.stride - 1:
        boundary_due(turn, act, run.timers[timer])
        return
    node = plan.nodes[index]
    if key in run.retrying and kind == WAKE:
        turn.emit(TaskReopened(index, act, run.retrying[key]))
        turn.ready.append(key)
    else:
        (WAKES if kind == WAKE else EXPIRE)[node.op](turn, act, node)


def child_ended(turn: Turn, key: int, child: str, status: str, output: Raw, error: ErrorInfo | None) -> bool:
    """An awaited sub-workflow has ended. False when it is not awaited any more."""
    run, plan = turn.run, turn.plan
    if run.children.get(key) != child:
        return False
    if run.durable is not None:
        child_over(turn, key, child, status, output, error)
        return True
    if run.expired and key * 2 + DEADLINE in run.expired:
        return False  # it came too late: that takes effect when the run is resumed
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    unfit = None
    if status == "completed" and node.returns is not None:
        unfit = invalid_output(node.returns, output, None, f"sub-workflow {child}")
    if unfit is not None:
        _raise(turn, act, index, structs.replace(unfit, node=node.id))
    elif status == "completed":
        turn.emit(NodeDone(index, act, slim(run, output)))
    else:
        found = error or ErrorInfo("RunFailed", f"sub-workflow {child} ended as {status}")
        _raise(turn, act, index, structs.replace(found, node=node.id))
    advance(turn)
    return True


def child_started(turn: Turn, key: int, child: str, started: str) -> bool:
    """A detached run was started. False when that is not awaited any more."""
    if turn.run.children.get(key) != child:
        return False
    if turn.run.durable is not None:
        end_call(turn, key, DONE, encode_value(started))
        return True
    act, index = divmod(key, turn.plan.stride)
    turn.emit(NodeDone(index, act, encode_value(started)))
    advance(turn)
    return True


def _raise(turn: Turn, act: int, index: int, error: ErrorInfo) -> None:
    turn.emit(FaultRaised(index, act, error))


def lock_given(turn: Turn, key: int, lock: str, *, refused: bool = False) -> bool:
    """A lock that all runs share was given to a block of this run, or refused. False: it is not wanted any more."""
    given = locks.lock_given(turn, key, lock, refused=refused)
    advance(turn)
    return given


def control(turn: Turn, action: str, command_id: str, *, compensate: bool = True) -> None:
    """Cancel, pause or resume (rule R13). A repeated command gets the same answer.

    ``compensate`` false: a cancelled run ends at once, without its compensation handlers, and so do its children.
    """
    run = turn.run
    for known, code in run.commands:
        if known == command_id:
            if code:
                raise BY_CODE[code](f"run {run.id}: {action} was refused before")
            return
    if run.status in ENDED:
        if action == "cancel" and run.status == CANCELLED:
            return
        raise RunClosed(f"run {run.id} has ended as {run.status}: {action} comes too late")
    children = awaited_children(turn)
    if action == "cancel":
        turn.emit(CommandApplied(command_id))
        _cancel(turn, compensate=compensate)
    elif action == "pause":
        turn.emit(CommandApplied(command_id))
        if run.status != PAUSED:
            turn.emit(RunPaused(turn.now_ms))
            turn.mail.extend((child, ChildControl(child, "pause")) for _, child in children)
    elif action == "resume":
        turn.emit(CommandApplied(command_id))
        if run.status == PAUSED:
            _resume(turn)
            turn.mail.extend((child, ChildControl(child, "resume")) for _, child in children)
    else:
        raise ProtocolError(f"unknown action {action!r}: cancel, pause or resume")


def _cancel(turn: Turn, *, compensate: bool) -> None:
    run = turn.run
    if compensate and run.compensating is not None and run.compensating.status:
        return  # it is ending already, and compensates
    if compensate and run.durable is not None and durable.ask_cancel(turn):
        return
    paused, first = run.status == PAUSED, len(turn.mail)
    end_run(turn, CANCELLED, compensate=compensate)
    if not compensate:
        turn.mail[first:] = [(child, _without_compensation(body)) for child, body in turn.mail[first:]]
    if paused and run.status not in ENDED:  # it compensates: a handler that a Compensate began is to be awaited
        turn.ready.extend(run.open)
        for timer, due_ms in run.timers.items():
            turn.arm(due_ms, timer)
    advance(turn)


def _without_compensation(body: MailBody) -> MailBody:
    return structs.replace(body, compensate=False) if isinstance(body, ChildControl) else body


def _resume(turn: Turn) -> None:
    """What was recorded while the run was paused takes effect, in order."""
    run = turn.run
    held, heard, expired, deferred = list(run.held), list(run.heard), list(run.expired), list(run.deferred)
    turn.emit(RunResumed(turn.now_ms))
    marks = enable_first(turn, held)
    for command in deferred:
        _again(turn, _decode_command(command))
    turn.ready = list(dict.fromkeys([*turn.ready, *run.open]))
    for timer in expired:
        turn.arm(turn.now_ms, timer)
    take_effect(turn, marks, heard, _expire)
    if run.status not in ENDED:
        hand_over(turn)
        advance(turn)
    if run.signals:
        drop_transient(turn)


def apply(turn: Turn, command: Command) -> None:
    """Any of the commands that are kept when a defect meets them."""
    match command:
        case Begin():
            _open_first(turn)
        case TaskEnded(key, attempt, status, value, error, previous, did):
            task_result(turn, key, attempt, status, value, error, previous, did)
        case TaskLost(key, attempt, spent, previous):
            task_lost(turn, key, attempt, spent=spent, previous=previous)
        case Signal(name, payload, event_id, correlation):
            signal(turn, name, payload, event_id, correlation)
        case ChildOver(key, child, status, output, error):
            child_ended(turn, key, child, status, output, error)
        case ChildBegun(key, child, started):
            child_started(turn, key, child, started)
        case Control(action, command_id, compensate):
            control(turn, action, command_id, compensate=compensate)
        case LockGotten(key, lock, refused):
            lock_given(turn, key, lock, refused=refused)
        case _:
            assert_never(command)


def _again(turn: Turn, command: Command) -> None:
    """A command that met a defect before. By now it may be refused, or mean nothing: then it is over."""
    before = len(turn.events)
    try:
        apply(turn, command)
    except WfeError:
        if len(turn.events) != before:
            raise


def quarantine(turn: Turn, message: str, command: Command | None = None) -> None:
    """A defect of wfe met this run: it stands still as an incident until somebody resumes or cancels it.

    ``command``: what met the defect, to be applied again then.
    """
    turn.emit(RunQuarantined(turn.now_ms, message))
    if command is not None and (encoded := encode(command)) not in map(bytes, turn.run.deferred):
        turn.emit(CommandDeferred(Raw(encoded)))  # once, however often somebody repeats it
