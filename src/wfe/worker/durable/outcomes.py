"""What becomes of turns and calls: answers, the signals that end a run of the function, values and errors."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from wfe.errors import InvalidInput, RunCancelled, TimedOut
from wfe.model.calling import Call
from wfe.model.policy import ErrorInfo
from wfe.wire import payload
from wfe.wire.durable import TIMED_OUT, DurableCommand, DurableCompletion
from wfe.wire.messages import NULL
from wfe.worker.durable.failures import Home, exception_of


class Answer(Struct):
    """What a turn came to. ``status``: of a `TaskResult`; ``taken``: completions that the function has had."""

    status: int
    commands: list[DurableCommand]
    taken: int
    value: Raw = NULL
    error: ErrorInfo | None = None
    over: bool = False
    """The function has nothing more to do in this round."""


class ContinueWith(BaseException):
    """Ends a round. No Exception, so that no ``except Exception`` on its way takes it."""


class Halted(BaseException):
    """The function was let go, or does not do what is recorded: code of it that still runs can call nothing."""


def decoded(call: Call, value: Raw, where: str) -> Any:
    """The value of a call. InvalidInput when it is recorded in a form that the type of today does not read."""
    try:
        return call.decode(value)
    except InvalidInput as error:
        found = type(payload.decode_any(value)).__name__
        wanted = getattr(call.returns, "__name__", None) or str(call.returns)
        what = f"what {call.name or 'the call'} at {where} gave"
        raise InvalidInput(f"{what} is recorded as {found} and cannot be read as {wanted}: {error}") from error


def failure_of(call: Call, completion: DurableCompletion, where: str, home: Home) -> Exception:
    """What a call raises that did not end well."""
    if completion.error is not None:
        return exception_of(completion.error, home)
    what = f"{call.name or 'the call'} (at {where})"
    if completion.status == TIMED_OUT:
        return TimedOut(f"{what} took longer than it may")
    return RunCancelled(f"{what} was cancelled")
