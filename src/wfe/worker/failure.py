"""Exceptions of user code as `ErrorInfo`: facts that a run keeps, retry policies match and people read.

Pure but for `traceback`. Invariants: whatever an exception does when it is printed, a failure comes out; messages and
tracebacks stay within `limits`; frames of the worker itself are left out.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from wfe.errors import Fatal, InvalidInput, PayloadTooLarge, RetryAfter, UnknownTask
from wfe.limits import ERROR_MESSAGE_CHARS_MAX, TRACEBACK_CHARS_MAX
from wfe.model.durations import parse_duration
from wfe.model.policy import ErrorInfo

_OWN_FILES = str(Path(__file__).parent)
_NEVER_RETRIED = (Fatal, InvalidInput, PayloadTooLarge, UnknownTask)
_TRACEBACK_FRAMES_MAX = 50


def error_info(error: BaseException, node: str = "") -> ErrorInfo:
    """The exception as data, with its bases by bare and by module-qualified name."""
    return ErrorInfo(
        type=type(error).__name__,
        message=trim(_message(error), ERROR_MESSAGE_CHARS_MAX),
        node=node,
        traceback=trim(_traceback(error), TRACEBACK_CHARS_MAX),
        types=type_names(type(error)),
        fatal=isinstance(error, _NEVER_RETRIED),
        retry_after_ms=_retry_after_ms(error),
    )


def failure(kind: type[BaseException], message: str, node: str = "", *, fatal: bool = False) -> ErrorInfo:
    """A failure that the worker itself reports (`TimedOut`, `UnknownTask` ...), without a traceback."""
    return ErrorInfo(
        type=kind.__name__,
        message=trim(message, ERROR_MESSAGE_CHARS_MAX),
        node=node,
        types=type_names(kind),
        fatal=fatal,
    )


def type_names(kind: type[BaseException]) -> tuple[str, ...]:
    """Names of a class and its bases, most derived first, each bare and then qualified by its module."""
    names: list[str] = []
    for cls in kind.__mro__[:-1]:
        names.append(cls.__name__)
        if cls.__module__ != "builtins":
            names.append(f"{cls.__module__}.{cls.__qualname__}")
    return tuple(dict.fromkeys(names))


def trim(text: str, chars_max: int) -> str:
    """The text, with its middle left out when it is longer: both ends of a traceback matter."""
    if len(text) <= chars_max:
        return text
    mark = f"\n... {len(text) - chars_max} characters left out ...\n"
    keep = chars_max - len(mark)
    return text[: keep // 2] + mark + text[len(text) - (keep - keep // 2) :]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  __str__ is user code, and the failure must be reported all the same
        return f"<the exception's own __str__ raised {type(broken).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.TracebackException.from_exception(error, limit=-_TRACEBACK_FRAMES_MAX, compact=True)
        lines.stack = traceback.StackSummary.from_list(
            [frame for frame in lines.stack if not frame.filename.startswith(_OWN_FILES)]
        )
        return "".join(lines.format())
    except Exception as broken:  # noqa: BLE001  as in _message
        return f"<the traceback cannot be shown: {type(broken).__name__}>"


def _retry_after_ms(error: BaseException) -> int | None:
    if not isinstance(error, RetryAfter):
        return None
    try:
        return parse_duration(error.delay)
    except (TypeError, ValueError):
        return None
