"""Types of expressions before they run: from the JSON Schemas of root names to the schema of the result.

Pure. `infer` reports only what is certain to fail, or to be always the same; None is a type that is not known, and
nothing is reported about it. Text with a format (dates and the like) is unknown to operators, because such values may
arrive as times.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wfe.core.expressions import nodes as ast
from wfe.core.expressions.schemas import (
    NUMERIC,
    Defs,
    Schema,
    Shape,
    Unlisted,
    describe,
    element,
    fits,
    member,
    same_type,
    shapes,
    union,
    values_of,
)
from wfe.core.expressions.signatures import SIGNATURES

__all__ = ["Finding", "fits", "infer"]

_BOOLEAN: Schema = {"type": "boolean"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_STRING: Schema = {"type": "string"}
_TIMES: dict[str, Schema] = {
    "now": {"type": "string", "format": "date-time"},
    "timestamp": {"type": "string", "format": "date-time"},
    "duration": _STRING,
    "bytes": _STRING,
}
"""What time values and bytes become when they leave; inside an expression they are none of these."""
_LITERAL_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A certain mistake. ``position`` is the offset in the text of the expression; ``suggestion`` a way out, if any."""

    message: str
    position: int
    suggestion: str | None = None


def infer(tree: ast.Node, types: Callable[[str], Schema | None], defs: Defs) -> tuple[Schema | None, list[Finding]]:
    """The schema of an expression's value (None: unknown) and its certain mistakes.

    ``types``: the schema of a root name; ``defs``: what ``{"$ref": "#/types/Order"}`` refers to.
    """
    inference = _Inference(types, defs)
    result = inference.of(tree)
    if isinstance(tree, ast.Call) and tree.target is None:
        result = _TIMES.get(tree.function, result)
    return result, inference.findings


