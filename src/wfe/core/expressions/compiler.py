"""A syntax tree to Python closures. Names, variables and functions are resolved here, once.

Pure. The slots of a frame hold the variables of comprehensions and the values of names that occur more than once. What
runs inside a comprehension is metered: every element costs the size of the body, and large operands cost their length,
so that no expression runs for more than a few seconds, whatever the data.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from wfe import limits
from wfe.core.expressions import closures as make
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.closures import STEPS, UNSET, Closure, Frame, charge
from wfe.core.expressions.functions import IMPLEMENTATIONS
from wfe.core.expressions.signatures import MARKING
from wfe.core.expressions.values import OPERATORS, a_type, get_index, negate
from wfe.errors import ExpressionError

Lookup = Callable[[str], Any]
NOW = "now()"
"""What ``now()`` asks the lookup for: milliseconds since 1970 (or RFC 3339 text, or a datetime)."""

_COSTLY = {"matches": 50, "format": 10, "string": 10}
"""Steps of functions that are much dearer than others."""
_UNMETERED = frozenset({"size", "first", "last", "type", "dyn"})
"""Functions that take the same time whatever the size of their arguments."""
_PAIRED = frozenset({"contains", "indexOf"})


class Metered:
    """A lookup for evaluations that share one budget of steps: ``left`` counts down."""

    __slots__ = ("left", "lookup")

    def __init__(self, lookup: Lookup, left: int) -> None:
        self.lookup = lookup
        self.left = left

    def __call__(self, name: str) -> Any:
        return self.lookup(name)


class Compiled(NamedTuple):
    """``run`` evaluates with a lookup; ``makes_times``: the result may hold values that are no JSON; ``builds``: it may
    hold one value many times over, so its size must be checked."""

    run: Callable[[Lookup], Any]
    makes_times: bool
    builds: bool


def marking_name(call: ast.Call) -> str:
    """The name under which ``active("a")`` and ``done("a")`` ask the lookup: true or false is expected."""
    (id_,) = call.arguments
    assert isinstance(id_, ast.Literal), "the parser takes nothing else"
    return f"{call.function}({id_.value!s})"


def compile_tree(root: ast.Node) -> Compiled:
    """Closures for a tree that `parse` made."""
    compiler = _Compiler(root)
    closure = compiler.node(root)
    frame_tail: Frame = [limits.EXPRESSION_STEPS_MAX, *[UNSET] * (compiler.slots - 2)]

    def run(lookup: Lookup) -> Any:
        frame = [lookup, *frame_tail]
        if type(lookup) is not Metered:
            return closure(frame)
        frame[STEPS] = lookup.left
        charge(frame, 0)
        value = closure(frame)
        lookup.left = frame[STEPS]
        return value

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
                return make.field(self.node(target), name)
            case ast.Index(target, key):
                return make.binary(get_index, self.node(target), self.node(key))
            case ast.Call():
                return self._call(node)
            case ast.Has(operand):
                return self._has(operand)
            case ast.Unary(symbol, operand):
                return make.negation(self.node(operand)) if symbol == "!" else make.call(negate, (self.node(operand),))
            case ast.Binary(symbol, left, right):
                self.builds |= symbol == "+"
                binary = make.metered_binary if self.loops else make.binary
                return binary(OPERATORS[symbol], self.node(left), self.node(right))
            case ast.Logic(symbol, operands):
                return make.logic(symbol == "||", tuple(map(self.node, operands)), symbol)
            case ast.Conditional(condition, then, otherwise):
                return make.conditional(self.node(condition), self.node(then), self.node(otherwise))
            case ast.ListExpr(items):
                self.builds = True
                return make.list_of(tuple(map(self.node, items)))
            case ast.MapExpr(entries):
                self.builds = True
                self.makes_times |= any(type(getattr(key, "value", None)) is not str for key, _ in entries)
                return make.map_of(tuple((self.node(key), self.node(value)) for key, value in entries))
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
            if value is UNSET:
                value = frame[slot] = frame[0](name)
            return value

        return remembered

    def _call(self, node: ast.Call) -> Closure:
        if node.function == "now":
            self.makes_times = True
            return lambda frame: make.moment(frame[0](NOW))
        if node.function in MARKING:
            question = marking_name(node)
            return lambda frame: frame[0](question)
        self.makes_times |= node.function in ("timestamp", "duration", "bytes")
        self.builds |= node.function in ("flatten", "split")
        whole = node.arguments if node.target is None else (node.target, *node.arguments)
        arguments = tuple(map(self.node, whole))
        if node.function == "merge":
            return make.merge(arguments)
        if node.function == "is_none":
            return make.none_or_absent(arguments[0])
        function = IMPLEMENTATIONS[node.function]
        if not self.loops or node.function in _UNMETERED:
            return make.call(function, arguments)
        if node.function in _PAIRED:
            return make.metered_binary(function, *arguments)
        return make.call(function, tuple(map(make.metered, arguments)))

    def _has(self, operand: ast.Name | ast.Field | ast.Index) -> Closure:
        """False when a step of the path is missing or null; a fault when it leads through something without fields."""
        if isinstance(operand, ast.Name):
            return make.name_exists(self.node(operand))
        target = self.node(operand.target)
        if isinstance(operand, ast.Field):
            name = operand.name
            return make.has_member(target, lambda frame: name)
        return make.has_member(target, self.node(operand.key))

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
                raise ExpressionError(f"{node.macro}() goes over lists and maps, not over {a_type(container)}")
            make.charge(frame, len(container) * cost)
            return container

        return make.comprehension(node.macro, elements, slot, body, condition)


def _weight(node: ast.Node) -> int:
    """Steps that one evaluation of a node takes; nested comprehensions charge for their bodies themselves."""
    if isinstance(node, ast.Comprehension):
        return 1 + _weight(node.target)
    own = _COSTLY.get(node.function, 1) if isinstance(node, ast.Call) else 1
    return own + sum(map(_weight, ast.children(node)))
