"""Single calls of a durable function: what they come to when they are made, how they begin and how they end.

Decide's side: reads state, emits events. A call that ends opens the function's next turn, unless one is open.
"""

from __future__ import annotations

from msgspec import Raw, structs
from msgspec.msgpack import Decoder

from wfe.core.decisions import check_decision, outcome_of
from wfe.core.durable.places import MAIN, WITH_INPUT, call_at, state_of, with_input
from wfe.core.faults import end_run, withdrawing
from wfe.core.plan import Plan, PlanNode
from wfe.core.retry import retry_delay_ms
from wfe.core.turn import Turn
from wfe.core.values import decode, slim
from wfe.errors import InvalidInput
from wfe.limits import (
    BLOB_BYTES_MIN,
    DURABLE_RECORD_BYTES_MAX,
    DURATION_MAX_MS,
    KEY_CHARS_MAX,
    LOSSES_MAX,
    MOMENT_MAX_MS,
    SUBFLOW_DEPTH_MAX,
)
from wfe.model.blob import expand
from wfe.model.definition import Approval
from wfe.model.durable import (
    CALL_APPROVAL,
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_START,
    CALL_TASK,
    CALL_VERSION,
    CALL_WORKFLOW,
    DONE,
    FAILED,
    NULL,
    TIMED_OUT,
    ApprovalBody,
    Called,
    ChildBody,
    DurableCommand,
    SignalBody,
    SleepBody,
    TaskBody,
)
from wfe.model.event import ChildOpened, TaskFailed, TaskReopened
from wfe.model.event_durable import CallEnded, CallMade, Published
from wfe.model.ids import child_run_id, partition_of_key
from wfe.model.mail import ChildControl, ChildStart
from wfe.model.policy import ErrorInfo
from wfe.model.state import COMPLETED, DEADLINE, WAKE, RunState
from wfe.model.state import FAILED as FAILED_RUN
from wfe.model.trace import of_child

decode_task = Decoder(TaskBody).decode
decode_child = Decoder(ChildBody).decode
decode_sleep = Decoder(SleepBody).decode
decode_signal = Decoder(SignalBody).decode
decode_approval = Decoder(ApprovalBody).decode
_decode_form = Decoder(dict).decode
_BODIES = {
    CALL_SIGNAL: decode_signal,
    CALL_APPROVAL: decode_approval,
}


# ---- how calls begin ------------------------------------------------------------------------------------------------


def made_of(turn: Turn, command: DurableCommand, act: int) -> CallMade:
    """A call with its outcomes. Raises what `MALFORMED` names, or ValueError, for one that makes no sense."""
    kind, body, due_ms, child = command.kind, command.body, 0, ""
    if kind in WITH_INPUT and len(body) >= BLOB_BYTES_MIN and turn.run.blobs:
        body = with_input(kind, body, lambda given: slim(turn.run, given))
    asks = False
    if kind == CALL_TASK:
        asks = decode_task(body).needs is not None
    elif kind in _BODIES:
        _BODIES[kind](body)
    elif kind == CALL_SLEEP:
        sleep = decode_sleep(body)
        delay_ms = min(max(sleep.delay_ms, 0), DURATION_MAX_MS)
        due_ms = min(max(sleep.until_ms or turn.now_ms + delay_ms, 1), MOMENT_MAX_MS)
    elif kind in (CALL_WORKFLOW, CALL_START):
        child = child_of(turn, command.name, decode_child(body), act, start=kind == CALL_START)
    elif kind == CALL_PUBLISH:
        body = NULL  # the event beside it has the value
    elif kind != CALL_VERSION:
        raise ValueError(f"there is no call of kind {kind}")
    if kind not in (CALL_TASK, CALL_SLEEP) and command.timeout_ms > 0:
        due_ms = turn.now_ms + command.timeout_ms
    return CallMade(kind, command.name, command.version, command.where, body, command.timeout_ms, due_ms, child, asks)


def child_of(turn: Turn, workflow: str, body: ChildBody, act: int, *, start: bool) -> str:
    """The id of the run that a call asks for."""
    run = turn.run
    if not start:
        return child_run_id(run.id, 0, act, turn.partitions, turn.now_ms, round=run.round)
    key = body.key if len(body.key) <= KEY_CHARS_MAX else ""
    partition = partition_of_key(run.namespace, workflow, key, turn.partitions) if key else None
    return child_run_id(run.id, 0, act, turn.partitions, turn.now_ms, partition)


