"""Going on after a failure (`retry`), and from a point of another run (`fork`).

Both work on a run's whole history: what was open, and what was just about to open, is found by replaying it. Pure.
Rejections are errors of `wfe.errors` and leave the state untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from wfe.core.advance import advance
from wfe.core.durable import rounds as durable
from wfe.core.evolve import book, new_run
from wfe.core.findings import those_near
from wfe.core.nets.play import wake
from wfe.core.places import drop_enabled, enter, withdraw
from wfe.core.plan import Op, Plan
from wfe.core.signals import hand_over
from wfe.core.turn import Turn
from wfe.core.values import encode_value
from wfe.errors import DataCorrupt, InvalidInput, RunClosed
from wfe.model import event as ev
from wfe.model.blob import expand
from wfe.model.event_kinds import CompensationBegan
from wfe.model.event_nets import BoundaryArmed, BoundaryReached, FiringReleased, FiringsOpened
from wfe.model.event_rounds import RunRestored
from wfe.model.state import ENDED, FAILED, RUN_DEADLINE, RUNNING, Frame, RunState
from wfe.model.tables import put

_encode = msgspec.msgpack.Encoder().encode
_LOCKED = "the run was inside a lock that other runs share, and has lost it: fork from before the lock"
_decode_any = msgspec.msgpack.Decoder().decode


class Point(NamedTuple):
    """A run as of one of its events. ``enabled``: what was about to open or close (see `evolve`). ``opened``: firings
    of nets whose boundary events were about to be watched."""

    run: RunState
    enabled: list[int]
    opened: list[int]


def point_after(plan: Plan, events: Sequence[ev.RunEvent]) -> Point:
    """The run as of the last of these events."""
    run: RunState | None = None
    enabled: list[int] = []
    opened: list[int] = []
    for event in events:
        if type(event) is FiringsOpened:
            opened = list(range(event.base, event.base + len(event.members)))
        elif isinstance(event, RunRestored):
            opened = list(event.opened)
        elif isinstance(event, BoundaryArmed) and event.firing in opened:
            opened.remove(event.firing)
        elif opened and not isinstance(event, (BoundaryArmed, BoundaryReached, FiringReleased)):
            opened = []
        if type(event) is ev.RunStarted:
            run = new_run(event, plan)
            arm = plan.scopes[0].arm
            enabled = list(arm.entry) if arm.pending else [~(plan.stride - 1)]
            continue
        if run is None:
            raise DataCorrupt("the history of a run does not begin with its start")
        _opened(plan, event, enabled)
        if type(event) is ev.RunResumed:
            enabled += run.held  # what became enabled during the pause
        book(run, plan, event, enabled)
    assert run is not None, "a point before the first event"
    return Point(run, enabled, opened)


def _opened(plan: Plan, event: ev.RunEvent, enabled: list[int]) -> None:
    """What an event is about was enabled before, and is no longer."""
    act = getattr(event, "act", None)
    if act is None or not enabled:
        return
    nodes = event.nodes if isinstance(event, ev.TasksOpened) else (getattr(event, "node", -1),)
    places = {act * plan.stride + node for node in nodes}
    enabled[:] = [key for key in enabled if (key if key >= 0 else ~key) not in places]


def retry(turn: Turn, events: Sequence[ev.RunEvent], command_id: str = "") -> None:
    """A failed run goes on from what failed, in a new round. ``events``: its whole history.

    ``command_id`` is booked before what follows from it: nothing comes after an end.
    """
    run, plan = turn.run, turn.plan
    if run.status != FAILED:
        what = f"has ended as {run.status}" if run.status in ENDED else "has not failed"
        raise RunClosed(f"run {run.id} {what}: only a failed run can be retried (fork begins a new one)")
    if run.parent:
        raise RunClosed(f"run {run.id} is a sub-workflow whose failure run {run.parent} has been told: retry that one")
    if _compensated(plan, events):
        raise RunClosed(f"run {run.id} has been compensated: what it did is undone; fork begins a new run")
    if run.durable is not None:
        _retry_function(turn, events, command_id)
        return
    lived = events[: _last_end(events)]
    before = point_after(plan, lived)
    failed = {key for key, _ in before.run.faults}
    point = point_after(plan, _without_faults(plan, lived, failed))
    reopen = _begin_anew(point, plan, failed, turn.now_ms, same_run=True)
    turn.emit(RunRestored(turn.now_ms, run.round + 1, Raw(_encode(point.run)), "", 0, reopen, point.opened))
    _applied(turn, command_id)
    _go_on(turn, point.opened)


def _last_end(events: Sequence[ev.RunEvent]) -> int:
    return max(n for n, event in enumerate(events) if isinstance(event, ev.RunEnded))


def _applied(turn: Turn, command_id: str) -> None:
    if command_id:
        turn.emit(ev.CommandApplied(command_id))


def _retry_function(turn: Turn, events: Sequence[ev.RunEvent], command_id: str) -> None:
    plan = turn.plan
    end = _last_end(events)
    before = point_after(plan, events[:end]).run
    kept, rerun = durable.restart_point(plan, events[: end + 1], before)
    run = point_after(plan, kept).run
    reopen = durable.begin_anew(run, plan, turn.now_ms, durable.last_attempt(events), rerun=rerun)
    turn.emit(RunRestored(turn.now_ms, turn.run.round + 1, Raw(_encode(run))))
    _applied(turn, command_id)
    durable.go_on(turn, reopen)


def fork(turn: Turn, point: Point, origin: str, at: int) -> None:
    """The first turn of a run that begins at a point of another one; its start is recorded already."""
    run = point.run
    if run.durable is not None and not point.enabled:
        run.durable.seed = run.durable.seed or origin
        again = durable.begin_anew(run, turn.plan, turn.now_ms, 0, rerun=True)
        turn.emit(RunRestored(turn.now_ms, 0, Raw(_encode(run)), origin, at))
        durable.go_on(turn, again)
        return
    reopen = _begin_anew(point, turn.plan, set(), turn.now_ms, same_run=False)
    turn.emit(RunRestored(turn.now_ms, 0, Raw(_encode(point.run)), origin, at, reopen, point.opened))
    _go_on(turn, point.opened)


def fork_point(plan: Plan, events: Sequence[ev.RunEvent], *, node: str = "", event: int = 0) -> tuple[Point, int]:
    """Where a fork begins: right before a node first opened, or after an event (numbered from 1); and that number."""
    if node and plan.durable and node not in plan.by_id:
        cut = durable.place_of_call(events, node)
        if not cut:
            raise InvalidInput(
                f"the function never made a call {node!r}; {those_near(durable.names_of_calls(events), node)}", "node"
            )
    elif node:
        index = plan.by_id.get(node)
        if index is None:
            raise InvalidInput(f"the workflow has no node {node!r}; {those_near(plan.by_id, node)}", "node")
        cut = next((n for n, found in enumerate(events) if _opens(found, index)), 0)
        if not cut:
            raise InvalidInput(f"the run never came to node {node!r}", "node")
    else:
        cut = event
    if not 1 <= cut <= len(events):
        raise InvalidInput(f"the run has events 1 to {len(events)}, not {cut}", "event")
    if plan.durable:
        cut = durable.between_turns(events, cut)
    point = point_after(plan, events[:cut])
    if point.run.shared_locks:
        raise RunClosed(_LOCKED)
    if point.run.status in ENDED:
        raise InvalidInput(f"the run has ended by event {cut}: fork from an earlier one, or from a node", "event")
    return point, cut


def set_value(plan: Plan, run: RunState, path: str, value: Any) -> None:
    """Changes a value of a fork before it begins: ``input.amount``, or the value of a node of the root: ``charge.id``.

    InvalidInput when there is nothing of that path.
    """
    head, *keys = path.split(".")
    if head == "input":
        run.input = _changed(expand(run.input, run.blobs), keys, value, path)
        return
    recorded = durable.recorded_value(run, head) if run.durable is not None else None
    if recorded is not None:
        recorded.value = _changed(expand(recorded.value, run.blobs), keys, value, path)
        return
    index = plan.by_id.get(head)
    values = run.frames[0].values if 0 in run.frames else {}
    if index is None or index not in values:
        raise InvalidInput(f"{path!r}: there is no value of a node {head!r} at that point, nor is it the input", "set")
    values[index] = _changed(expand(values[index], run.blobs), keys, value, path)


def _changed(encoded: Raw, keys: list[str], value: Any, path: str) -> Raw:
    root = {"": _decode_any(encoded)}
    holder: Any = root
    last: Any = ""
    for key in keys:
        holder, last = holder[last], int(key) if isinstance(holder[last], list) and key.isdecimal() else key
        fits = isinstance(holder, dict) or (isinstance(holder, list) and isinstance(last, int) and last < len(holder))
        if not fits:
            raise InvalidInput(f"{path!r} leads to nothing that could be set", "set")
    holder[last] = value
    return encode_value(root[""])


# ---- how a state becomes one that can go on -------------------------------------------------------------------------


def _compensated(plan: Plan, events: Sequence[ev.RunEvent]) -> bool:
    """Whether the last round has called what was registered, or began in the middle of that."""
    first = max((n for n, event in enumerate(events) if type(event) is RunRestored), default=0)
    begun = point_after(plan, events[: first + 1]).run.compensating
    return (begun is not None and bool(begun.status)) or any(type(e) is CompensationBegan for e in events[first:])


def _without_faults(plan: Plan, events: Sequence[ev.RunEvent], failed: set[int]) -> list[ev.RunEvent]:
    """The events but for the last one by which each of these places failed."""
    left, kept = set(failed), []
    for event in reversed(events):
        if isinstance(event, (ev.TaskFailed, ev.FaultRaised)):
            key = event.act * plan.stride + event.node
            if key in left:
                left.discard(key)
                continue
        kept.append(event)
    kept.reverse()
    return kept


def _opens(event: ev.RunEvent, index: int) -> bool:
    if isinstance(event, ev.TasksOpened):
        return index in event.nodes
    return getattr(event, "node", -1) == index


def _begin_anew(point: Point, plan: Plan, failed: set[int], now_ms: int, *, same_run: bool) -> list[int]:
    """Makes a state of the past one that can go on; what must open again. Attempts of then count no more."""
    run = point.run
    reopen = list(point.enabled)
    if run.shared_locks:
        raise RunClosed(_LOCKED)
    for key in run.open:
        run.open[key] += 1
        run.failures.pop(key, None)
        run.losses.pop(key, None)
    for key in list(run.children):
        if plan.nodes[key % plan.stride].op is Op.WORKFLOW or not same_run:
            failed = failed | {key}
    for key in sorted(failed - set(run.open)):
        if key not in reopen:
            _reopen(run, plan, key, reopen)
    if same_run:
        run.faults.clear()
    run.handed_out.clear()
    if RUN_DEADLINE in run.timers:
        run.timers = put(run.timers, RUN_DEADLINE, now_ms + plan.timeout_ms)
    for timer in run.expired:
        run.timers = put(run.timers, timer, now_ms)
    run.expired.clear()
    reopen += run.held
    run.held.clear()
    run.heard.clear()
    run.status, run.incident = RUNNING, ""
    return [key for key in reopen if key >= 0 or ~key // plan.stride in run.frames or ~key < plan.stride]


def _reopen(run: RunState, plan: Plan, key: int, reopen: list[int]) -> None:
    """A place that failed opens again, and begins anew: what is still open inside it goes."""
    act, index = divmod(key, plan.stride)
    frame = run.frames.get(act)
    if index == plan.stride - 1:  # a net that is all of its frame
        assert frame is not None, "a net has a frame"
        scope = plan.scopes[frame.scope]
        withdraw(run, plan, act, scope.start, scope.stop)
        drop_enabled(plan, reopen, act, scope.start, scope.stop)
        _forget_round(frame, plan, scope.start, scope.stop)
        run.nets.pop(key, None)
        enter(run, plan, act, index, scope.arm, reopen)
        return
    place = plan.nodes[index]
    withdraw(run, plan, act, index, place.stop)
    drop_enabled(plan, reopen, act, index, place.stop)
    if frame is not None:
        _forget_round(frame, plan, index, place.stop)
        if place.last and frame.pending.get(place.block) == 0:
            frame.pending[place.block] = 1  # it had ended, and what comes of its end failed
    reopen.append(key)


def _forget_round(frame: Frame, plan: Plan, first: int, stop: int) -> None:
    """Nodes that begin anew in the same frame have no values yet; those inside wait for their predecessors again."""
    scope = plan.scopes[frame.scope]
    for node in range(first, stop):
        frame.values.pop(node, None)
    inside = slice(first + 1 - scope.start, stop - scope.start)
    frame.remaining[inside] = scope.remaining[inside]


def _go_on(turn: Turn, opened: list[int]) -> None:
    """The point may lie in the middle of a turn: what the rest of that turn brought about follows here as well."""
    run, stride = turn.run, turn.plan.stride
    for timer, due_ms in run.timers.items():
        turn.arm(due_ms, timer)
    turn.ready.extend(run.open)
    turn.enabled.extend(~key for key in (*run.groups, *run.loops))
    for act, frame in run.frames.items():
        turn.enabled.extend(~(act * stride + index) for index, left in frame.pending.items() if left == 0)
    wake(turn, opened)
    advance(turn)
    if run.signals and run.status not in ENDED:
        hand_over(turn)
        advance(turn)
