"""The makers of closures, one per shape of syntax: what an expression is while it runs.

Pure. A closure takes a *frame*, a list: ``[lookup, steps left, slots...]``; `compiler` decides what the slots hold.
Faults follow CEL: ``&&``, ``||``, ``all`` and ``exists`` ignore a fault when another operand decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wfe import limits
from wfe.core.expressions import nodes as ast
from wfe.core.expressions import times
from wfe.core.expressions.values import Absent, a_type, get_field, has_key, is_number, measure
from wfe.errors import ExpressionError

Frame = list[Any]
Closure = Callable[[Frame], Any]
UNSET: Any = object()
STEPS = 1
"""The slot of the frame that counts down."""

_CHARS_PER_STEP = 32
_ELEMENTS_PER_STEP = 16
_PARTS_PER_STEP = 2


# What work costs


def charge(frame: Frame, steps: int) -> None:
    """Takes steps from the frame; a fault when none are left."""
    frame[STEPS] -= steps
    if frame[STEPS] < 0:
        raise ExpressionError(f"more than {limits.EXPRESSION_STEPS_MAX} steps; do such work in a task")


def _charge_whole(frame: Frame, value: Any) -> None:
    """For work that visits every part of a value."""
    kind = type(value)
    if kind is str or kind is bytes:
        charge(frame, len(value) // _CHARS_PER_STEP)
    elif kind is list or kind is dict:
        charge(frame, measure(value, frame[STEPS] * _PARTS_PER_STEP) // _PARTS_PER_STEP)


def _charge_pair(frame: Frame, left: Any, right: Any) -> None:
    """For work that visits the elements of one value, and their parts only if the other has parts too."""
    if type(left) in (list, dict) and type(right) in (list, dict):
        _charge_whole(frame, left)
        _charge_whole(frame, right)
        return
    for value in (left, right):
        kind = type(value)
        if kind is list or kind is dict:
            charge(frame, len(value) // _ELEMENTS_PER_STEP)
        elif kind is str or kind is bytes:
            charge(frame, len(value) // _CHARS_PER_STEP)


def metered(closure: Closure) -> Closure:
    """The closure of an operand all of whose parts will be visited."""

    def run(frame: Frame) -> Any:
        value = closure(frame)
        _charge_whole(frame, value)
        return value

    return run


def metered_binary(function: Callable[[Any, Any], Any], left: Closure, right: Closure) -> Closure:
    def run(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        _charge_pair(frame, a, b)
        return function(a, b)

    return run


# Shapes


def field(target: Closure, name: str) -> Closure:
    def field(frame: Frame) -> Any:
        value = target(frame)
        if type(value) is dict and name in value:
            return value[name]
        return get_field(value, name)

    return field


def binary(function: Callable[[Any, Any], Any], left: Closure, right: Closure) -> Closure:
    return lambda frame: function(left(frame), right(frame))


def call(function: Callable[..., Any], arguments: tuple[Closure, ...]) -> Closure:
    if len(arguments) == 1:
        (argument,) = arguments
        return lambda frame: function(argument(frame))
    return lambda frame: function(*[argument(frame) for argument in arguments])


def moment(value: Any) -> Any:
    """The time that the lookup gave for ``now()``."""
    if is_number(value):
        return times.timestamp_from_ms(value)
    return times.parse_timestamp(value) if isinstance(value, str) else times.aware(value)


def boolean(symbol: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    raise ExpressionError(f"{symbol!r} needs true or false, not {a_type(value)}")


def negation(operand: Closure) -> Closure:
    return lambda frame: not boolean("!", operand(frame))


def conditional(condition: Closure, then: Closure, otherwise: Closure) -> Closure:
    return lambda frame: then(frame) if boolean("?:", condition(frame)) else otherwise(frame)


def logic(decisive: bool, operands: tuple[Closure, ...], symbol: str) -> Closure:
    """``||`` (True decides) and ``&&`` (False decides): any deciding operand wins, even over faults before it."""

    def logic(frame: Frame) -> bool:
        fault: ExpressionError | None = None
        for operand in operands:
            try:
                if boolean(symbol, operand(frame)) is decisive:
                    return decisive
            except ExpressionError as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not decisive

    return logic


def list_of(items: tuple[Closure, ...]) -> Closure:
    return lambda frame: [item(frame) for item in items]


def map_of(entries: tuple[tuple[Closure, Closure], ...]) -> Closure:
    def build(frame: Frame) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_of, value_of in entries:
            key = key_of(frame)
            if type(key) is not str and type(key) is not int:
                raise ExpressionError(f"a map's key is a string or an int, not {a_type(key)}")
            if key in result:
                raise ExpressionError(f"the key {key!r} occurs twice in a map")
            result[key] = value_of(frame)
        return result

    return build


def merge(arguments: tuple[Closure, ...]) -> Closure:
    def merge(frame: Frame) -> Any:
        for argument in arguments:
            try:
                return argument(frame)
            except Absent:
                continue
        raise Absent("merge() found no value: none of its arguments exists")

    return merge


def none_or_absent(argument: Closure) -> Closure:
    def is_none(frame: Frame) -> bool:
        try:
            return argument(frame) is None
        except Absent:
            return True

    return is_none


def name_exists(name: Closure) -> Closure:
    def exists(frame: Frame) -> bool:
        try:
            name(frame)
        except Absent:
            return False
        return True

    return exists


def has_member(target: Closure, key: Closure) -> Closure:
    def has_member(frame: Frame) -> bool:
        try:
            container = target(frame)
        except Absent:
            return False
        wanted = key(frame)
        if type(container) is dict:
            return has_key(container, wanted)
        if type(container) is list and type(wanted) is int:
            return 0 <= wanted < len(container)
        if container is None:
            return False
        raise ExpressionError(f"has() found {a_type(container)}, which has no fields")

    return has_member


def comprehension(
    macro: ast.Macro,
    elements: Callable[[Frame], Iterable[Any]],
    slot: int,
    body: Closure,
    condition: Closure | None,
) -> Closure:
    def quantifier(frame: Frame) -> bool:
        decisive = macro == "exists"
        fault: ExpressionError | None = None
        for element in elements(frame):
            frame[slot] = element
            try:
                if boolean(macro, body(frame)) is decisive:
                    return decisive
            except ExpressionError as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not decisive

    def exists_one(frame: Frame) -> bool:
        found = 0
        for element in elements(frame):
            frame[slot] = element
            found += boolean(macro, body(frame))
        return found == 1

    def select(frame: Frame) -> list[Any]:
        selected: list[Any] = []
        for element in elements(frame):
            frame[slot] = element
            if boolean(macro, body(frame)):
                selected.append(element)
        return selected

    def project(frame: Frame) -> list[Any]:
        projected: list[Any] = []
        for element in elements(frame):
            frame[slot] = element
            if condition is None or boolean(macro, condition(frame)):
                projected.append(body(frame))
        return projected

    if macro == "exists_one":
        return exists_one
    if macro == "filter":
        return select
    return project if macro == "map" else quantifier
