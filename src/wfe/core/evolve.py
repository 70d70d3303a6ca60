"""Evolve: books an event in the state. Never evaluates an expression, never fails on a good event, never looks at a
clock.

Each function takes (run, plan, event, enabled) and appends to ``enabled`` what the event made possible: a place ``key``
to open, or ``~key`` for a block, map or frame that may close. Decide goes on from there; a replay throws the list
away, for the events that followed are in the log as well. While a run is paused the list is the state's own
(``run.held``).
"""

from __future__ import annotations

from collections.abc import Iterable

from wfe.core.durable.booking import EVOLVE as DURABLE_EVOLVE
from wfe.core.durable.booking import new_state
from wfe.core.evolve_compensation import EVOLVE as COMPENSATION_EVOLVE
from wfe.core.evolve_kinds import EVOLVE as KIND_EVOLVE
from wfe.core.evolve_kinds import take
from wfe.core.evolve_rounds import EVOLVE as ROUND_EVOLVE
from wfe.core.groups import map_value, total_of
from wfe.core.nets.marking import EVOLVE as NET_EVOLVE
from wfe.core.places import (
    Enabled,
    Evolve,
    clear_open,
    collect,
    complete,
    disarm,
    drop_enabled,
    enter,
    fail,
    forget,
    keep,
    may_move,
    may_take,
    new_frame,
    new_group,
    put_result,
    withdraw,
)
from wfe.core.plan import Plan
from wfe.core.values import caught_value
from wfe.errors import DataCorrupt
from wfe.limits import COMMANDS_REMEMBERED_MAX
from wfe.model import event as ev
from wfe.model.state import (
    DEADLINE,
    HELD_SIGNAL,
    HELD_TIMER,
    NULL,
    PAUSED,
    RUN_DEADLINE,
    RUNNING,
    WAKE,
    RunState,
    channel_of,
)
from wfe.model.tables import NO_ITEMS, NOTHING, add, put

_INCIDENTS = frozenset({"stuck", "LoopLimit"})
"""Types of errors that say that the workflow itself is wrong: somebody has to look at it."""


def new_run(event: ev.RunStarted, plan: Plan) -> RunState:
    """The state after the first event."""
    seq = 1
    run = RunState(  # by position, which takes half as long as by name
        event.run_id, event.workflow, event.version, event.definition, NULL, event.time_ms, event.namespace, event.key,
        event.priority, event.tags or NOTHING, event.principal, event.parent, event.parent_node, event.parent_act,
        event.depth, seq,
    )  # fmt: skip
    run.trace = event.trace
    run.input = keep(run, event.input)
    run.frames[0] = new_frame(plan, 0, -1, -1, 0)
    enter(run, plan, 0, plan.stride - 1, plan.scopes[0].arm, [])
    if event.due_ms:
        run.timers = put(run.timers, RUN_DEADLINE, event.due_ms)
    if plan.durable:
        run.durable = new_state(event.time_ms)
    return run


def book(run: RunState, plan: Plan, event: ev.RunEvent, enabled: Enabled) -> None:
    """Book one event. What it enables is for the caller to follow up, or is held while the run is paused."""
    run.seq += 1
    if run.status == PAUSED:
        if run.held is NO_ITEMS:
            run.held = []
        enabled = run.held
    EVOLVE[type(event)](run, plan, event, enabled)


def replay(run: RunState | None, plan: Plan, events: Iterable[ev.RunEvent]) -> RunState:
    """The state after further events."""
    scratch: Enabled = []
    for event in events:
        if type(event) is ev.RunStarted:
            run = new_run(event, plan)
            continue
        if run is None:
            raise DataCorrupt("the history of a run does not begin with its start")
        book(run, plan, event, scratch)
    assert run is not None, "replay of no events"
    return run


# ---- events ---------------------------------------------------------------------------------------------------------


def _tasks_opened(run: RunState, plan: Plan, event: ev.TasksOpened, enabled: Enabled) -> None:
    base = event.act * plan.stride
    for node in event.nodes:
        run.open[base + node] = 1


