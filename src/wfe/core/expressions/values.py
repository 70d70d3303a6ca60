"""Values while an expression runs, and how they compare, combine and leave.

Pure. Values are what msgspec decodes: None, bool, int, float, str, bytes, list, dict, and for time values datetime
(aware) and timedelta. Anything else only passes through. Faults are ExpressionError; a missing value is its
subclass `Absent`. Invariants: bool is never a number; integers stay within 64 bits, doubles finite.
"""

from __future__ import annotations

import base64
import math
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from wfe import limits
from wfe.core.expressions.lexer import INT_MAX, INT_MIN
from wfe.core.expressions.times import iso_duration_text, timestamp_text
from wfe.errors import ExpressionError


class Absent(ExpressionError):
    """A value that does not exist: a name without a value, a key that a map lacks. `merge` and `has` live with it."""


_TYPE_NAMES = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    datetime: "timestamp",
    timedelta: "duration",
}


def type_name(value: object) -> str:
    """The CEL name of a value's type."""
    return _TYPE_NAMES.get(type(value), "unknown")


def a_type(value: object) -> str:
    """The name of a value's type with its article, for messages: ``"an int"``."""
    name = type_name(value)
    return f"an {name}" if name in ("int", "unknown") else f"a {name}"


def is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def checked_int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ExpressionError("integer overflow: the result is beyond 64 bits")


def checked_float(value: float) -> float:
    if math.isfinite(value):
        return value
    raise ExpressionError("the result is not a finite number")


def checked_size(size: int) -> int:
    """Refuses a string or list that is about to become larger than any payload may be."""
    if size > limits.PAYLOAD_BYTES_MAX:
        raise ExpressionError(f"a value larger than {limits.PAYLOAD_BYTES_MAX} bytes")
    return size


def mismatch(symbol: str, left: object, right: object, hint: str = "") -> ExpressionError:
    return ExpressionError(f"{symbol!r} cannot combine {type_name(left)} and {type_name(right)}{hint}")


# Equality and order


def equal(left: Any, right: Any) -> bool:
    """CEL's ``==``: values of different types are unequal, but 1 == 1.0; never true == 1, at any depth."""
    kind, other = type(left), type(right)
    if kind is not other:
        return is_number(left) and is_number(right) and bool(left == right)
    if kind is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if kind is dict:
        return len(left) == len(right) and all(key in right and equal(value, right[key]) for key, value in left.items())
    return bool(left == right)


_ORDERED = frozenset({bool, str, bytes, datetime, timedelta})


def comparable(symbol: str, left: Any, right: Any) -> None:
    """Raises unless the two have an order: numbers with numbers, else two values of one ordered type."""
    kind = type(left)
    if kind is type(right):
        if kind is int or kind is float or kind in _ORDERED:
            return
    elif is_number(left) and is_number(right):
        return
    time_and_text = {type_name(left), type_name(right)} in ({"timestamp", "string"}, {"duration", "string"})
    hint = "; convert the text with timestamp() or duration()" if time_and_text else ""
    raise mismatch(symbol, left, right, hint)


def contains(container: Any, item: Any) -> bool:
    """``item in container``: elements of a list (by `equal`), keys of a map."""
    if type(container) is dict:
        return has_key(container, item)
    if type(container) is list:
        if type(item) is str or type(item) is bytes:
            return item in container
        return any(equal(item, element) for element in container)
    hint = "; use contains() for text" if type(container) is str else ""
    raise mismatch("in", item, container, hint)


def has_key(container: dict[Any, Any], key: Any) -> bool:
    return (type(key) is str or is_number(key)) and key in container


def get_field(target: Any, name: str) -> Any:
    """``target.name`` and ``target["name"]``"""
    if type(target) is dict:
        try:
            return target[name]
        except KeyError:
            raise Absent(f"there is no field {name!r}") from None
    raise ExpressionError(f"{a_type(target)} has no fields ({name!r})")


def get_index(target: Any, key: Any) -> Any:
    """``target[key]``: a list by integer from 0, a map by key."""
    if type(target) is dict:
        if has_key(target, key):
            return target[key]
        if type(key) is str or is_number(key):
            raise Absent(f"there is no key {key!r}")
        raise ExpressionError(f"a map cannot have {a_type(key)} as a key")
    if type(target) is not list:
        raise ExpressionError(f"{a_type(target)} cannot be indexed")
    index = int(key) if type(key) is float and key.is_integer() else key
    if type(index) is not int:
        raise ExpressionError(f"a list is indexed by an int, not by {a_type(key)}")
    if 0 <= index < len(target):
        return target[index]
    hint = "; use last()" if index == -1 else ""
    raise Absent(f"index {index} is outside a list of {len(target)}{hint}")


