"""A syntax tree to Python closures. Names, variables and functions are resolved here, once.

Pure. A closure takes a *frame*, a list: ``[lookup, steps left, slots...]``. Slots hold the variables of comprehensions
and the values of names that occur more than once. What runs inside a comprehension is metered: every element costs the
size of the body, and large operands cost their length, so that no expression runs for longer than about a second.
Faults follow CEL: ``&&``, ``||``, ``all`` and ``exists`` ignore a fault when another operand decides.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from wfe import limits
from wfe.core.expressions import nodes as ast
from wfe.core.expressions import times
from wfe.core.expressions.functions import IMPLEMENTATIONS
from wfe.core.expressions.values import (
    Absent,
    add,
    comparable,
    contains,
    divide,
    equal,
    get_field,
    get_index,
    has_key,
    is_number,
    measure,
    multiply,
    negate,
    remainder,
    subtract,
    type_name,
)
from wfe.errors import ExpressionError

Frame = list[Any]
Closure = Callable[[Frame], Any]
Lookup = Callable[[str], Any]
NOW = "now()"
"""What ``now()`` asks the lookup for: milliseconds since 1970 (or RFC 3339 text, or a datetime)."""

_UNSET: Any = object()
_STEPS = 1
_METERED_CHARS_PER_STEP = 32
_COSTLY = {"matches": 50, "format": 10, "string": 10}


class Compiled(NamedTuple):
    """``run`` evaluates with a lookup; ``makes_times``: the result may hold values that are no JSON; ``builds``: it may
    hold one value many times over, so its size must be checked."""

    run: Callable[[Lookup], Any]
    makes_times: bool
    builds: bool


def compile_tree(root: ast.Node) -> Compiled:
    """Closures for a tree that `parse` made."""
    compiler = _Compiler(root)
    closure = compiler.node(root)
    frame_tail: Frame = [limits.EXPRESSION_STEPS_MAX, *[_UNSET] * (compiler.slots - 2)]

    def run(lookup: Lookup) -> Any:
        return closure([lookup, *frame_tail])

    return Compiled(run, compiler.makes_times, compiler.builds)


def name_counts(root: ast.Node, bound: frozenset[str] = frozenset()) -> Counter[str]:
    """How often each free name occurs."""
    match root:
        case ast.Name(name):
            return Counter() if name in bound else Counter([name])
        case ast.Comprehension(_, target, variable, body, condition):
            inner = [body] if condition is None else [condition, body]
            return sum((name_counts(part, bound | {variable}) for part in inner), name_counts(target, bound))
        case _:
            return sum((name_counts(part, bound) for part in ast.children(root)), Counter())


class _Compiler:
    def __init__(self, root: ast.Node) -> None:
        self.slots = 2
        self.variables: dict[str, int] = {}
        self.repeated = {name: self._slot() for name, count in name_counts(root).items() if count > 1}
        self.loops = 0
        self.makes_times = False
        self.builds = False

    def _slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def node(self, node: ast.Node) -> Closure:  # noqa: PLR0911 - one line per class
        match node:
            case ast.Literal(value):
                self.makes_times |= isinstance(value, bytes)
                return lambda frame: value
            case ast.Name(name):
                return self._name(name)
            case ast.Field(target, name):
                return _field(self.node(target), name)
            case ast.Index(target, key):
                return _binary(get_index, self.node(target), self.node(key))
            case ast.Call():
                return self._call(node)
            case ast.Has(operand):
                return self._has(operand)
            case ast.Unary(symbol, operand):
                return _not(self.node(operand)) if symbol == "!" else _apply(negate, (self.node(operand),))
            case ast.Binary(symbol, left, right):
                self.builds |= symbol == "+"
                return _OPERATORS[symbol](self._metered(left), self._metered(right))
            case ast.Logic(symbol, operands):
                return _logic(symbol == "||", tuple(map(self.node, operands)), symbol)
            case ast.Conditional(condition, then, otherwise):
                return _conditional(self.node(condition), self.node(then), self.node(otherwise))
            case ast.ListExpr(items):
                self.builds = True
                return _list(tuple(map(self.node, items)))
            case ast.MapExpr(entries):
                self.builds = True
                self.makes_times |= any(type(getattr(key, "value", None)) is not str for key, _ in entries)
                return _map(tuple((self.node(key), self.node(value)) for key, value in entries))
            case ast.Comprehension():
                return self._comprehension(node)

    def _name(self, name: str) -> Closure:
        slot = self.variables.get(name)
        if slot is not None:
            return operator.itemgetter(slot)
        slot = self.repeated.get(name)
        if slot is None:
            return lambda frame: frame[0](name)

        def remembered(frame: Frame) -> Any:
            value = frame[slot]
            if value is _UNSET:
                value = frame[slot] = frame[0](name)
            return value

        return remembered

    def _metered(self, node: ast.Node) -> Closure:
        """An operand whose size costs steps, when it is inside a comprehension."""
        closure = self.node(node)
        if not self.loops or isinstance(node, ast.Literal):
            return closure

        def metered(frame: Frame) -> Any:
            value = closure(frame)
            kind = type(value)
            if kind is str or kind is bytes:
                _charge(frame, len(value) // _METERED_CHARS_PER_STEP)
            elif kind is list or kind is dict:
                _charge(frame, measure(value, frame[_STEPS] * _METERED_CHARS_PER_STEP) // _METERED_CHARS_PER_STEP)
            return value

        return metered

    def _call(self, node: ast.Call) -> Closure:
        if node.function == "now":
            self.makes_times = True
            return lambda frame: _moment(frame[0](NOW))
        self.makes_times |= node.function in ("timestamp", "duration", "bytes")
        self.builds |= node.function in ("flatten", "join", "replace", "format")
        whole = (*((node.target,) if node.target is not None else ()), *node.arguments)
        if node.function == "merge":
            return _merge(tuple(map(self.node, whole)))
        if node.function == "is_none":
            return _is_none(self.node(whole[0]))
        if node.function == "size":
            return _apply(IMPLEMENTATIONS["size"], (self.node(whole[0]),))
        return _apply(IMPLEMENTATIONS[node.function], tuple(map(self._metered, whole)))

    def _has(self, operand: ast.Name | ast.Field | ast.Index) -> Closure:
        """False when a step of the path is missing or null; a fault when it leads through something without fields."""
        if isinstance(operand, ast.Name):
            return _exists(self.node(operand))
        target = self.node(operand.target)
        if isinstance(operand, ast.Field):
            name = operand.name
            return _has_member(target, lambda frame: name)
        return _has_member(target, self.node(operand.key))

    def _comprehension(self, node: ast.Comprehension) -> Closure:
        target = self.node(node.target)
        slot = self._slot()
        outer = self.variables
        self.variables = {**outer, node.variable: slot}
        self.loops += 1
        body = self.node(node.body)
        condition = None if node.condition is None else self.node(node.condition)
        self.loops -= 1
        self.variables = outer
        cost = 1 + _weight(node.body) + (0 if node.condition is None else _weight(node.condition))
        self.builds |= node.macro in ("map", "filter")

        def elements(frame: Frame) -> Iterable[Any]:
            container = target(frame)
            if type(container) is not list and type(container) is not dict:
                raise ExpressionError(f"{node.macro}() goes over lists and maps, not over a {type_name(container)}")
            _charge(frame, len(container) * cost)
            return container

        return _macro(node.macro, elements, slot, body, condition)


def _weight(node: ast.Node) -> int:
    """Steps that one evaluation of a node takes; nested comprehensions charge for their bodies themselves."""
    if isinstance(node, ast.Comprehension):
        return 1 + _weight(node.target)
    own = _COSTLY.get(node.function, 1) if isinstance(node, ast.Call) else 1
    return own + sum(map(_weight, ast.children(node)))


def _charge(frame: Frame, steps: int) -> None:
    frame[_STEPS] -= steps
    if frame[_STEPS] < 0:
        raise ExpressionError(f"more than {limits.EXPRESSION_STEPS_MAX} steps; do such work in a task")


def _moment(value: Any) -> Any:
    if is_number(value):
        return times.timestamp_from_ms(value)
    return times.parse_timestamp(value) if isinstance(value, str) else times.aware(value)


# Closures, one maker per shape


def _field(target: Closure, name: str) -> Closure:
    def field(frame: Frame) -> Any:
        value = target(frame)
        if type(value) is dict and name in value:
            return value[name]
        return get_field(value, name)

    return field


def _binary(function: Callable[[Any, Any], Any], left: Closure, right: Closure) -> Closure:
    return lambda frame: function(left(frame), right(frame))


def _apply(function: Callable[..., Any], arguments: tuple[Closure, ...]) -> Closure:
    if len(arguments) == 1:
        (argument,) = arguments
        return lambda frame: function(argument(frame))
    return lambda frame: function(*[argument(frame) for argument in arguments])


def _equality(wanted: bool) -> Callable[[Closure, Closure], Closure]:
    def make(left: Closure, right: Closure) -> Closure:
        return lambda frame: equal(left(frame), right(frame)) is wanted

    return make


def _order(symbol: str, holds: Callable[[Any, Any], bool]) -> Callable[[Closure, Closure], Closure]:
    def make(left: Closure, right: Closure) -> Closure:
        def compare(frame: Frame) -> bool:
            a, b = left(frame), right(frame)
            comparable(symbol, a, b)
            return holds(a, b)

        return compare

    return make


def _arithmetic(function: Callable[[Any, Any], Any]) -> Callable[[Closure, Closure], Closure]:
    return lambda left, right: _binary(function, left, right)


def _is_in(left: Closure, right: Closure) -> Closure:
    def is_in(frame: Frame) -> bool:
        item = left(frame)
        return contains(right(frame), item)

    return is_in


_OPERATORS: dict[str, Callable[[Closure, Closure], Closure]] = {
    "==": _equality(True),
    "!=": _equality(False),
    "<": _order("<", operator.lt),
    "<=": _order("<=", operator.le),
    ">": _order(">", operator.gt),
    ">=": _order(">=", operator.ge),
    "in": _is_in,
    "+": _arithmetic(add),
    "-": _arithmetic(subtract),
    "*": _arithmetic(multiply),
    "/": _arithmetic(divide),
    "%": _arithmetic(remainder),
}


def _boolean(symbol: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    raise ExpressionError(f"{symbol!r} needs true or false, not a {type_name(value)}")


def _not(operand: Closure) -> Closure:
    return lambda frame: not _boolean("!", operand(frame))


def _conditional(condition: Closure, then: Closure, otherwise: Closure) -> Closure:
    return lambda frame: then(frame) if _boolean("?:", condition(frame)) else otherwise(frame)


def _logic(decisive: bool, operands: tuple[Closure, ...], symbol: str) -> Closure:
    """``||`` (True decides) and ``&&`` (False decides): any deciding operand wins, even over faults before it."""

    def logic(frame: Frame) -> bool:
        fault: ExpressionError | None = None
        for operand in operands:
            try:
                if _boolean(symbol, operand(frame)) is decisive:
                    return decisive
            except ExpressionError as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not decisive

    return logic


def _list(items: tuple[Closure, ...]) -> Closure:
    return lambda frame: [item(frame) for item in items]


def _map(entries: tuple[tuple[Closure, Closure], ...]) -> Closure:
    def build(frame: Frame) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_of, value_of in entries:
            key = key_of(frame)
            if type(key) is not str and type(key) is not int:
                raise ExpressionError(f"a map's key is a string or an int, not a {type_name(key)}")
            if key in result:
                raise ExpressionError(f"the key {key!r} occurs twice in a map")
            result[key] = value_of(frame)
        return result

    return build


def _merge(arguments: tuple[Closure, ...]) -> Closure:
    def merge(frame: Frame) -> Any:
        for argument in arguments:
            try:
                return argument(frame)
            except Absent:
                continue
        raise Absent("merge() found no value: none of its arguments exists")

    return merge


def _is_none(argument: Closure) -> Closure:
    def is_none(frame: Frame) -> bool:
        try:
            return argument(frame) is None
        except Absent:
            return True

    return is_none


def _exists(name: Closure) -> Closure:
    def exists(frame: Frame) -> bool:
        try:
            name(frame)
        except Absent:
            return False
        return True

    return exists


def _has_member(target: Closure, key: Closure) -> Closure:
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
        raise ExpressionError(f"has() found a {type_name(container)}, which has no fields")

    return has_member


def _macro(
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
                if _boolean(macro, body(frame)) is decisive:
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
            found += _boolean(macro, body(frame))
        return found == 1

    def select(frame: Frame) -> list[Any]:
        selected: list[Any] = []
        for element in elements(frame):
            frame[slot] = element
            if _boolean(macro, body(frame)):
                selected.append(element)
        return selected

    def project(frame: Frame) -> list[Any]:
        projected: list[Any] = []
        for element in elements(frame):
            frame[slot] = element
            if condition is None or _boolean(macro, condition(frame)):
                projected.append(body(frame))
        return projected

    if macro == "exists_one":
        return exists_one
    if macro == "filter":
        return select
    return project if macro == "map" else quantifier
