"""Re-running recorded runs against other code, without effects: does this code do what is recorded?

The record is put together from a run's history as clients read it, so that no server takes part in the judgement and
runs that have ended can be checked too. Pure but for the function's own code, which is run.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from wfe.errors import InvalidInput
from wfe.model.durable import ENDED, OPEN, WITHDRAWN
from wfe.model.policy import ErrorInfo
from wfe.wire import payload
from wfe.wire.durable import (
    CALL_NAMES,
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_VERSION,
    CANCELLED,
    DONE,
    FAILED,
    RUN_CANCELLED,
    TIMED_OUT,
    Called,
    DurableCompletion,
    DurableRecord,
)
from wfe.wire.messages import NULL
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.instance import Instance
from wfe.worker.durable.loop import Restless

_KINDS = {name: kind for kind, name in CALL_NAMES.items()}
_STATUSES = {"done": DONE, "failed": FAILED, "timed out": TIMED_OUT, "ended": CANCELLED}
_OVER = {"": False, "completed": True}
"""By status, whether the function has ended; a run that failed or was cancelled may have been ended from outside."""


class Told(Struct):
    """One event of a history: its type, activation, time (ms) and other fields by name."""

    type: str
    activation: int
    time_ms: int
    data: Mapping[str, Any]


class Recorded(Struct):
    """The last round of a run. ``had``: completions that the function has had, in ``turns`` turns; ``status``: how the
    run ended, or ""."""

    record: DurableRecord
    had: int
    status: str = ""
    turns: int = 0


class _Builder:
    """Folds a history."""

    def __init__(self, params: Iterable[str], key: str) -> None:
        self._params, self._key = list(params), key
        self._base = 1
        self._signals: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        self._channels: dict[int, tuple[str, str]] = {}
        self.found = Recorded(DurableRecord(0, [], 0, [], key=key), 0)

    def add(self, event: Told) -> None:
        data, record = event.data, self.found.record
        match event.type:
            case "RunStarted":
                record.input, record.started_ms = self._arguments(data.get("input")), event.time_ms
            case "SignalArrived":
                self._signals[data["name"], data.get("correlation") or ""].append(data.get("payload"))
            case "TurnTaken":
                self._turn(data)
            case "CallEnded":
                self._ended(event)
            case "CancelAsked":
                record.completions.append(DurableCompletion(RUN_CANCELLED, CANCELLED, at_ms=event.time_ms))
            case "RoundContinued":
                self._base += len(record.calls)
                arguments = payload.encode_value(data["input"])
                record = DurableRecord(0, [], 0, [], arguments, record.round + 1, event.time_ms, key=self._key)
                self.found = Recorded(record, 0)
            case "RunEnded":
                self.found.status = data["status"]
            case "RunRestored":
                raise InvalidInput("it was retried or forked, and what it took over is not in its own history")

    def _arguments(self, given: Any) -> Raw:
        """The form of a run's input, as arguments by name."""
        if len(self._params) == 1:
            given = {self._params[0]: given}
        return payload.encode_value(given or {})

    def _turn(self, data: Mapping[str, Any]) -> None:
        record = self.found.record
        for call in data["calls"]:
            kind, name = _KINDS[call["kind"]], call["name"]
            self._channels[self._base + len(record.calls)] = (name, call.get("correlation", ""))
            status = ENDED if kind in (CALL_PUBLISH, CALL_VERSION) else OPEN
            record.calls.append(Called(kind, name, where=call["where"], status=status))
        for seq in data["cancels"]:
            if record.calls[seq].status == OPEN:
                record.calls[seq].status = WITHDRAWN
        self.found.had = data["taken"]
        self.found.turns += 1

    def _ended(self, event: Told) -> None:
        data, record = event.data, self.found.record
        seq = event.activation - self._base
        value = data.get("value")
        if data.get("signalled"):
            waiting = self._signals[self._channels[event.activation]]
            sent = waiting.popleft() if waiting else None
            if record.calls[seq].kind == CALL_SIGNAL:
                value = sent
        error = None if data.get("error") is None else msgspec.convert(data["error"], ErrorInfo)
        raw = NULL if value is None else payload.encode_value(value)
        record.calls[seq].status = ENDED
        at_ms = data.get("time_ms") or event.time_ms  # a function that went ahead saw the end before it was recorded
        record.completions.append(DurableCompletion(seq, _STATUSES[data["status"]], raw, error, at_ms))


def recorded(history: Iterable[Told], params: Iterable[str], key: str = "") -> Recorded:
    """What a worker would be given of the run's last round. InvalidInput when the history does not tell it."""
    builder = _Builder(params, key)
    for event in history:
        builder.add(event)
    return builder.found


def check(function: DurableFunction, run_id: str, found: Recorded) -> str:
    """ "" when the function does what is recorded; else what differs, with both sequences."""
    if not found.turns:
        return ""  # nothing is recorded that could differ
    instance = Instance(function, run_id, function.name, found.record)
    try:
        return instance.replay(found.record, found.had, over=_OVER.get(found.status))
    except Restless as error:
        return f"{function.name!r} goes round for ever on its re-run: {error}"
    finally:
        instance.close()