def _task_opened_with(run: RunState, plan: Plan, event: ev.TaskOpenedWith, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.open[key] = 1
    run.inputs = put(run.inputs, key, keep(run, event.input))


def _task_done(run: RunState, plan: Plan, event: ev.TaskDone, enabled: Enabled) -> None:
    act, node = event.act, event.node
    key = act * plan.stride + node
    del run.open[key]
    if run.inputs or run.failures or run.losses or run.previous or run.handed_out:
        forget(run, key)
    complete(run, plan, act, node, event.value, enabled)


def _task_failed(run: RunState, plan: Plan, event: ev.TaskFailed, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    del run.open[key]
    if event.retry_ms:
        run.failures = put(run.failures, key, run.failures.get(key, 0) + 1)
        run.retrying = put(run.retrying, key, event.attempt + 1)
        run.timers = put(run.timers, key * 2 + WAKE, event.retry_ms)
        if event.previous != NULL:
            run.previous = put(run.previous, key, event.previous.copy())
        return
    forget(run, key)
    fail(run, key, event.error, enabled)


def _task_reopened(run: RunState, plan: Plan, event: ev.TaskReopened, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    if event.lost:
        run.losses = put(run.losses, key, run.losses.get(key, 0) + 1)
        if event.previous != NULL:
            run.previous = put(run.previous, key, event.previous.copy())
    else:
        run.retrying.pop(key, None)
        run.timers.pop(key * 2 + WAKE, None)
    run.open[key] = event.attempt


def _node_done(run: RunState, plan: Plan, event: ev.NodeDone, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    disarm(run, key)
    run.waits.pop(key, None)
    run.children.pop(key, None)
    run.locks.pop(key, None)
    run.shared_locks.pop(key, None)
    frame = run.frames.get(event.act)
    if frame is not None:
        frame.pending.pop(event.node, None)
    complete(run, plan, event.act, event.node, event.value, enabled)


def _node_bypassed(run: RunState, plan: Plan, event: ev.NodeBypassed, enabled: Enabled) -> None:
    complete(run, plan, event.act, event.node, NULL, enabled)


def _block_opened(run: RunState, plan: Plan, event: ev.BlockOpened, enabled: Enabled) -> None:
    if event.arm < 0:
        complete(run, plan, event.act, event.node, NULL, enabled)
        return
    arm = plan.nodes[event.node].arms[event.arm]
    run.frames[event.act].pending[event.node] = arm.pending
    enter(run, plan, event.act, event.node, arm, enabled)


def _sleep_opened(run: RunState, plan: Plan, event: ev.SleepOpened, enabled: Enabled) -> None:
    run.timers = put(run.timers, (event.act * plan.stride + event.node) * 2 + WAKE, event.due_ms)


def _signal_awaited(run: RunState, plan: Plan, event: ev.SignalAwaited, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    node = plan.nodes[event.node].node
    run.waits = put(run.waits, key, channel_of(node.signal, event.correlation))  # type: ignore[union-attr]
    if event.due_ms:
        run.timers = put(run.timers, key * 2 + DEADLINE, event.due_ms)


def _signal_arrived(run: RunState, plan: Plan, event: ev.SignalArrived, enabled: Enabled) -> None:
    channel = channel_of(event.name, event.correlation)
    signal = (event.event_id, keep(run, event.payload))
    if channel in run.signals:
        run.signals[channel].append(signal)
    else:
        run.signals = put(run.signals, channel, [signal])
    if run.status == PAUSED and run.durable is None and (run.nets or not may_take(run, plan)):
        run.heard = add(run.heard, channel)
        enabled.append(HELD_SIGNAL)


def _signal_taken(run: RunState, plan: Plan, event: ev.SignalTaken, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    name = plan.nodes[event.node].node.signal  # type: ignore[union-attr]
    payload = take(run, channel_of(name, event.correlation))
    run.waits.pop(key, None)
    run.timers.pop(key * 2 + DEADLINE, None)
    complete(run, plan, event.act, event.node, payload, enabled)


def _map_opened(run: RunState, plan: Plan, event: ev.MapOpened, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    node = plan.nodes[event.node].node
    group = new_group(run, event)
    run.groups = put(run.groups, key, group)
    run.next_act = event.base + (event.reserved or total_of(group))
    if event.reserved:
        run.waits = put(run.waits, key, channel_of(node.grow or "", ""))  # type: ignore[union-attr]
    enabled.append(~key)


def _items_opened(run: RunState, plan: Plan, event: ev.ItemsOpened, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    group = run.groups[key]
    body = plan.nodes[event.node].body
    scope = plan.scopes[body]
    for index in range(group.next, event.upto):
        act = group.base + index
        if scope.framed:
            run.frames[act] = new_frame(plan, body, event.act, key, index)
            enter(run, plan, act, plan.stride - 1, scope.arm, enabled)
            continue
        if event.act:
            run.homes = put(run.homes, act, key)
        task = act * plan.stride + scope.start
        if plan.nodes[scope.start].input.template is None:
            run.open[task] = 1
        else:
            enabled.append(task)
    group.next = event.upto


def _item_done(run: RunState, plan: Plan, event: ev.ItemDone, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    group = run.groups[key]
    run.frames.pop(group.base + event.index, None)
    put_result(run, group, event.index, event.value)
    if may_move(plan.nodes[event.node], group):
        enabled.append(~key)


def _item_failed(run: RunState, plan: Plan, event: ev.ItemFailed, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    group = run.groups[key]
    act = group.base + event.index
    scope = plan.scopes[plan.nodes[event.node].body]
    withdraw(run, plan, act, scope.start, plan.stride)
    run.frames.pop(act, None)
    run.homes.pop(act, None)
    drop_enabled(plan, enabled, act, scope.start, plan.stride)
    group.errors[event.index] = event.error
    if group.count:
        collect(run, group, event.index)
    enabled.append(~key)


def _map_done(run: RunState, plan: Plan, event: ev.MapDone, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    group = run.groups.pop(key)
    run.waits.pop(key, None)
    complete(run, plan, event.act, event.node, map_value(plan.nodes[event.node].node, group, run.blobs), enabled)  # type: ignore[arg-type]


def _child_opened(run: RunState, plan: Plan, event: ev.ChildOpened, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.children = put(run.children, key, event.child)
    if event.due_ms:
        run.timers = put(run.timers, key * 2 + DEADLINE, event.due_ms)


def _fault_raised(run: RunState, plan: Plan, event: ev.FaultRaised, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    disarm(run, key)
    run.waits.pop(key, None)
    run.approvals.pop(key, None)
    run.children.pop(key, None)
    fail(run, key, event.error, enabled)


def _fault_caught(run: RunState, plan: Plan, event: ev.FaultCaught, enabled: Enabled) -> None:
    place = plan.nodes[event.node]
    withdraw(run, plan, event.act, event.node, place.stop)
    drop_enabled(plan, enabled, event.act, event.node, place.stop)
    run.frames[event.act].pending.pop(event.node, None)
    complete(run, plan, event.act, event.node, caught_value(event.error), enabled)


def _run_ended(run: RunState, plan: Plan, event: ev.RunEnded, enabled: Enabled) -> None:
    run.status = event.status
    run.ended_ms = event.time_ms
    run.output = keep(run, event.output)
    run.error = event.error
    if event.error is not None and event.error.type in _INCIDENTS:
        run.incident = event.error.message
    enabled.clear()
    clear_open(run)
    run.signals.clear()
    run.deferred.clear()
    run.compensations.clear()
    run.compensating = None


def _run_paused(run: RunState, plan: Plan, event: ev.RunPaused, enabled: Enabled) -> None:
    run.status = PAUSED


def _run_resumed(run: RunState, plan: Plan, event: ev.RunResumed, enabled: Enabled) -> None:
    run.status = RUNNING
    run.incident = ""
    run.held.clear()
    run.heard.clear()
    run.deferred.clear()
    for timer in run.expired:
        run.timers = put(run.timers, timer, event.time_ms)
    run.expired.clear()


def _run_quarantined(run: RunState, plan: Plan, event: ev.RunQuarantined, enabled: Enabled) -> None:
    run.status = PAUSED
    run.incident = event.message


def _command_deferred(run: RunState, plan: Plan, event: ev.CommandDeferred, enabled: Enabled) -> None:
    run.deferred = add(run.deferred, event.command.copy())


def _task_handed_out(run: RunState, plan: Plan, event: ev.TaskHandedOut, enabled: Enabled) -> None:
    run.handed_out = put(run.handed_out, event.act * plan.stride + event.node, event.attempt)


def _command_applied(run: RunState, plan: Plan, event: ev.CommandApplied, enabled: Enabled) -> None:
    run.commands = add(run.commands, (event.command_id, event.code))
    del run.commands[:-COMMANDS_REMEMBERED_MAX]


def _timer_expired(run: RunState, plan: Plan, event: ev.TimerExpired, enabled: Enabled) -> None:
    run.timers.pop(event.timer, None)
    run.expired = add(run.expired, event.timer)
    if run.durable is None:
        enabled.append(HELD_TIMER - event.timer)


EVOLVE: dict[type, Evolve] = {
    ev.TaskDone: _task_done,
    ev.TasksOpened: _tasks_opened,
    ev.TaskOpenedWith: _task_opened_with,
    ev.TaskFailed: _task_failed,
    ev.TaskReopened: _task_reopened,
    ev.NodeDone: _node_done,
    ev.NodeBypassed: _node_bypassed,
    ev.BlockOpened: _block_opened,
    ev.SleepOpened: _sleep_opened,
    ev.SignalAwaited: _signal_awaited,
    ev.SignalArrived: _signal_arrived,
    ev.SignalTaken: _signal_taken,
    ev.MapOpened: _map_opened,
    ev.ItemsOpened: _items_opened,
    ev.ItemDone: _item_done,
    ev.ItemFailed: _item_failed,
    ev.MapDone: _map_done,
    ev.ChildOpened: _child_opened,
    ev.FaultRaised: _fault_raised,
    ev.FaultCaught: _fault_caught,
    ev.RunEnded: _run_ended,
    ev.RunPaused: _run_paused,
    ev.RunResumed: _run_resumed,
    ev.RunQuarantined: _run_quarantined,
    ev.CommandDeferred: _command_deferred,
    ev.TaskHandedOut: _task_handed_out,
    ev.CommandApplied: _command_applied,
    ev.TimerExpired: _timer_expired,
    **KIND_EVOLVE,
    **COMPENSATION_EVOLVE,
    **ROUND_EVOLVE,
    **NET_EVOLVE,
    **DURABLE_EVOLVE,
}
"""How each event of a run is booked; `RunStarted` is `new_run`. A test checks that no event is missing."""
