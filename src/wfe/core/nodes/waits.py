"""Sleep and signals: nodes that wait for time or for the outside."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from wfe.core.expressions import times
from wfe.core.faults import raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import evaluate, evaluate_raw
from wfe.errors import ExpressionError
from wfe.limits import DURATION_MAX_MS, KEY_CHARS_MAX, MOMENT_MAX_MS
from wfe.model.definition import Sleep, WaitSignal
from wfe.model.durations import parse_duration
from wfe.model.event import NodeDone, SignalAwaited, SignalTaken, SleepOpened
from wfe.model.state import DEADLINE, WAKE, channel_of


def open_sleep(turn: Turn, act: int, node: PlanNode) -> None:
    """Record when it is over; relative delays count from now."""
    assert isinstance(node.node, Sleep)
    try:
        due_ms = _due(turn, act, node, node.node)
    except (ExpressionError, ValueError) as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(SleepOpened(node.index, act, due_ms))
    turn.arm(due_ms, (act * turn.plan.stride + node.index) * 2 + WAKE)


def _due(turn: Turn, act: int, node: PlanNode, sleep: Sleep) -> int:
    if node.expression is None:
        return turn.now_ms + (sleep.duration_ms or 0)
    value = evaluate(turn.run, turn.plan, node.scope, act, node.expression, turn.now_ms)
    if sleep.until is not None:
        return _moment_ms(value)
    delay_ms = _text_ms(value) if isinstance(value, str) else _seconds_ms(value)
    if not 0 <= delay_ms <= DURATION_MAX_MS:
        raise ExpressionError(f"a delay of {value} is out of range", text=node.expression.text)
    return turn.now_ms + delay_ms


def _text_ms(text: str) -> int:
    """``"2d"``, or what a timedelta is in JSON: ``"P2D"``. A part of a millisecond counts as a whole one."""
    if text.lstrip("+-")[:1] in ("P", "p"):
        return -(times.parse_duration(text) // timedelta(milliseconds=-1))
    return parse_duration(text)


def _seconds_ms(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ExpressionError(f'a delay is text such as "2d" or a number of seconds, not {value!r}')
    if not 0 <= value * 1000 <= DURATION_MAX_MS:  # infinity and NaN are no delays, either
        raise ExpressionError(f"a delay of {value} s is out of range")
    return round(value * 1000)


def _moment_ms(value: Any) -> int:
    """A point in time: RFC 3339 text, or ms since 1970."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ExpressionError(f"{value} has no time zone")
        return round(moment.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ExpressionError(f"a point in time is RFC 3339 text or ms since 1970, not {value!r}")
    if not -MOMENT_MAX_MS <= value <= MOMENT_MAX_MS:  # a later one could not be written down; nor could NaN
        raise ExpressionError(f"{value} ms since 1970 is no point in time before the year 10000")
    return round(value)


def open_signal(turn: Turn, act: int, node: PlanNode) -> None:
    """Take a signal that came early, else wait; a timeout of zero only polls. A transient wait takes no early one."""
    wait = node.node
    assert isinstance(wait, WaitSignal)
    correlation = ""
    if "correlate" in node.parts:
        try:
            correlation = _correlation(turn, act, node)
        except ExpressionError as error:
            raise_fault(turn, act, node, "expression", str(error))
            return
    if channel_of(wait.signal, correlation) in turn.run.signals and not wait.transient:
        turn.emit(SignalTaken(node.index, act, correlation))
        return
    due_ms = 0 if wait.timeout_ms is None else max(turn.now_ms + wait.timeout_ms, 1)
    turn.emit(SignalAwaited(node.index, act, due_ms, correlation))
    if wait.timeout_ms == 0:
        expire_wait(turn, act, node)
    elif due_ms:
        turn.arm(due_ms, (act * turn.plan.stride + node.index) * 2 + DEADLINE)


def _correlation(turn: Turn, act: int, node: PlanNode) -> str:
    """Numbers are text here, too: an order's id may be either. Null: no correlation."""
    value = evaluate(turn.run, turn.plan, node.scope, act, node.parts["correlate"], turn.now_ms)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or len(str(value)) > KEY_CHARS_MAX:
        raise ExpressionError(f"a correlation is text of at most {KEY_CHARS_MAX} characters, not {value!r:.100}")
    return str(value)


def take_signal(turn: Turn, act: int, node: PlanNode) -> None:
    """The node takes the oldest signal it waits for (its payload was checked before it was buffered)."""
    _, _, correlation = turn.run.waits[act * turn.plan.stride + node.index].partition("\x1f")
    turn.emit(SignalTaken(node.index, act, correlation))


def expire_wait(turn: Turn, act: int, node: PlanNode) -> None:
    """Late: the default if there is one, else a fault of type TimedOut."""
    if node.template is None:
        name = getattr(node.node, "signal", node.id)
        raise_fault(turn, act, node, "TimedOut", f"no signal {name!r} came in time")
        return
    try:
        value = evaluate_raw(turn.run, turn.plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(NodeDone(node.index, act, value))


def end_sleep(turn: Turn, act: int, node: PlanNode) -> None:
    """The time has come."""
    turn.emit(NodeDone(node.index, act))
