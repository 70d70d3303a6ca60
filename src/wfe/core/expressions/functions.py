"""The functions of the expression language, each taking its target as the first argument.

Pure. Every function checks the types of its arguments and raises ExpressionError for what does not fit; work and memory
are linear in the size of the arguments, and no result grows beyond what a payload may be.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

import jsonschema_rs

from wfe import limits
from wfe.core.expressions import times
from wfe.core.expressions.values import (
    Absent,
    add,
    checked_float,
    checked_int,
    checked_size,
    comparable,
    contains,
    equal,
    is_number,
    leave,
    measure,
    true_divide,
    type_name,
)
from wfe.errors import ExpressionError


def _refuse(function: str, value: object) -> ExpressionError:
    return ExpressionError(f"{function}() cannot take a {type_name(value)}")


def _text(function: str, value: Any) -> str:
    if type(value) is str:
        return value
    raise _refuse(function, value)


def _list(function: str, value: Any) -> list[Any]:
    if type(value) is list:
        return value
    raise _refuse(function, value)


def _int(function: str, value: Any) -> int:
    if type(value) is int:
        return value
    raise _refuse(function, value)


# Conversions


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
    if kind in (list, dict):
        checked_size(measure(value, limits.PAYLOAD_BYTES_MAX))
    try:
        plain = leave(value)
        return plain if type(plain) is str else json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError):
        raise _refuse("string", value) from None


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
    raise _refuse("int", value)


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
    raise _refuse("double", value)


_BOOL_TEXT = dict.fromkeys(("1", "t", "true", "TRUE", "True"), True)
_BOOL_TEXT |= dict.fromkeys(("0", "f", "false", "FALSE", "False"), False)


def to_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value in _BOOL_TEXT:
        return _BOOL_TEXT[value]
    if type(value) is str:
        raise ExpressionError(f"{value[:50]!r} is neither true nor false")
    raise _refuse("bool", value)


def to_bytes(value: Any) -> bytes:
    return value if type(value) is bytes else _text("bytes", value).encode("utf-8", "surrogatepass")


def to_timestamp(value: Any) -> datetime:
    if type(value) is datetime:
        return times.aware(value)
    if type(value) is int:
        return times.timestamp_from_ms(value * 1000)
    return times.parse_timestamp(_text("timestamp", value))


def to_duration(value: Any) -> timedelta:
    return value if type(value) is timedelta else times.parse_duration(_text("duration", value))


# Text


def size(value: Any) -> int:
    if type(value) in (str, list, dict, bytes):
        return len(value)
    raise _refuse("size", value)


def contains_any(container: Any, item: Any) -> bool:
    """Text in text, an element of a list, a key of a map."""
    if type(container) is str:
        return _text("contains", item) in container
    return contains(container, item)


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> Callable[[str], bool]:
    # The schema validator brings a regular expression engine that runs in linear time, as CEL asks for (RE2's promise);
    # Python's own can take exponential time, so one pattern could stop a shard.
    options = jsonschema_rs.RegexOptions(size_limit=limits.REGEX_BYTES_MAX, dfa_size_limit=limits.REGEX_BYTES_MAX)
    try:
        validator = jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options)
    except (ValueError, jsonschema_rs.ValidationError):
        raise ExpressionError(
            f"{pattern!r} is not a regular expression (RE2 style: no look-around, no back references), or too large"
        ) from None
    return validator.is_valid


def matches(value: Any, pattern: Any) -> bool:
    """Whether a part of the text matches; ``^`` and ``$`` anchor."""
    if len(_text("matches", pattern)) > limits.REGEX_CHARS_MAX:
        raise ExpressionError(f"a regular expression is at most {limits.REGEX_CHARS_MAX} characters long")
    return _pattern(pattern)(_text("matches", value))


_ASCII_LOWER = {code: code + 32 for code in range(65, 91)}
_ASCII_UPPER = {code: code - 32 for code in range(97, 123)}


def split(value: Any, separator: Any, most: Any = -1) -> list[str]:
    text, by, count = _text("split", value), _text("split", separator), _int("split", most)
    if count == 0:
        return []
    if by:
        return text.split(by, count - 1 if count > 0 else -1)
    characters = list(text)
    if 0 < count < len(characters):
        characters[count - 1 :] = ["".join(characters[count - 1 :])]
    return characters


def join(value: Any, separator: Any = "") -> str:
    items = [_text("join", item) for item in _list("join", value)]
    by = _text("join", separator)
    checked_size(sum(map(len, items)) + len(by) * len(items))
    return by.join(items)


def replace(value: Any, old: Any, new: Any, most: Any = -1) -> str:
    text, what, by = _text("replace", value), _text("replace", old), _text("replace", new)
    count = _int("replace", most)
    found = text.count(what)
    times_replaced = found if count < 0 else min(found, count)
    checked_size(len(text) + times_replaced * max(0, len(by) - len(what)))
    return text.replace(what, by, times_replaced)


def substring(value: Any, start: Any, end: Any = None) -> str:
    text = _text("substring", value)
    begin, stop = _int("substring", start), len(text) if end is None else _int("substring", end)
    if 0 <= begin <= stop <= len(text):
        return text[begin:stop]
    raise ExpressionError(f"substring({begin}, {stop}) is outside a text of {len(text)}")


def index_of(value: Any, item: Any) -> int:
    if type(value) is str:
        return value.find(_text("indexOf", item))
    return next((index for index, element in enumerate(_list("indexOf", value)) if equal(element, item)), -1)


_PLACE = re.compile(r"\{\{|\}\}|\{\}|[{}]")


def format_text(template: Any, *values: Any) -> str:
    """``format("{} x {}", a, b)``: each ``{}`` is the next value as text; ``{{`` and ``}}`` are braces."""
    text, rest, parts, position = _text("format", template), iter(values), [], 0
    used = 0
    for place in _PLACE.finditer(text):
        parts.append(text[position : place.start()])
        position = place.end()
        if place[0] != "{}":
            if len(place[0]) == 1:
                raise ExpressionError("format() knows only {} as a place for a value; write {{ or }} for a brace")
            parts.append(place[0][0])
            continue
        used += 1
        if used <= len(values):
            parts.append(as_text(next(rest)))
    if used != len(values):
        raise ExpressionError(f"format() has {used} places for {len(values)} values")
    parts.append(text[position:])
    checked_size(sum(map(len, parts)))
    return "".join(parts)


# Lists and numbers


def first(value: Any) -> Any:
    if _list("first", value):
        return value[0]
    raise Absent("first() of an empty list")


def last(value: Any) -> Any:
    if _list("last", value):
        return value[-1]
    raise Absent("last() of an empty list")


def flatten(value: Any) -> list[Any]:
    """A list of lists as one list; one level, elements that are no lists stay."""
    parts = [item if type(item) is list else [item] for item in _list("flatten", value)]
    checked_size(sum(map(len, parts)))
    return [item for part in parts for item in part]


def total(value: Any) -> Any:
    """Numbers or durations; 0 for an empty list."""
    items = _list("sum", value)
    result = items[0] if items else 0
    if not is_number(result) and type(result) is not timedelta:
        raise _refuse("sum", result)
    for item in items[1:]:
        result = add(result, item)
    return result


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def extreme(*values: Any) -> Any:
        items = _list(name, values[0]) if len(values) == 1 else list(values)
        if not items:
            raise Absent(f"{name}() of an empty list")
        best = items[0]
        comparable(name, best, best)
        for item in items[1:]:
            comparable(name, item, best)
            if better(item, best):
                best = item
        return best

    return extreme


def absolute(value: Any) -> Any:
    if type(value) is int:
        return checked_int(abs(value))
    if type(value) is float:
        return abs(value)
    raise _refuse("abs", value)


def rounded(value: Any, digits: Any = None) -> Any:
    """Half away from zero, as in CEL's math library: to an int, or to a double with so many digits."""
    if not is_number(value):
        raise _refuse("round", value)
    places = 0 if digits is None else _int("round", digits)
    if not 0 <= places <= 15:
        raise ExpressionError("round() takes 0 to 15 digits")
    exact = Fraction(repr(checked_float(value)) if type(value) is float else value) * 10**places
    whole = math.floor(abs(exact) + Fraction(1, 2)) * (-1 if value < 0 else 1)
    return checked_int(whole) if digits is None else whole / 10**places