# Arithmetic


def add(left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if kind is int and other is int:
        return checked_int(left + right)
    if is_number(left) and is_number(right):
        return checked_float(left + right)
    if kind is other and (kind is str or kind is list or kind is bytes):
        checked_size(len(left) + len(right))
        return left + right
    if (kind is datetime and other is timedelta) or (kind is timedelta and other in (datetime, timedelta)):
        return _in_range(lambda: left + right)
    hint = "; convert with string()" if str in (kind, other) else ""
    raise mismatch("+", left, right, hint)


def subtract(left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if kind is int and other is int:
        return checked_int(left - right)
    if is_number(left) and is_number(right):
        return checked_float(left - right)
    if (kind is datetime and other in (datetime, timedelta)) or (kind is timedelta and other is timedelta):
        return _in_range(lambda: left - right)
    raise mismatch("-", left, right)


def _in_range(operation: Callable[[], Any]) -> Any:
    try:
        return operation()
    except OverflowError:
        raise ExpressionError("a time beyond the years 1 to 9999") from None


def multiply(left: Any, right: Any) -> Any:
    if type(left) is int and type(right) is int:
        return checked_int(left * right)
    if is_number(left) and is_number(right):
        return checked_float(left * right)
    raise mismatch("*", left, right)


def divide(left: Any, right: Any) -> Any:
    """CEL's ``/``: integers truncate towards zero."""
    if not (is_number(left) and is_number(right)):
        raise mismatch("/", left, right)
    if right == 0:
        raise ExpressionError("division by zero")
    if type(left) is int and type(right) is int:
        quotient = abs(left) // abs(right)
        return checked_int(quotient if (left < 0) == (right < 0) else -quotient)
    return checked_float(left / right)


def true_divide(left: Any, right: Any) -> Any:
    """Python's ``/``: always a double."""
    if not (is_number(left) and is_number(right)):
        raise mismatch("div", left, right)
    if right == 0:
        raise ExpressionError("division by zero")
    return checked_float(left / right)


def remainder(left: Any, right: Any) -> Any:
    """CEL's ``%``: integers only, with the sign of the left operand."""
    if type(left) is not int or type(right) is not int:
        raise mismatch("%", left, right)
    if right == 0:
        raise ExpressionError("modulus by zero")
    return checked_int(int(math.copysign(1, left)) * (abs(left) % abs(right)))


def negate(value: Any) -> Any:
    if type(value) is int:
        return checked_int(-value)
    if type(value) is float:
        return -value
    if type(value) is timedelta:
        return _in_range(lambda: -value)
    raise ExpressionError(f"'-' cannot negate {a_type(value)}")


def _ordered(symbol: str, holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        comparable(symbol, left, right)
        return holds(left, right)

    return compare


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": _ordered("<", operator.lt),
    "<=": _ordered("<=", operator.le),
    ">": _ordered(">", operator.gt),
    ">=": _ordered(">=", operator.ge),
    "in": lambda item, container: contains(container, item),
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
}


# Leaving


def leave(value: Any) -> Any:
    """The JSON form of a result: times as RFC 3339 text, durations as ISO 8601 text, bytes as base64, keys as text."""
    kind = type(value)
    if kind is list:
        return [leave(item) for item in value]
    if kind is dict:
        return {key if type(key) is str else key_text(key): leave(item) for key, item in value.items()}
    if kind is datetime:
        return timestamp_text(value)
    if kind is timedelta:
        return iso_duration_text(value)
    if kind is bytes:
        return base64.b64encode(value).decode()
    return value


def key_text(key: Any) -> str:
    return "true" if key is True else "false" if key is False else str(key)


def measure(value: Any, limit: int) -> int:
    """A lower bound of the encoded size of a value in bytes; stops counting once it is above ``limit``."""
    total, rest = 0, [value]
    while rest and total <= limit:
        value = rest.pop()
        kind = type(value)
        total += 1
        if kind is str or kind is bytes:
            total += len(value)
        elif kind is list:
            total += len(value)
            if total <= limit:
                rest += value
        elif kind is dict:
            total += sum(map(len, filter(lambda key: type(key) is str, value)))
            rest += value.values()
    return total
