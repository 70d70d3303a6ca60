"""Operations on Refs that become expressions, with Python's meaning, checked against the values' Python types.

Each function takes proxies or constants and gives a new proxy; mistakes that the types make certain are GraphErrors.
``/`` is true division (``div``); datetimes travel as text and are compared and added as timestamps.
"""

from __future__ import annotations

import datetime
import difflib
import enum
from dataclasses import replace
from typing import Any

from wfe.authoring import fields
from wfe.authoring.canvas import Canvas
from wfe.authoring.refs import RefProxy, RefState, SecretProxy, join, state_of
from wfe.authoring.states import ast_of
from wfe.authoring.templates import constant_ast
from wfe.core.expressions import RESERVED, nodes
from wfe.core.expressions.unparse import unparse

_ORDERED = ("number", "text", "time", "span", "bool")
_NUMERIC_ADD = {("time", "span"): "time", ("span", "time"): "time", ("span", "span"): "span"}
_TIME_TYPES: dict[str, Any] = {"time": datetime.datetime, "span": datetime.timedelta}


class Operand:
    """One side of an operator: its syntax tree, type and kind, and the proxy's state when it is one."""

    __slots__ = ("ast", "is_time", "kind", "state", "type")

    def __init__(self, canvas: Canvas, value: Any) -> None:
        self.state = state_of(value)
        if self.state is not None:
            canvas.check_same(self.state)
            self.ast, self.type, self.is_time = ast_of(self.state), self.state.type, self.state.is_time
            self.kind = fields.kind(self.type)
            return
        if isinstance(value, SecretProxy):
            raise canvas.fail("a secret can only be handed to a task, not be part of an expression")
        self.type = type(value.value) if isinstance(value, enum.Enum) else type(value)
        self.kind = fields.kind(self.type)
        self.is_time = self.kind in _TIME_TYPES
        self.ast = constant_ast(canvas, value)

    def as_time(self) -> nodes.Node:
        """The operand as a timestamp or duration: encoded values are text and are converted."""
        if self.is_time or self.kind not in _TIME_TYPES:
            return self.ast
        return nodes.Call("timestamp" if self.kind == "time" else "duration", (self.ast,))


