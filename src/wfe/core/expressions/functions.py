"""The functions of the expression language, each taking its target as the first argument.

Pure. Every function checks the types of its arguments and raises ExpressionError for what does not fit; work and memory
are linear in the size of the arguments, and no result grows beyond what a payload may be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

import jsonschema_rs

from wfe import limits
from wfe.core.expressions import conversions as to
from wfe.core.expressions import times
from wfe.core.expressions.conversions import as_text, need_int, need_list, need_text, refuse
from wfe.core.expressions.values import (
    Absent,
    a_type,
    add,
    checked_float,
    checked_int,
    checked_size,
    comparable,
    contains,
    equal,
    is_number,
    true_divide,
    type_name,
)
from wfe.errors import ExpressionError
from wfe.model.registered import SECRET_KEY

# Text


def size(value: Any) -> int:
    if type(value) in (str, list, dict, bytes):
        return len(value)
    raise refuse("size", value)


def contains_any(container: Any, item: Any) -> bool:
    """Text in text, an element of a list, a key of a map."""
    if type(container) is str:
        return need_text("contains", item) in container
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
    if len(need_text("matches", pattern)) > limits.REGEX_CHARS_MAX:
        raise ExpressionError(f"a regular expression is at most {limits.REGEX_CHARS_MAX} characters long")
    try:
        return _pattern(pattern)(need_text("matches", value))
    except UnicodeEncodeError:
        raise ExpressionError("matches() takes text that is Unicode, without lone surrogates") from None


_ASCII_LOWER = {code: code + 32 for code in range(65, 91)}
_ASCII_UPPER = {code: code - 32 for code in range(97, 123)}


def split(value: Any, separator: Any, most: Any = -1) -> list[str]:
    text, by, count = need_text("split", value), need_text("split", separator), need_int("split", most)
    if count == 0:
        return []
    if by:
        return text.split(by, count - 1 if count > 0 else -1)
    characters = list(text)
    if 0 < count < len(characters):
        characters[count - 1 :] = ["".join(characters[count - 1 :])]
    return characters


def join(value: Any, separator: Any = "") -> str:
    items = [need_text("join", item) for item in need_list("join", value)]
    by = need_text("join", separator)
    checked_size(sum(map(len, items)) + len(by) * len(items))
    return by.join(items)


def replace(value: Any, old: Any, new: Any, most: Any = -1) -> str:
    text, what, by = need_text("replace", value), need_text("replace", old), need_text("replace", new)
    count = need_int("replace", most)
    found = text.count(what)
    times_replaced = found if count < 0 else min(found, count)
    checked_size(len(text) + times_replaced * max(0, len(by) - len(what)))
    return text.replace(what, by, times_replaced)


def substring(value: Any, start: Any, end: Any = None) -> str:
    text = need_text("substring", value)
    begin, stop = need_int("substring", start), len(text) if end is None else need_int("substring", end)
    if 0 <= begin <= stop <= len(text):
        return text[begin:stop]
    raise ExpressionError(f"substring({begin}, {stop}) is outside a text of {len(text)}")


def index_of(value: Any, item: Any) -> int:
    if type(value) is str:
        return value.find(need_text("indexOf", item))
    return next((index for index, element in enumerate(need_list("indexOf", value)) if equal(element, item)), -1)


_PLACE = re.compile(r"\{\{|\}\}|\{\}|[{}]")


def format_text(template: Any, *values: Any) -> str:
    """``format("{} x {}", a, b)``: each ``{}`` is the next value as text; ``{{`` and ``}}`` are braces."""
    text, rest, parts, position = need_text("format", template), iter(values), [], 0
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
    if need_list("first", value):
        return value[0]
    raise Absent("first() of an empty list")


def last(value: Any) -> Any:
    if need_list("last", value):
        return value[-1]
    raise Absent("last() of an empty list")


def flatten(value: Any) -> list[Any]:
    """A list of lists as one list; one level, elements that are no lists stay."""
    flat: list[Any] = []
    for item in need_list("flatten", value):
        if type(item) is list:
            checked_size(len(flat) + len(item))
            flat += item
        else:
            flat.append(item)
    return flat


def total(value: Any) -> Any:
    """Numbers or durations; 0 for an empty list."""
    items = need_list("sum", value)
    result = items[0] if items else 0
    if not is_number(result) and type(result) is not timedelta:
        raise refuse("sum", result)
    for item in items[1:]:
        result = add(result, item)
    return result


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def extreme(*values: Any) -> Any:
        items = need_list(name, values[0]) if len(values) == 1 else list(values)
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
    raise refuse("abs", value)


def rounded(value: Any, digits: Any = None) -> Any:
    """Half away from zero, as in CEL's math library: to an int, or to a double with so many digits."""
    if not is_number(value):
        raise refuse("round", value)
    places = 0 if digits is None else need_int("round", digits)
    if not 0 <= places <= 15:
        raise ExpressionError("round() takes 0 to 15 digits")
    exact = Fraction(repr(checked_float(value)) if type(value) is float else value) * 10**places
    whole = math.floor(abs(exact) + Fraction(1, 2)) * (-1 if value < 0 else 1)
    return checked_int(whole) if digits is None else whole / 10**places


def _whole(name: str, to_whole: Callable[[float], int]) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if not is_number(value):
            raise refuse(name, value)
        return checked_int(value if type(value) is int else to_whole(checked_float(value)))

    return whole


# Parts of times


def _part(name: str, of_time: Callable[[datetime], int], of_duration: timedelta | None = None) -> Callable[..., int]:
    """A part of a time in UTC or at an offset; durations give their whole length in that unit (CEL's rule)."""

    def part(value: Any, zone: Any = "UTC") -> int:
        if type(value) is timedelta and of_duration is not None:
            return _milliseconds(value) if name == "getMilliseconds" else int(value / of_duration)
        if type(value) is not datetime:
            raise ExpressionError(f"{name}() takes a time, not {a_type(value)}; convert text with timestamp()")
        try:
            return of_time(times.aware(value).astimezone(times.offset(need_text(name, zone))))
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
    "int": to.to_int,
    "uint": to.to_uint,
    "double": to.to_double,
    "bool": to.to_bool,
    "bytes": to.to_bytes,
    "dyn": lambda value: value,
    "type": type_name,
    "timestamp": to.to_timestamp,
    "duration": to.to_duration,
    "contains": contains_any,
    "startsWith": lambda value, start: need_text("startsWith", value).startswith(need_text("startsWith", start)),
    "endsWith": lambda value, end: need_text("endsWith", value).endswith(need_text("endsWith", end)),
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
    "lower": lambda value: need_text("lower", value).lower(),
    "upper": lambda value: need_text("upper", value).upper(),
    "lowerAscii": lambda value: need_text("lowerAscii", value).translate(_ASCII_LOWER),
    "upperAscii": lambda value: need_text("upperAscii", value).translate(_ASCII_UPPER),
    "trim": lambda value: need_text("trim", value).strip(),
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
    "secret": lambda name: {SECRET_KEY: name},
}
