"""Arguments of functions: what type they have, and conversions from one type to another.

Pure. Raises ExpressionError for what does not fit or cannot be converted.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from wfe import limits
from wfe.core.expressions import times
from wfe.core.expressions.values import a_type, checked_float, checked_int, checked_size, is_number, leave, measure
from wfe.errors import ExpressionError


def refuse(function: str, value: object) -> ExpressionError:
    return ExpressionError(f"{function}() cannot take {a_type(value)}")


def need_text(function: str, value: Any) -> str:
    if type(value) is str:
        return value
    raise refuse(function, value)


def need_list(function: str, value: Any) -> list[Any]:
    if type(value) is list:
        return value
    raise refuse(function, value)


def need_int(function: str, value: Any) -> int:
    if type(value) is int:
        return value
    raise refuse(function, value)


def as_text(value: Any) -> str:
    """A value inside text: strings as they are, everything else in its JSON form (null, true, 1.5, {"a": 1})."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if value is None:
        return "null"
    if kind is bytes:
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise ExpressionError("string() takes bytes only if they are UTF-8") from None
    if kind is timedelta:
        return times.duration_text(value)
    if kind in (list, dict):
        checked_size(measure(value, limits.PAYLOAD_BYTES_MAX))
    try:
        plain = leave(value)
        return plain if type(plain) is str else json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError):
        raise refuse("string", value) from None


_INT_TEXT = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DOUBLE_TEXT = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,4})?", re.ASCII)


def to_int(value: Any) -> int:
    kind = type(value)
    if kind is int:
        return checked_int(value)
    if kind is float:
        return checked_int(int(checked_float(value)))
    if kind is str and _INT_TEXT.fullmatch(value):
        return checked_int(int(value))
    if kind is str:
        raise ExpressionError(f"{value[:50]!r} is not an integer")
    if kind is datetime:
        return (times.aware(value) - times.EPOCH) // timedelta(seconds=1)
    raise refuse("int", value)


def to_uint(value: Any) -> int:
    number = to_int(value)
    if number < 0:
        raise ExpressionError("uint() of a negative number")
    return number


def to_double(value: Any) -> float:
    if is_number(value):
        return checked_float(float(value))
    if type(value) is str and _DOUBLE_TEXT.fullmatch(value):
        return checked_float(float(value))
    if type(value) is str:
        raise ExpressionError(f"{value[:50]!r} is not a number")
    raise refuse("double", value)


_BOOL_TEXT = dict.fromkeys(("1", "t", "true", "TRUE", "True"), True)
_BOOL_TEXT |= dict.fromkeys(("0", "f", "false", "FALSE", "False"), False)


def to_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value in _BOOL_TEXT:
        return _BOOL_TEXT[value]
    if type(value) is str:
        raise ExpressionError(f"{value[:50]!r} is neither true nor false")
    raise refuse("bool", value)


def to_bytes(value: Any) -> bytes:
    return value if type(value) is bytes else need_text("bytes", value).encode("utf-8", "surrogatepass")


def to_timestamp(value: Any) -> datetime:
    if type(value) is datetime:
        return times.aware(value)
    if type(value) is int:
        return times.timestamp_from_ms(value * 1000)
    return times.parse_timestamp(need_text("timestamp", value))


def to_duration(value: Any) -> timedelta:
    return value if type(value) is timedelta else times.parse_duration(need_text("duration", value))