def begin_call(turn: Turn, key: int, made: CallMade, value: Raw) -> None:
    """What a recorded call brings about at once. ``value``: of what is published."""
    kind = made.kind
    if kind == CALL_TASK:
        turn.ready.append(key)
    elif kind == CALL_SLEEP:
        turn.arm(made.due_ms, key * 2 + WAKE)
    elif kind in (CALL_SIGNAL, CALL_APPROVAL):
        begin_wait(turn, key, made.due_ms, made.timeout_ms)
    elif kind in (CALL_WORKFLOW, CALL_START):
        _begin_child(turn, key, made)
    elif kind == CALL_PUBLISH:
        turn.emit(Published(0, key // turn.plan.stride, value))


def begin_wait(turn: Turn, key: int, due_ms: int, timeout_ms: int) -> None:
    """A wait takes what came early, polls, or arms its timer."""
    run = turn.run
    if run.waits[key] in run.signals:
        take(turn, key)
    elif timeout_ms == 0:
        expire(turn, key)
    elif due_ms:
        turn.arm(due_ms, key * 2 + DEADLINE)


def _begin_child(turn: Turn, key: int, made: CallMade) -> None:
    run = turn.run
    body = decode_child(made.body)
    awaited = made.kind == CALL_WORKFLOW
    if awaited and run.depth >= SUBFLOW_DEPTH_MAX:
        fail(turn, key, "LoopLimit", f"sub-workflows nested deeper than {SUBFLOW_DEPTH_MAX}")
        return
    if len(body.key) > KEY_CHARS_MAX:
        fail(turn, key, "InvalidInput", f"a key is text of 1 to {KEY_CHARS_MAX} characters")
        return
    if made.due_ms:
        turn.arm(made.due_ms, key * 2 + DEADLINE)
    _send_start(turn, key, made.child, body, awaited=awaited)


def _send_start(turn: Turn, key: int, child: str, body: ChildBody, *, awaited: bool) -> None:
    run = turn.run
    call = call_at(run, turn.plan, key)
    given = expand(body.input, run.blobs)
    start = ChildStart(
        child, call.name, call.version, given, run.namespace, key=body.key, priority=run.priority,
        principal=run.principal, parent=run.id, parent_node=0, parent_act=key // turn.plan.stride,
        depth=run.depth + 1 if awaited else 0, detached=not awaited, trace=of_child(run.trace, run.id),
    )  # fmt: skip
    turn.mail.append((child, start))


def ask_again(turn: Turn, key: int) -> None:
    """A restored run asks for the runs that its function awaits: for others, or whether they were started."""
    call = call_at(turn.run, turn.plan, key)
    body = decode_child(call.options)
    act = key // turn.plan.stride
    child = child_of(turn, call.name, body, act, start=call.kind == CALL_START)
    turn.emit(ChildOpened(0, act, child, turn.now_ms + call.timeout_ms if call.timeout_ms > 0 else 0))
    _send_start(turn, key, child, body, awaited=call.kind == CALL_WORKFLOW)


# ---- how calls end --------------------------------------------------------------------------------------------------


def end_call(
    turn: Turn,
    key: int,
    status: int,
    value: Raw = NULL,
    error: ErrorInfo | None = None,
    *,
    attempt: int = 0,
    signalled: bool = False,
    withdraw: bool = False,
    at_ms: int = 0,
) -> None:
    """Record how a call ended; the function's next turn may be open then. ``withdraw``: it did not end by itself.

    ``at_ms``: when; 0: now.
    """
    run = turn.run
    in_turn = MAIN in run.open
    act, name = key // turn.plan.stride, call_at(run, turn.plan, key).name
    event = CallEnded(0, act, status, at_ms or turn.now_ms, value, error, attempt, signalled, name)
    if withdraw:
        withdrawing(turn, event)
    else:
        turn.emit(event)
    if state_of(run).size_bytes > DURABLE_RECORD_BYTES_MAX:
        _too_large(turn)
    elif not in_turn and MAIN in run.open:
        turn.ready.append(MAIN)


def _too_large(turn: Turn) -> None:
    message = (
        f"the results of its calls have more than {DURABLE_RECORD_BYTES_MAX} bytes together: begin a next round with "
        "wf.continue_with(...) before that, or let tasks return paths or URLs"
    )
    end_run(
        turn, FAILED_RUN, error=ErrorInfo("RecordTooLarge", message, turn.plan.nodes[0].id, types=("RecordTooLarge",))
    )


def fail(turn: Turn, key: int, kind: str, message: str, status: int = FAILED) -> None:
    """A call fails with an error of the engine."""
    end_call(turn, key, status, error=ErrorInfo(kind, message, call_at(turn.run, turn.plan, key).name, types=(kind,)))


def take(turn: Turn, key: int) -> None:
    """The call takes the oldest signal that it waits for."""
    run = turn.run
    call = call_at(run, turn.plan, key)
    if call.kind == CALL_APPROVAL:
        _, payload = run.signals[run.waits[key]][0]
        _decide(turn, key, call, expand(payload, run.blobs))
    else:
        end_call(turn, key, DONE, signalled=True)


def _decide(turn: Turn, key: int, call: Called, payload: Raw) -> None:
    approval = approval_of(call)
    try:
        check_decision(approval, turn.plan.definition, payload)
    except InvalidInput as error:  # it came before anybody was asked, so nobody has checked it
        message = f"the decision that came early is none: {error}"
        end_call(turn, key, FAILED, error=_error(call, "InvalidInput", message), signalled=True)
        return
    value, refusal = outcome_of(approval, decode(payload))
    end_call(turn, key, DONE if refusal is None else FAILED, value, refusal, signalled=True)


def expire(turn: Turn, key: int) -> None:
    """A wait, an approval or a sub-workflow took too long."""
    run = turn.run
    call = call_at(run, turn.plan, key)
    if call.kind == CALL_APPROVAL:
        _expire_approval(turn, key, call)
        return
    if call.kind == CALL_WORKFLOW:
        child = run.children[key]
        turn.mail.append((child, ChildControl(child, "cancel")))
        fail(turn, key, "TimedOut", f"{call.name} took longer than {call.timeout_ms} ms", TIMED_OUT)
        return
    fail(turn, key, "TimedOut", f"no signal {call.name!r} came in time", TIMED_OUT)


def _expire_approval(turn: Turn, key: int, call: Called) -> None:
    body = decode_approval(call.options)
    if body.on_timeout == "fail":
        fail(turn, key, "TimedOut", f"nobody decided {call.name!r} in time", TIMED_OUT)
        return
    said = {"approved": body.on_timeout == "approve", "by": "timeout"}
    value, refusal = outcome_of(approval_of(call), said)
    end_call(turn, key, DONE if refusal is None else FAILED, value, refusal)


def check_asked(run: RunState, plan: Plan, name: str, payload: Raw) -> None:
    """InvalidInput when a signal is for an open approval of the function, but is no decision."""
    for key in run.approvals:
        if run.waits[key] == name:
            check_decision(approval_of(call_at(run, plan, key)), plan.definition, payload)


def approval_of(call: Called) -> Approval:
    """An open approval in the form that graphs have it."""
    body = decode_approval(call.options)
    form = None if body.form == NULL else _decode_form(body.form)
    on_reject = "continue" if body.on_reject == "continue" else "fail"
    return Approval(id=call.name, approval=call.name, form=form, on_reject=on_reject)  # type: ignore[arg-type]


def _error(call: Called, kind: str, message: str) -> ErrorInfo:
    return ErrorInfo(kind, message, call.name, types=(kind,))


# ---- tasks ----------------------------------------------------------------------------------------------------------


def task_ended(
    turn: Turn, key: int, attempt: int, done: bool, value: Raw, error: ErrorInfo | None, previous: Raw, at_ms: int = 0
) -> None:
    """An attempt of a task that the function called has ended. ``at_ms``: when it was done; 0: now."""
    if done:
        end_call(turn, key, DONE, value, attempt=attempt, at_ms=at_ms)
        return
    run = turn.run
    call = call_at(run, turn.plan, key)
    failures = run.failures.get(key, 0) + 1
    found = structs.replace(error or ErrorInfo("Error", "failed without an error"), node=call.name, attempts=failures)
    delay_ms = retry_delay_ms(decode_task(call.options).retry, failures, found, turn.random)
    if delay_ms is None:
        end_call(turn, key, FAILED, NULL, found, attempt=attempt)
        return
    due_ms = turn.now_ms + delay_ms
    turn.emit(TaskFailed(0, key // turn.plan.stride, attempt, found, due_ms, previous))
    turn.arm(due_ms, key * 2 + WAKE)


def task_lost(turn: Turn, key: int, attempt: int, *, spent: bool, previous: Raw) -> None:
    """An attempt of a called task was lost with its worker."""
    run = turn.run
    call = call_at(run, turn.plan, key)
    losses = run.losses.get(key, 0) + 1
    error = None
    if spent and not decode_task(call.options).redeliver:
        message = f"the worker was lost while it ran {call.name}, which must not be given out again"
        error = ErrorInfo("WorkerLost", message, call.name, losses, types=("WorkerLost",), fatal=True)
    elif spent and losses > LOSSES_MAX:
        message = f"{call.name} was lost with its worker {losses} times: it probably kills the process that runs it"
        error = ErrorInfo("PoisonTask", message, call.name, losses, types=("PoisonTask",), fatal=True)
    if error is not None:
        end_call(turn, key, FAILED, NULL, error, attempt=attempt)
        return
    turn.emit(TaskReopened(0, key // turn.plan.stride, attempt + 1, spent, previous))
    turn.ready.append(key)


def child_over(turn: Turn, key: int, child: str, status: str, output: Raw, error: ErrorInfo | None) -> None:
    """An awaited sub-workflow has ended."""
    if status == COMPLETED:
        end_call(turn, key, DONE, output)
        return
    call = call_at(turn.run, turn.plan, key)
    found = error or ErrorInfo("RunFailed", f"sub-workflow {child} ended as {status}", types=("RunFailed",))
    end_call(turn, key, FAILED, NULL, structs.replace(found, node=call.name))


# ---- handlers of the node, see `core.nodes` -------------------------------------------------------------------------


def take_signal(turn: Turn, act: int, node: PlanNode) -> None:
    """A signal that a call waits for is there."""
    take(turn, act * turn.plan.stride + node.index)


def end_sleep(turn: Turn, act: int, node: PlanNode) -> None:
    """A call's time has come."""
    end_call(turn, act * turn.plan.stride + node.index, DONE)
