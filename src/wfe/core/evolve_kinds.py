"""How events of loops, races, states, approvals, locks and growing maps are booked. Part of `evolve`, whose rules hold.

Compensation has a module of its own, `evolve_compensation`.
"""

from __future__ import annotations

from msgspec import Raw

from wfe.core.groups import map_value
from wfe.core.places import (
    Enabled,
    Evolve,
    complete,
    disarm,
    enter,
    fail,
    keep,
    keep_items,
    new_frame,
    new_loop,
    withdraw,
)
from wfe.core.plan import Plan
from wfe.core.values import encode
from wfe.model import event_kinds as ev
from wfe.model.definition import Map, Race
from wfe.model.state import DEADLINE, NULL, WAKE, Asked, RunState, channel_of
from wfe.model.tables import put

# ---- loops ----------------------------------------------------------------------------------------------------------


def _loop_opened(run: RunState, plan: Plan, event: ev.LoopOpened, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.loops = put(run.loops, key, new_loop(run, event.items))
    enabled.append(~key)


def _iteration_opened(run: RunState, plan: Plan, event: ev.IterationOpened, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.timers.pop(key * 2 + WAKE, None)
    loop = run.loops[key]
    body = plan.nodes[event.node].body
    frame = new_frame(plan, body, event.act, key, loop.iteration)
    loop.iteration += 1
    loop.act = event.inner
    run.next_act = event.inner + 1
    run.frames[event.inner] = frame
    enter(run, plan, event.inner, plan.stride - 1, plan.scopes[body].arm, enabled)


def _iteration_done(run: RunState, plan: Plan, event: ev.IterationDone, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    loop = run.loops[key]
    del run.frames[loop.act]
    loop.act = -1
    enabled.append(~key)


def _loop_done(run: RunState, plan: Plan, event: ev.LoopDone, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    node = plan.nodes[event.node]
    disarm(run, key)
    if run.loops[key].act >= 0:
        withdraw(run, plan, event.act, event.node, node.stop)
    run.loops.pop(key, None)
    complete(run, plan, event.act, event.node, NULL, enabled)


def _loop_rested(run: RunState, plan: Plan, event: ev.LoopRested, enabled: Enabled) -> None:
    run.timers = put(run.timers, (event.act * plan.stride + event.node) * 2 + WAKE, event.due_ms)


# ---- races and states -----------------------------------------------------------------------------------------------


def _race_opened(run: RunState, plan: Plan, event: ev.RaceOpened, enabled: Enabled) -> None:
    run.frames[event.act].pending[event.node] = 1
    base = event.act * plan.stride
    enabled.extend(base + node for node in event.contenders)


def _race_won(run: RunState, plan: Plan, event: ev.RaceWon, enabled: Enabled) -> None:
    """What was enabled in the losers stays in the list: `advance` sees that their blocks are gone."""
    race, winner = plan.nodes[event.node], plan.nodes[event.winner]
    withdraw(run, plan, event.act, event.node + 1, race.stop)
    frame = run.frames[event.act]
    frame.pending.pop(event.node, None)
    inside = [node for node in frame.values if event.node < node < race.stop]
    for node in inside:
        if not winner.index <= node < winner.stop:
            del frame.values[node]
    assert isinstance(race.node, Race)
    complete(run, plan, event.act, event.node, Raw(encode({"winner": winner.id})), enabled)


def _state_assigned(run: RunState, plan: Plan, event: ev.StateAssigned, enabled: Enabled) -> None:
    run.frames[event.target_act].values[event.target] = keep(run, event.value)
    complete(run, plan, event.act, event.node, NULL, enabled)


def _event_emitted(run: RunState, plan: Plan, event: ev.EventEmitted, enabled: Enabled) -> None:
    complete(run, plan, event.act, event.node, NULL, enabled)


# ---- approvals ------------------------------------------------------------------------------------------------------


def _approval_asked(run: RunState, plan: Plan, event: ev.ApprovalAsked, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.waits = put(run.waits, key, plan.nodes[event.node].node.approval)  # type: ignore[union-attr]
    run.approvals = put(run.approvals, key, Asked(event.to.copy()))
    if event.due_ms:
        run.timers = put(run.timers, key * 2 + DEADLINE, event.due_ms)
    if event.escalate_ms:
        run.timers = put(run.timers, key * 2 + WAKE, event.escalate_ms)


def _approval_escalated(run: RunState, plan: Plan, event: ev.ApprovalEscalated, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.approvals = put(run.approvals, key, Asked(event.to.copy(), event.level))
    run.timers.pop(key * 2 + WAKE, None)
    if event.escalate_ms:
        run.timers = put(run.timers, key * 2 + WAKE, event.escalate_ms)


def _approval_decided(run: RunState, plan: Plan, event: ev.ApprovalDecided, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    if event.taken:
        take(run, plan.nodes[event.node].node.approval)  # type: ignore[union-attr]
    disarm(run, key)
    run.waits.pop(key, None)
    run.approvals.pop(key, None)
    if event.error is not None:
        fail(run, key, event.error, enabled)
        return
    complete(run, plan, event.act, event.node, event.value, enabled)


# ---- signals --------------------------------------------------------------------------------------------------------


def take(run: RunState, channel: str) -> Raw:
    """Remove the oldest buffered signal of a channel; its payload."""
    waiting = run.signals[channel]
    _, payload = waiting.pop(0)
    if not waiting:
        del run.signals[channel]
    return payload


def _signal_lost(run: RunState, plan: Plan, event: ev.SignalLost, enabled: Enabled) -> None:
    """Nothing changes: it is kept in the history alone."""


def _signals_dropped(run: RunState, plan: Plan, event: ev.SignalsDropped, enabled: Enabled) -> None:
    run.signals.pop(event.channel, None)


# ---- locks ----------------------------------------------------------------------------------------------------------


def _lock_asked(run: RunState, plan: Plan, event: ev.LockAsked, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.locks = put(run.locks, key, False)
    if event.shared:
        run.shared_locks = put(run.shared_locks, key, event.shared)


def _lock_granted(run: RunState, plan: Plan, event: ev.LockGranted, enabled: Enabled) -> None:
    run.locks = put(run.locks, event.act * plan.stride + event.node, True)
    arm = plan.nodes[event.node].arms[0]
    run.frames[event.act].pending[event.node] = arm.pending
    enter(run, plan, event.act, event.node, arm, enabled)


# ---- maps that grow or are left early -------------------------------------------------------------------------------


def _map_grown(run: RunState, plan: Plan, event: ev.MapGrown, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    definition = plan.nodes[event.node].node
    assert isinstance(definition, Map)
    payload = take(run, channel_of(definition.grow or "", ""))
    group = run.groups[key]
    if event.closed:
        group.closed = True
        run.waits.pop(key, None)
    else:
        group.items.extend(keep_items(run, payload))
    enabled.append(~key)


def _map_left(run: RunState, plan: Plan, event: ev.MapLeft, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    node = plan.nodes[event.node]
    definition = node.node
    assert isinstance(definition, Map)
    group = run.groups[key]
    value = map_value(definition, group, run.blobs)
    if definition.rest == "cancel":
        withdraw(run, plan, event.act, event.node, node.stop)
    else:
        group.left = group.closed = True
        run.waits.pop(key, None)
        group.results = dict.fromkeys(group.results, NULL)
        group.collected.clear()
    complete(run, plan, event.act, event.node, value, enabled)


def _map_emptied(run: RunState, plan: Plan, event: ev.MapEmptied, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    run.groups.pop(key)
    run.waits.pop(key, None)
    enabled.append(~(event.act * plan.stride + plan.stride - 1))


EVOLVE: dict[type, Evolve] = {
    ev.LoopOpened: _loop_opened,
    ev.IterationOpened: _iteration_opened,
    ev.IterationDone: _iteration_done,
    ev.LoopDone: _loop_done,
    ev.LoopRested: _loop_rested,
    ev.RaceOpened: _race_opened,
    ev.RaceWon: _race_won,
    ev.StateAssigned: _state_assigned,
    ev.EventEmitted: _event_emitted,
    ev.ApprovalAsked: _approval_asked,
    ev.ApprovalEscalated: _approval_escalated,
    ev.ApprovalDecided: _approval_decided,
    ev.SignalLost: _signal_lost,
    ev.SignalsDropped: _signals_dropped,
    ev.LockAsked: _lock_asked,
    ev.LockGranted: _lock_granted,
    ev.MapGrown: _map_grown,
    ev.MapLeft: _map_left,
    ev.MapEmptied: _map_emptied,
}
