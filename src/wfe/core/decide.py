"""Decide: commands to one run. Each function takes a `Turn`, emits events and advances the run to a fixed point.

Rejections are errors of `wfe.errors` and leave the state untouched.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import Raw, structs
from msgspec.msgpack import Decoder

from wfe.core.advance import advance
from wfe.core.evolve import new_run
from wfe.core.faults import awaited_children, end_run, raise_fault
from wfe.core.nodes.waits import expire_wait, take_signal
from wfe.core.plan import Op, Plan
from wfe.core.retry import retry_delay_ms
from wfe.core.schemas import compile_schema
from wfe.core.turn import Turn
from wfe.core.values import decode, encode, encode_value
from wfe.errors import BY_CODE, Busy, InvalidInput, ProtocolError, RunClosed, WfeError
from wfe.limits import LOSSES_MAX, SIGNALS_BUFFERED_MAX
from wfe.model.command import Begin, ChildBegun, ChildOver, Command, Control, Signal, TaskEnded, TaskLost
from wfe.model.definition import Task, WaitSignal
from wfe.model.event import (
    CommandApplied,
    CommandDeferred,
    FaultRaised,
    NodeDone,
    RunPaused,
    RunQuarantined,
    RunResumed,
    RunStarted,
    SignalArrived,
    TaskDone,
    TaskFailed,
    TaskHandedOut,
    TaskReopened,
    TimerExpired,
)
from wfe.model.mail import ChildControl
from wfe.model.policy import ErrorInfo
from wfe.model.state import CANCELLED, ENDED, FAILED, NULL, PAUSED, RUN_DEADLINE, WAKE, RunState

_decode_command = Decoder(Command).decode
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
    turn: Turn, key: int, attempt: int, status: int, value: Raw, error: ErrorInfo | None, previous: Raw = NULL
) -> bool:
    """The end of an attempt. False: it no longer counts (another attempt is open, or none), nothing changed."""
    run, plan = turn.run, turn.plan
    if run.open.get(key) != attempt:
        return False
    act, index = divmod(key, plan.stride)
    if status == DONE:
        turn.emit(TaskDone(index, act, attempt, value))
    else:
        _attempt_failed(turn, key, attempt, error or ErrorInfo("Error", "failed without an error"), previous)
    advance(turn)
    return True


def _attempt_failed(turn: Turn, key: int, attempt: int, error: ErrorInfo, previous: Raw) -> None:
    run, plan = turn.run, turn.plan
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    failures = run.failures.get(key, 0) + 1
    error = structs.replace(error, node=node.id, attempts=failures)
    delay_ms = retry_delay_ms(node.retry, failures, error, turn.random)
    if delay_ms is None:
        turn.emit(TaskFailed(index, act, attempt, error))
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
    act, index = divmod(key, plan.stride)
    task = plan.nodes[index].node
    assert isinstance(task, Task)
    losses = run.losses.get(key, 0) + 1
    if spent and not task.redeliver:
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
    act, index = divmod(key, turn.plan.stride)
    node = turn.plan.nodes[index]
    error = ErrorInfo(kind, message, node.id, attempts, types=(kind,), fatal=True)
    turn.emit(TaskFailed(index, act, attempt, error))


def timer_due(turn: Turn, timer: int) -> bool:
    """A timer is due. False when it is not (or no longer) armed or not due yet."""
    run = turn.run
    due_ms = run.timers.get(timer)
    if due_ms is None or due_ms > turn.now_ms:
        return False
    if run.status == PAUSED:
        turn.emit(TimerExpired(timer))
        return True
    _expire(turn, timer)
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
    node = plan.nodes[index]
    if kind == WAKE:
        if key in run.retrying:
            turn.emit(TaskReopened(index, act, run.retrying[key]))
            turn.ready.append(key)
        else:
            turn.emit(NodeDone(index, act))
    elif node.op is Op.SIGNAL:
        expire_wait(turn, act, node)
    else:
        child = run.children.get(key)
        raise_fault(turn, act, node, "TimedOut", f"sub-workflow {node.id} took longer than {node.timeout_ms} ms")
        if child is not None:
            turn.mail.append((child, ChildControl(child, "cancel")))


def signal(turn: Turn, name: str, payload: Raw, event_id: str) -> None:
    """A message from outside: taken by the first node that waits for it, else buffered. Repetitions change nothing."""
    run, plan = turn.run, turn.plan
    if any(known == event_id for known, _ in run.commands):
        return
    if run.status in ENDED:
        raise RunClosed(f"run {run.id} has ended as {run.status}: it takes no more signals")
    _check_signal(plan, name, payload)
    if sum(len(waiting) for waiting in run.signals.values()) >= SIGNALS_BUFFERED_MAX:
        raise Busy(f"run {run.id} has {SIGNALS_BUFFERED_MAX} signals that nothing has taken yet", retry_after_s=1.0)
    turn.emit(CommandApplied(event_id))
    turn.emit(SignalArrived(name, payload, event_id))
    if run.status != PAUSED:
        _hand_over_signals(turn)
        advance(turn)


def _check_signal(plan: Plan, name: str, payload: Raw) -> None:
    value = None
    for node in plan.nodes:
        wait = node.node
        if isinstance(wait, WaitSignal) and wait.signal == name and wait.schema is not None:
            value = decode(payload) if value is None else value
            found = compile_schema(wait.schema, plan.definition.types).check(value)
            if found is not None:
                raise InvalidInput(f"signal {name!r}: {found[1]}", found[0])


def _hand_over_signals(turn: Turn) -> None:
    """Give buffered signals to the nodes that wait for them, oldest first."""
    run, plan = turn.run, turn.plan
    for key, name in list(run.waits.items()):
        if name in run.signals and key in run.waits:
            act, index = divmod(key, plan.stride)
            take_signal(turn, act, plan.nodes[index])


def child_ended(turn: Turn, key: int, child: str, status: str, output: Raw, error: ErrorInfo | None) -> bool:
    """An awaited sub-workflow has ended. False when it is not awaited any more."""
    run, plan = turn.run, turn.plan
    if run.children.get(key) != child:
        return False
    act, index = divmod(key, plan.stride)
    node = plan.nodes[index]
    if status == "completed":
        turn.emit(NodeDone(index, act, output))
    else:
        found = error or ErrorInfo("RunFailed", f"sub-workflow {child} ended as {status}")
        _raise(turn, act, index, structs.replace(found, node=node.id))
    advance(turn)
    return True


def child_started(turn: Turn, key: int, child: str, started: str) -> bool:
    """A detached run was started. False when that is not awaited any more."""
    if turn.run.children.get(key) != child:
        return False
    act, index = divmod(key, turn.plan.stride)
    turn.emit(NodeDone(index, act, encode_value(started)))
    advance(turn)
    return True


def _raise(turn: Turn, act: int, index: int, error: ErrorInfo) -> None:
    turn.emit(FaultRaised(index, act, error))


def control(turn: Turn, action: str, command_id: str) -> None:
    """Cancel, pause or resume (rule R13). A repeated command gets the same answer."""
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
        end_run(turn, CANCELLED)
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


def _resume(turn: Turn) -> None:
    """What was recorded while the run was paused takes effect, in order; timers that fired meanwhile are due now."""
    run = turn.run
    held, expired, deferred = list(run.held), list(run.expired), list(run.deferred)
    turn.emit(RunResumed(turn.now_ms))
    turn.enabled.extend(held)
    for command in deferred:
        _again(turn, _decode_command(command))
    turn.ready = list(dict.fromkeys([*turn.ready, *run.open]))
    for timer in expired:
        turn.arm(turn.now_ms, timer)
    advance(turn)
    if run.status not in ENDED:
        _hand_over_signals(turn)
        advance(turn)


def apply(turn: Turn, command: Command) -> None:
    """Any of the commands that are kept when a defect meets them."""
    match command:
        case Begin():
            _open_first(turn)
        case TaskEnded(key, attempt, status, value, error, previous):
            task_result(turn, key, attempt, status, value, error, previous)
        case TaskLost(key, attempt, spent, previous):
            task_lost(turn, key, attempt, spent=spent, previous=previous)
        case Signal(name, payload, event_id):
            signal(turn, name, payload, event_id)
        case ChildOver(key, child, status, output, error):
            child_ended(turn, key, child, status, output, error)
        case ChildBegun(key, child, started):
            child_started(turn, key, child, started)
        case Control(action, command_id):
            control(turn, action, command_id)
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
    if command is not None:
        turn.emit(CommandDeferred(Raw(encode(command))))
