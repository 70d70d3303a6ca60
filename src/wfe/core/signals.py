"""Signals: messages from outside to one run (rule R11). Part of `decide`.

They meet what waits by name and correlation: a wait, an approval, or a map that grows. A persistent one that comes
early is buffered; a transient one that nobody waits for is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from wfe.core.advance import advance
from wfe.core.decisions import check_decision
from wfe.core.durable.calls import check_asked
from wfe.core.nets.boundaries import hear
from wfe.core.nodes import TAKE
from wfe.core.nodes.maps import check_growth
from wfe.core.places import may_take
from wfe.core.plan import Plan
from wfe.core.schemas import compile_schema
from wfe.core.turn import Turn
from wfe.core.values import decode
from wfe.errors import Busy, InvalidInput, RunClosed
from wfe.limits import BLOB_BYTES_MIN, COMMANDS_DEFERRED_MAX, SIGNALS_BUFFERED_BYTES_MAX, SIGNALS_BUFFERED_MAX
from wfe.model.blob import size_of
from wfe.model.definition import Approval, Map, WaitSignal
from wfe.model.event import CommandApplied, SignalArrived
from wfe.model.event_kinds import SignalLost, SignalsDropped
from wfe.model.state import ENDED, PAUSED, RunState, channel_name, channel_of
from wfe.model.tables import NOTHING


def signal(turn: Turn, name: str, payload: Raw, event_id: str, correlation: str = "") -> None:
    """A message from outside: taken by the first node that waits for it, else buffered. Repetitions change nothing."""
    run, plan = turn.run, turn.plan
    if any(known == event_id for known, _ in run.commands):
        return
    if run.status in ENDED:
        raise RunClosed(f"run {run.id} has ended as {run.status}: it takes no more signals")
    _check(plan, name, payload)
    if run.durable is not None:
        check_asked(run, plan, name, payload)
    if run.status != PAUSED and _transient(plan, name) and channel_of(name, correlation) not in run.waits.values():
        turn.emit(CommandApplied(event_id))
        turn.emit(SignalLost(name, event_id, correlation))
        return
    count = sum(len(waiting) for waiting in run.signals.values())
    if count >= SIGNALS_BUFFERED_MAX or len(run.deferred) >= COMMANDS_DEFERRED_MAX:
        raise Busy(f"run {run.id} has {SIGNALS_BUFFERED_MAX} signals that nothing has taken yet", retry_after_s=1.0)
    if count and _buffered_bytes(run, count) + len(payload) > SIGNALS_BUFFERED_BYTES_MAX:
        message = f"run {run.id} has signals of {SIGNALS_BUFFERED_BYTES_MAX} bytes that nothing has taken yet"
        raise Busy(message, retry_after_s=1.0)
    at_once = run.status != PAUSED or may_take(run, plan)
    turn.emit(CommandApplied(event_id))
    turn.emit(SignalArrived(name, payload, event_id, correlation))
    if run.status != PAUSED:
        hand_over(turn)
        advance(turn)
    elif run.durable is None and at_once:  # what else comes in the pause comes after it
        _to_waits(turn, NOTHING)


def _buffered_bytes(run: RunState, count: int) -> int:
    """At least what the buffered signals take. Without blobs few can't be much: they are not looked at."""
    blobs = run.blobs
    if not blobs and count * BLOB_BYTES_MIN < SIGNALS_BUFFERED_BYTES_MAX // 2:
        return 0
    return sum(size_of(payload, blobs) for channel in run.signals.values() for _, payload in channel)


def hand_over(turn: Turn, later: Mapping[str, int] = NOTHING) -> None:
    """Give buffered signals to the nodes that wait for them, oldest first.

    ``later``: so many of a channel came only after that, in a pause (`pauses.take_effect`).
    """
    _to_waits(turn, later)
    if turn.run.nets and turn.run.signals:
        hear(turn, later)


def _to_waits(turn: Turn, later: Mapping[str, int]) -> None:
    run, plan = turn.run, turn.plan
    for key, channel in list(run.waits.items()):
        while channel in run.signals and key in run.waits and len(run.signals[channel]) > later.get(channel, 0):
            act, index = divmod(key, plan.stride)
            TAKE[plan.nodes[index].op](turn, act, plan.nodes[index])


def drop_transient(turn: Turn) -> None:
    """After a pause: transient signals that came meanwhile and found nobody are lost."""
    for channel in list(turn.run.signals):
        if _transient(turn.plan, channel_name(channel)):
            turn.emit(SignalsDropped(channel))


def _transient(plan: Plan, name: str) -> bool:
    """Whether signals of this name are not kept: only transient waits name it."""
    found = False
    for node in plan.nodes:
        wait = node.node
        if isinstance(wait, WaitSignal) and wait.signal == name:
            if not wait.transient:
                return False
            found = True
        elif (
            (isinstance(wait, Approval) and wait.approval == name)
            or (isinstance(wait, Map) and wait.grow == name)
            or any(boundary.signal == name for boundary in wait.boundary)
        ):
            return False
    return found


def _check(plan: Plan, name: str, payload: Raw) -> None:
    """InvalidInput when the payload is none that those who wait for this name could take."""
    for node in plan.nodes:
        wait = node.node
        if isinstance(wait, WaitSignal) and wait.signal == name and wait.schema is not None:
            found = compile_schema(wait.schema, plan.definition.types).check(decode(payload))
            if found is not None:
                raise InvalidInput(f"signal {name!r}: {found[1]}", found[0])
        elif isinstance(wait, Approval) and wait.approval == name:
            check_decision(wait, plan.definition, payload)
        elif isinstance(wait, Map) and wait.grow == name:
            check_growth(wait, payload)