def attribute(self: RefProxy, name: str) -> Any:
    """``order.total``: a field, checked against the type."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    state = self.__wfe_ref__
    canvas = state.canvas
    canvas.check_same(state)
    found: list[fields.Field] = []
    known: list[str] = []
    for member in fields.members(state.type):
        if isinstance(member, type) and issubclass(member, enum.Enum):
            return _enum_attribute(canvas, state, member, name)
        if fields.kind(member) == "unknown":
            return join(canvas, [state], _member(ast_of(state), name))
        declared = fields.fields_of(member) or {}
        known += declared
        if name in declared:
            found.append(declared[name])
    if found:
        types = {fields.type_name(field.type): field.type for field in found}
        type_ = found[0].type if len(types) == 1 else Any
        return join(canvas, [state], _member(ast_of(state), found[0].key), type_)
    raise canvas.fail(_no_field(state, name, known))


def _no_field(state: RefState, name: str, known: list[str]) -> str:
    type_name = fields.type_name(fields.plain(state.type))
    if known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}"
        return f"{type_name} has no field {name!r}; {hint}"
    if fields.kind(state.type) == "map":
        return f"{state.text} is a {type_name}: its entries are read as {state.text}[{name!r}], methods only in a task"
    if fields.kind(state.type) == "list" and name in ("append", "extend", "insert"):
        return (
            f"{state.text} is a list, which is never changed in place: make a new one, x + [item], "
            "and where it lives in a state, s.x = s.x + [item]"
        )
    return (
        f"{type_name} has no fields, and methods need a value ({state.text}.{name}): "
        "compute it in a task, or write it as an expression with wf.expr(...)"
    )


def _enum_attribute(canvas: Canvas, state: RefState, type_: type[enum.Enum], name: str) -> Any:
    if name == "value":
        kinds = {type(member.value) for member in type_}
        return join(canvas, [state], ast_of(state), kinds.pop() if len(kinds) == 1 else Any)
    raise canvas.fail(f"an enum travels as its value: {state.text} has .value, not {name!r}")


def _member(target: nodes.Node, key: str | int) -> nodes.Node:
    if isinstance(key, str) and key.isidentifier() and key.isascii() and key not in RESERVED:
        return nodes.Field(target, key)
    return nodes.Index(target, nodes.Literal(key))


def item(self: RefProxy, key: Any) -> Any:
    """``items[0]``, ``prices[name]``: an item of a list or an entry of a map."""
    state = self.__wfe_ref__
    canvas = state.canvas
    canvas.check_same(state)
    if isinstance(key, slice):
        raise canvas.fail(f"a slice of {state.text} needs its value: take a single item, or slice in a task")
    kind = fields.kind(state.type)
    if kind in ("number", "bool", "text", "null", "time", "span", "decimal"):
        raise canvas.fail(f"{state.text} is a {fields.type_name(fields.plain(state.type))}, which has no items here")
    if kind == "record" and isinstance(key, str):
        return attribute(self, key)
    index = Operand(canvas, key)
    if kind == "list" and index.kind not in ("number", "unknown"):
        raise canvas.fail(f"{state.text} is a list: its items have numbers, not {key!r}")
    if kind == "map" and index.kind not in ("text", "number", "unknown", "bool"):
        raise canvas.fail(f"{state.text} has keys of text, not {key!r}")
    ast = index.ast
    if type(key) is int and key < 0 and kind in ("list", "unknown"):
        ast = nodes.Binary("-", nodes.Call("size", (ast_of(state),)), nodes.Literal(-key))
    if type(key) is int and kind == "map":
        ast = nodes.Literal(str(key))
    type_ = fields.element_type(state.type, key) if type(key) is int else fields.item_type(state.type)
    return join(canvas, _states(state, index.state), nodes.Index(ast_of(state), ast), type_)


def compare(operator: str, left: Any, right: Any) -> Any:
    """``== != < <= > >=``"""
    canvas = _canvas(left, right)
    a, b = Operand(canvas, left), Operand(canvas, right)
    kinds = {a.kind, b.kind}
    ast_a, ast_b = a.ast, b.ast
    if kinds & {"time", "span"} and kinds <= {"time", "span", "unknown"}:
        ast_a, ast_b = a.as_time(), b.as_time()
    elif operator not in ("==", "!="):
        _check_ordered(canvas, operator, a, b)
    elif "decimal" in kinds and "null" not in kinds:  # "1.50" is not the text "1.5"
        side = a if a.kind == "decimal" else b
        raise canvas.fail(f"{_show(side)} is a Decimal, which travels as text: compare Decimals in a task")
    elif kinds in ({"number", "text"}, {"bool", "number"}, {"bool", "text"}):
        raise canvas.fail(
            f"{_show(a)} {operator} {_show(b)} compares a {a.kind} with a {b.kind}: always the same answer"
        )
    return join(canvas, _states(a.state, b.state), nodes.Binary(operator, ast_a, ast_b), bool)


def _check_ordered(canvas: Canvas, operator: str, a: Operand, b: Operand) -> None:
    for side in (a, b):
        if side.kind == "decimal":
            raise canvas.fail(f"{_show(side)} is a Decimal, which travels as text: compare Decimals in a task")
        if side.kind not in (*_ORDERED, "unknown", "opaque"):
            raise canvas.fail(f"{_show(a)} {operator} {_show(b)}: a {side.kind} has no order")
    if "unknown" not in (a.kind, b.kind) and a.kind != b.kind:
        raise canvas.fail(f"{_show(a)} {operator} {_show(b)}: a {a.kind} and a {b.kind} cannot be compared")


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """``+ - * /``"""
    canvas = _canvas(left, right)
    a, b = Operand(canvas, left), Operand(canvas, right)
    type_ = _result_type(canvas, operator, a, b)
    states = _states(a.state, b.state)
    if operator == "/":
        return join(canvas, states, nodes.Call("div", (a.ast, b.ast)), type_)
    is_time = type_ in (datetime.datetime, datetime.timedelta)
    sides = (a.as_time(), b.as_time()) if is_time else (a.ast, b.ast)
    return join(canvas, states, nodes.Binary(operator, *sides), type_, is_time=is_time)


def _result_type(canvas: Canvas, operator: str, a: Operand, b: Operand) -> Any:
    kinds = (a.kind, b.kind)
    times = _times(operator, a, b)
    if times is not None:
        return _TIME_TYPES[times]
    for side in (a, b):
        if side.kind == "decimal":
            raise canvas.fail(f"{_show(side)} is a Decimal, which travels as text: calculate with Decimals in a task")
        if side.kind == "text" and operator == "+" and kinds not in (("text", "text"),) and "unknown" not in kinds:
            raise canvas.fail(
                f"{_show(a)} + {_show(b)}: text and a {(set(kinds) - {'text'}).pop()}; use wf.format(...)"
            )
        allowed = ("number", "text", "list", "unknown") if operator == "+" else ("number", "unknown")
        if side.kind not in allowed:
            raise canvas.fail(f"{_show(a)} {operator} {_show(b)}: a {side.kind} has no {operator} here; use a task")
    if "unknown" in kinds:
        return Any
    if kinds[0] != kinds[1]:
        raise canvas.fail(f"{_show(a)} {operator} {_show(b)}: a {kinds[0]} and a {kinds[1]} cannot be combined")
    if kinds[0] == "number":
        return float if operator == "/" or float in (fields.plain(a.type), fields.plain(b.type)) else int
    return a.type if a.state is not None else b.type


def _times(operator: str, a: Operand, b: Operand) -> str | None:
    """The kind of a sum or difference of times; None when it is none."""
    if operator == "+":
        return _NUMERIC_ADD.get((a.kind, b.kind))
    if operator == "-" and a.kind in _TIME_TYPES and b.kind in _TIME_TYPES:
        return {("time", "time"): "span", ("time", "span"): "time", ("span", "span"): "span"}.get((a.kind, b.kind))
    return None


def logic(operator: str, left: Any, right: Any) -> Any:
    """``&`` and ``|`` of conditions; chains stay flat."""
    canvas = _canvas(left, right)
    symbol = "&" if operator == "&&" else "|"
    operands: list[nodes.Node] = []
    states: list[RefState] = []
    for side in (left, right):
        state = state_of(side)
        if state is None:
            raise canvas.fail(
                f"`{symbol}` combines conditions, and {side!r} is a plain value that is known while drawing"
            )
        canvas.check_condition(state, f"`{symbol}`")
        states.append(state)
        part = ast_of(state)
        operands += part.operands if isinstance(part, nodes.Logic) and part.operator == operator else [part]
    ast = nodes.Logic("&&" if operator == "&&" else "||", tuple(operands))
    made = join(canvas, states, ast, bool)
    if operator == "||":
        return made
    return RefProxy(replace(made.__wfe_ref__, proves=tuple(proof for state in states for proof in state.proves)))


def _canvas(left: Any, right: Any) -> Canvas:
    state = state_of(left) or state_of(right)
    assert state is not None
    return state.canvas


def _states(*states: RefState | None) -> list[RefState]:
    return [state for state in states if state is not None]


def _show(side: Operand) -> str:
    if side.state is not None:
        return side.state.text
    return unparse(side.ast)


def install() -> None:
    """Puts the operators on `RefProxy`."""
    methods: dict[str, Any] = {"__getattr__": attribute, "__getitem__": item}
    for name, symbol in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
        methods[f"__{name}__"] = _method(compare, symbol)
    for name, symbol in {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}.items():
        methods[f"__{name}__"] = _method(arithmetic, symbol)
        methods[f"__r{name}__"] = _method(arithmetic, symbol, swapped=True)
    for name, symbol in {"and": "&&", "or": "||"}.items():
        methods[f"__{name}__"] = _method(logic, symbol)
        methods[f"__r{name}__"] = _method(logic, symbol, swapped=True)
    for name, method in methods.items():
        setattr(RefProxy, name, method)


def _method(function: Any, symbol: str, *, swapped: bool = False) -> Any:
    if swapped:
        return lambda self, other: function(symbol, other, self)
    return lambda self, other: function(symbol, self, other)


install()