class _Inference:
    def __init__(self, types: Callable[[str], Schema | None], defs: Defs) -> None:
        self.types, self.defs = types, defs
        self.variables: dict[str, Schema | None] = {}
        self.findings: list[Finding] = []

    def of(self, node: ast.Node) -> Schema | None:  # noqa: PLR0911 - one line per class
        match node:
            case ast.Literal(value):
                kind = _LITERAL_TYPES.get(type(value))
                return {"type": kind, "const": value} if kind else None
            case ast.Name(name):
                return self.variables[name] if name in self.variables else self.types(name)
            case ast.Field(target, name):
                return self._field(self.of(target), name, node.position)
            case ast.Index():
                return self._index(node)
            case ast.Call():
                return self._call(node)
            case ast.Has(operand):
                self.of(operand)
                return _BOOLEAN
            case ast.Unary(operator, operand):
                return self._unary(operator, self.of(operand), node.position)
            case ast.Binary(operator, left, right):
                return self._binary(operator, self.of(left), self.of(right), node.position)
            case ast.Logic(operator, operands):
                for operand in operands:
                    self._boolean(operator, self.of(operand), operand.position)
                return _BOOLEAN
            case ast.Conditional(condition, then, otherwise):
                self._boolean("?:", self.of(condition), condition.position)
                return union([self.of(then), self.of(otherwise)])
            case ast.ListExpr(items):
                return {"type": "array", "prefixItems": [self.of(item) or {} for item in items], "items": False}
            case ast.MapExpr(entries):
                return self._map(entries)
            case ast.Comprehension():
                return self._comprehension(node)

    def _report(self, message: str, position: int, suggestion: str | None = None) -> None:
        self.findings.append(Finding(message, position, suggestion))

    def _shapes(self, schema: Schema | None) -> tuple[Shape, ...] | None:
        """As operators see a value: text with a format may be a time, so it is unknown."""
        found = shapes(schema, self.defs)
        if found is None or any(shape.type == "string" and "format" in shape.schema for shape in found):
            return None
        return found

    def _kinds(self, schema: Schema | None) -> list[str] | None:
        found = self._shapes(schema)
        return None if found is None else list(dict.fromkeys(shape.type for shape in found))

    # ---- paths ------------------------------------------------------------------------------------------------------

    def _field(self, target: Schema | None, name: str, position: int) -> Schema | None:
        found = self._shapes(target)
        if found is None:
            return None
        objects = [shape for shape in found if shape.type == "object"]
        if not objects:
            self._report(f"{describe(shape.type for shape in found)} has no field {name!r}", position)
            return None
        results: list[Schema | None] = []
        for shape in objects:
            try:
                results.append(member(shape, name))
            except Unlisted:
                continue
        if not results:
            listed = [field for shape in objects for field in shape.schema.get("properties", ())]
            self._report(f"there is no field {name!r}", position, _closest(name, listed))
        return union(results)

    def _index(self, node: ast.Index) -> Schema | None:
        target, key = self.of(node.target), self.of(node.key)
        found = self._shapes(target)
        if found is None:
            return None
        if not any(shape.type in ("array", "object") for shape in found):
            self._report(f"{describe(shape.type for shape in found)} cannot be indexed", node.position)
            return None
        arrays = [shape for shape in found if shape.type == "array"]
        if not arrays:
            if isinstance(node.key, ast.Literal) and isinstance(node.key.value, str):
                return self._field(target, node.key.value, node.position)
            return None
        kinds = self._kinds(key)
        if len(arrays) == len(found) and kinds is not None and not NUMERIC.intersection(kinds):
            self._report(f"a list is indexed by integer, not by {describe(kinds)}", node.position)
            return None
        return self._element(arrays, node) if len(arrays) == len(found) else None

    def _element(self, arrays: list[Shape], node: ast.Index) -> Schema | None:
        index = node.key.value if isinstance(node.key, ast.Literal) and type(node.key.value) is int else None
        if index is not None and index < 0:
            self._report(f"a list has no index {index}", node.position, "last(x) is the last element")
            return None
        results: list[Schema | None] = []
        for shape in arrays:
            try:
                results.append(element(shape, index))
            except Unlisted:
                continue
        if not results:
            self._report(f"the index {index} is outside the list", node.position)
        return union(results)

    # ---- operators --------------------------------------------------------------------------------------------------

    def _boolean(self, operator: str, operand: Schema | None, position: int) -> None:
        kinds = self._kinds(operand)
        if kinds is not None and "boolean" not in kinds:
            self._report(f"{operator!r} needs true or false, not {describe(kinds)}", position)

    def _unary(self, operator: str, operand: Schema | None, position: int) -> Schema | None:
        if operator == "!":
            self._boolean("!", operand, position)
            return _BOOLEAN
        kinds = self._kinds(operand)
        if kinds is None:
            return None
        if not NUMERIC.intersection(kinds):
            self._report(f"'-' cannot negate {describe(kinds)}", position)
        return _INTEGER if kinds == ["integer"] else _NUMBER

    def _binary(self, operator: str, left: Schema | None, right: Schema | None, position: int) -> Schema | None:
        if operator in ("==", "!="):
            self._equality(operator, left, right, position)
            return _BOOLEAN
        if operator == "in":
            kinds = self._kinds(right)
            if kinds is not None and not {"array", "object"}.intersection(kinds):
                hint = "use contains() for text" if "string" in kinds else None
                self._report(f"'in' needs a list or a map, not {describe(kinds)}", position, hint)
            return _BOOLEAN
        have, other = self._kinds(left), self._kinds(right)
        if have is None or other is None:
            return _BOOLEAN if operator in ("<", "<=", ">", ">=") else None
        results = {_combine(operator, a, b) for a in have for b in other} - {None}
        if not results:
            hint = "convert with string()" if operator == "+" and "string" in {*have, *other} else None
            self._report(f"{operator!r} cannot combine {describe(have)} and {describe(other)}", position, hint)
            return None
        if results == {"array"}:
            return self._joined(left, right)
        return {"type": str(results.pop())} if len(results) == 1 else None

    def _equality(self, operator: str, left: Schema | None, right: Schema | None, position: int) -> None:
        have, other = self._shapes(left), self._shapes(right)
        if have is None or other is None or any(_may_equal(a, b) for a in have for b in other):
            return
        verdict = "false" if operator == "==" else "true"
        for one, many in ((have[0], other), (other[0], have)):
            allowed = [value for shape in many for value in values_of(shape) or ()]
            if "const" in one.schema and allowed and any(same_type(one.type, shape.type) for shape in many):
                value, names = one.schema["const"], [text for text in allowed if isinstance(text, str)]
                message = f"{value!r} is not one of {', '.join(map(repr, allowed[:6]))}: always {verdict}"
                self._report(message, position, _closest(str(value), names))
                return
        kinds = f"{describe(shape.type for shape in have)} {operator} {describe(shape.type for shape in other)}"
        self._report(f"{kinds} is always {verdict}", position)

    def _joined(self, left: Schema | None, right: Schema | None) -> Schema:
        parts = [
            element(shape) for side in (left, right) for shape in self._shapes(side) or () if shape.type == "array"
        ]
        items = union(parts)
        return {"type": "array"} if items is None else {"type": "array", "items": items}

    # ---- calls, maps and comprehensions -----------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Schema | None:
        whole = node.arguments if node.target is None else (node.target, *node.arguments)
        arguments = [self.of(argument) for argument in whole]
        signature = SIGNATURES[node.function]
        for argument, takes in zip(arguments, signature.takes, strict=False):
            kinds = self._kinds(argument)
            if takes and kinds is not None and not any(same_type(a, b) for a in kinds for b in takes.split()):
                self._report(f"{node.function}() cannot take {describe(kinds)}", node.position)
        return self._result(node.function, arguments, signature.gives)

    def _result(self, function: str, arguments: list[Schema | None], gives: str) -> Schema | None:
        match function:
            case "merge":
                return union(arguments)
            case "min" | "max" if len(arguments) > 1:
                return union(arguments)
            case "first" | "last" | "min" | "max":
                return self._item(arguments[0])
            case "sum":
                kinds = self._kinds(self._item(arguments[0]))
                return {"integer": _INTEGER, "number": _NUMBER}.get(kinds[0]) if kinds and len(kinds) == 1 else None
            case "abs":
                kinds = self._kinds(arguments[0])
                return {"type": kinds[0]} if kinds in (["integer"], ["number"]) else None
            case "round":
                return _INTEGER if len(arguments) == 1 else _NUMBER
            case "split":
                return {"type": "array", "items": _STRING}
            case _:
                return {"type": gives} if gives else None

    def _item(self, schema: Schema | None) -> Schema | None:
        """The schema of the elements of a list, as far as they are known."""
        found = self._shapes(schema)
        arrays = [shape for shape in found or () if shape.type == "array"]
        return union(element(shape) for shape in arrays) if arrays else None

    def _map(self, entries: tuple[tuple[ast.Node, ast.Node], ...]) -> Schema:
        members: Schema = {}
        for key, value in entries:
            self.of(key)
            found = self.of(value)
            if isinstance(key, ast.Literal):
                members[key.value if isinstance(key.value, str) else str(key.value)] = found or {}
        if len(members) < len(entries):
            return {"type": "object"}
        return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}

    def _comprehension(self, node: ast.Comprehension) -> Schema | None:
        target = self.of(node.target)
        found = self._shapes(target)
        if found is not None and not any(shape.type in ("array", "object") for shape in found):
            self._report(f"{node.macro}() goes over lists and maps, not over {describe(_types(found))}", node.position)
            found = None
        keys = [_STRING for shape in found or () if shape.type == "object"]
        item = union([*keys, *(element(shape) for shape in found or () if shape.type == "array")])
        outer = self.variables
        self.variables = {**outer, node.variable: item}
        condition = None if node.condition is None else self.of(node.condition)
        body = self.of(node.body)
        self.variables = outer
        if node.condition is not None:
            self._boolean(node.macro, condition, node.condition.position)
        if node.macro == "map":
            return {"type": "array", "items": body or {}}
        self._boolean(node.macro, body, node.body.position)
        if node.macro == "filter":
            return {"type": "array", "items": item or {}}
        return _BOOLEAN


def _types(found: Iterable[Shape]) -> list[str]:
    return [shape.type for shape in found]


def _combine(operator: str, left: str, right: str) -> str | None:
    """The type of a result of two types, or None when the operator cannot take them."""
    numbers = left in NUMERIC and right in NUMERIC
    if operator in ("<", "<=", ">", ">="):
        return "boolean" if numbers or (left == right and left in ("string", "boolean")) else None
    if numbers:
        return "integer" if operator == "%" or left == right == "integer" else "number"
    return left if operator == "+" and left == right and left in ("string", "array") else None


def _may_equal(left: Shape, right: Shape) -> bool:
    if not same_type(left.type, right.type):
        return False
    have, other = values_of(left), values_of(right)
    return have is None or other is None or any(value in other for value in have)


def _closest(name: str, names: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(names)[:500], 1)
    return f"did you mean {close[0]!r}?" if close else None