def _whole(name: str, to_whole: Callable[[float], int]) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if not is_number(value):
            raise _refuse(name, value)
        return checked_int(value if type(value) is int else to_whole(checked_float(value)))

    return whole


# Parts of times


def _part(name: str, of_time: Callable[[datetime], int], of_duration: timedelta | None = None) -> Callable[..., int]:
    """A part of a time in UTC or at an offset; durations give their whole length in that unit (CEL's rule)."""

    def part(value: Any, zone: Any = "UTC") -> int:
        if type(value) is timedelta and of_duration is not None:
            return _milliseconds(value) if name == "getMilliseconds" else int(value / of_duration)
        if type(value) is not datetime:
            raise ExpressionError(f"{name}() takes a time, not a {type_name(value)}; convert text with timestamp()")
        try:
            return of_time(times.aware(value).astimezone(times.offset(_text(name, zone))))
        except OverflowError:
            raise ExpressionError("a time beyond the years 1 to 9999") from None

    return part


def _milliseconds(value: timedelta) -> int:
    """CEL: only what is left beyond the whole seconds."""
    whole_ms = abs(value) // timedelta(milliseconds=1) % 1000
    return -whole_ms if value < timedelta(0) else whole_ms


def _day_of_month(value: datetime) -> int:
    return value.day - 1


IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {
    "size": size,
    "string": as_text,
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "bool": to_bool,
    "bytes": to_bytes,
    "dyn": lambda value: value,
    "type": type_name,
    "timestamp": to_timestamp,
    "duration": to_duration,
    "contains": contains_any,
    "startsWith": lambda value, start: _text("startsWith", value).startswith(_text("startsWith", start)),
    "endsWith": lambda value, end: _text("endsWith", value).endswith(_text("endsWith", end)),
    "matches": matches,
    "getFullYear": _part("getFullYear", lambda time: time.year),
    "getMonth": _part("getMonth", lambda time: time.month - 1),
    "getDate": _part("getDate", lambda time: time.day),
    "getDayOfMonth": _part("getDayOfMonth", _day_of_month),
    "getDayOfWeek": _part("getDayOfWeek", lambda time: time.isoweekday() % 7),
    "getDayOfYear": _part("getDayOfYear", lambda time: time.timetuple().tm_yday - 1),
    "getHours": _part("getHours", lambda time: time.hour, timedelta(hours=1)),
    "getMinutes": _part("getMinutes", lambda time: time.minute, timedelta(minutes=1)),
    "getSeconds": _part("getSeconds", lambda time: time.second, timedelta(seconds=1)),
    "getMilliseconds": _part("getMilliseconds", lambda time: time.microsecond // 1000, timedelta(milliseconds=1)),
    "lower": lambda value: _text("lower", value).lower(),
    "upper": lambda value: _text("upper", value).upper(),
    "lowerAscii": lambda value: _text("lowerAscii", value).translate(_ASCII_LOWER),
    "upperAscii": lambda value: _text("upperAscii", value).translate(_ASCII_UPPER),
    "trim": lambda value: _text("trim", value).strip(),
    "split": split,
    "join": join,
    "replace": replace,
    "substring": substring,
    "indexOf": index_of,
    "first": first,
    "last": last,
    "flatten": flatten,
    "sum": total,
    "min": _extreme("min", lambda item, best: bool(item < best)),
    "max": _extreme("max", lambda item, best: bool(item > best)),
    "abs": absolute,
    "round": rounded,
    "floor": _whole("floor", math.floor),
    "ceil": _whole("ceil", math.ceil),
    "div": true_divide,
    "format": format_text,
}
