"""The types of values along the edges of a definition, as JSON Schemas. None: not known, and then nothing is reported.

Pure. Nodes are visited in an order in which each comes after those it depends on, so the types of what an expression
names are known when it is reached, as far as they can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import UNSET

from wfe.core.expressions import Expression, compile_expression, compile_template
from wfe.core.expressions.schemas import element, fits, shapes, union
from wfe.core.expressions.typing import infer
from wfe.core.findings import Findings, did_you_mean
from wfe.core.references import Expected, Site
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Approval,
    Assign,
    Catch,
    Custom,
    Decision,
    Definition,
    DurableCall,
    End,
    Http,
    Loop,
    Map,
    Node,
    Race,
    Schema,
    Set,
    StartWorkflow,
    State,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
)

RUN_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "key": {"type": ["string", "null"]},
        "workflow": {"type": "string"},
        "version": {"type": ["integer", "null"]},
        "started_at": {},
        "scheduled_at": {},
    },
    "required": ["id", "key", "workflow", "version", "started_at", "scheduled_at"],
    "additionalProperties": False,
}
_NULLABLE_TEXT: Schema = {"type": ["string", "null"]}
ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "failed": {"type": "boolean"},
        "type": _NULLABLE_TEXT,
        "message": _NULLABLE_TEXT,
        "node": _NULLABLE_TEXT,
        "attempts": {"type": ["integer", "null"]},
    },
    "required": ["failed", "type", "message", "node", "attempts"],
    "additionalProperties": False,
}
"""What a catch block's value looks like."""
_WANTED: dict[Expected, tuple[Schema, str]] = {
    "condition": ({"type": "boolean"}, "a condition must be true or false"),
    "list": ({"type": "array"}, "a list of items is needed"),
    "items": ({"type": ["array", "integer"]}, "a map needs a list of items, or how many"),
    "duration": ({"type": ["string", "number"]}, 'a duration is text such as "2d", or seconds'),
    "time": ({"type": ["string", "number"]}, "a time to sleep until is a timestamp"),
}


class ValueTypes:
    """Knows the type of each name while `core.flow` walks a definition; findings go to ``findings``."""

    def __init__(self, definition: Definition, findings: Findings, *, active: bool) -> None:
        self._definition = definition
        self._findings = findings
        self._active = active
        self._known: dict[str, Schema | None] = {**definition.params, "run": RUN_SCHEMA}
        self._item_results: dict[str, Schema | None] = {}

    # ---- what names are ---------------------------------------------------------------------------------------------

    def node(self, node: Node, where: str) -> None:
        """Books the type of a node's value, and checks it where the definition says what it must be."""
        if not self._active:
            return
        known = self._value_of(node)
        self._known[node.id] = None if node.if_ is not None else known
        if isinstance(node, End):
            self.check_result(node.id, f"{where}.value", node.value)
        if isinstance(node, (Task, Custom)):
            for name in node.params.keys() & node.with_.keys():
                message = f"the argument {name!r} does not fit its schema in params"
                self._check_fit(node.id, f"{where}.with.{name}", node.with_[name], node.params[name], message)

    @contextmanager
    def inside(self, node: Map | Loop) -> Iterator[None]:
        """Within this context the item of a map or loop has its type."""
        outer = dict(self._known)
        if node.items is not None:
            self._known[node.as_] = self._element(node.items)
        if isinstance(node, Loop) and node.index:
            self._known[node.index] = {"type": "integer"}
        yield
        for name in (node.as_, getattr(node, "index", "")):
            self._known[name] = outer.get(name)

    def _element(self, items: str) -> Schema | None:
        """The type of an item; a whole number stands for so many numbers."""
        found = shapes(self._expression(items), self._definition.types) if self._active else None
        kinds = {shape.type for shape in found or ()}
        if kinds == {"integer"}:
            return {"type": "integer"}
        return union(element(shape) for shape in found or () if shape.type == "array") if kinds == {"array"} else None

    def body(self, node: Map) -> None:
        """Books the type of one result of a map, while the names of its body are known."""
        if not self._active:
            return
        if node.output is not UNSET:
            self._item_results[node.id] = self.template(node.output)
        elif node.do:
            self._item_results[node.id] = self._known.get(node.do[-1].id)

    def _value_of(self, node: Node) -> Schema | None:  # noqa: PLR0911 - one line per kind
        match node:
            case Task() | SubWorkflow() | Custom() | DurableCall():
                return node.returns
            case Http():
                return _response(node)
            case WaitSignal():
                if node.default is UNSET:
                    return node.schema
                late = self.template(node.default)
                return None if node.schema is None or late is None else {"anyOf": [node.schema, late]}
            case StartWorkflow():
                return {"type": "string"}
            case Set():
                return self.template(node.value)
            case State():
                return widened(self.template(node.value))
            case Decision():
                return {"enum": list(node.cases)} if node.cases else None
            case Approval():
                return _decision(node)
            case Catch():
                return ERROR_SCHEMA
            case Race():
                return _object({"winner": {"enum": [child.id for child in node.do]}})
            case Map():
                return self._map_value(node)
            case Transform():
                return self._transform(node)
            case _:
                return None

    def _map_value(self, node: Map) -> Schema:
        result = self._item_results.get(node.id)
        results: Schema = {"type": "array"} if result is None else {"type": "array", "items": result}
        if node.tolerate_count is None and node.tolerate_percent is None:
            return results
        indexes = {"type": "array", "items": {"type": "integer"}}
        return _object({"values": results, "indexes": indexes, "errors": {"type": "array"}})

    def _transform(self, node: Transform) -> Schema | None:
        if node.reduce is not None:
            return None
        item = None if node.map is not None or node.enrich else self._element(node.items)
        return {"type": "array"} if item is None else {"type": "array", "items": item}

    # ---- what expressions give --------------------------------------------------------------------------------------

    def site(self, node: str | None, site: Site) -> None:
        """Checks the operations inside an expression, and that it gives what its place needs."""
        if not self._active:
            return
        expressions = (site.what,) if isinstance(site.what, Expression) else site.what.expressions

        def lookup(name: str) -> Schema | None:
            return None if name in site.bound else self._known.get(name)

        for expression in expressions:
            result, problems = infer(expression.ast, lookup, self._definition.types)
            for problem in problems:
                self._findings.error(node, site.where, problem.message, problem.suggestion)
            if site.expected in _WANTED and not problems:
                wanted, rule = _WANTED[site.expected]
                misfit = fits(result, wanted, self._definition.types)
                if misfit is not None:
                    self._findings.error(node, site.where, f"{rule}: {misfit}")

    def check_result(self, node: str | None, where: str, value: Any) -> None:
        """Checks a value that the run may end with against the declared result."""
        if self._active and self._definition.returns is not None:
            message = "the result does not fit returns"
            self._check_fit(node, where, value, self._definition.returns, message)

    def check_assign(self, node: Assign, where: str) -> None:
        """Checks what a state gets against what it holds."""
        state = self._known.get(node.state)
        if not self._active or state is None:
            return
        if node.value is not UNSET:
            self._check_fit(node.id, f"{where}.value", node.value, state, f"it does not fit the state {node.state!r}")
        known = state.get("properties", {})
        for name, value in node.fields.items():
            if name in known:
                message = f"it does not fit {node.state}.{name}"
                self._check_fit(node.id, f"{where}.set.{name}", value, known[name], message)
            elif (hint := did_you_mean(name, known)) is not None:
                message = f"the state {node.state!r} begins without a field {name!r}"
                self._findings.warning(node.id, f"{where}.set.{name}", message, hint)

    def _check_fit(self, node: str | None, where: str, value: Any, target: Schema, message: str) -> None:
        misfit = fits(self.template(value), target, self._definition.types)
        if misfit is not None:
            self._findings.error(node, where, f"{message}: {misfit}")

    def _expression(self, text: str) -> Schema | None:
        try:
            return infer(compile_expression(text).ast, self._known.get, self._definition.types)[0]
        except ExpressionError:
            return None

    def template(self, value: Any) -> Schema | None:
        """The type of a template's value."""
        match value:
            case str():
                return self._text(value)
            case dict():
                members = {str(name): self.template(member) for name, member in value.items()}
                return {
                    "type": "object",
                    "properties": {name: member or {} for name, member in members.items()},
                    "required": list(members),
                    "additionalProperties": False,
                }
            case list() | tuple():
                return {"type": "array", "prefixItems": [self.template(item) or {} for item in value], "items": False}
            case None | bool() | int() | float():
                return {"const": value}
            case _:
                return None

    def _text(self, value: str) -> Schema | None:
        try:
            compiled = compile_template(value)
        except ExpressionError:
            return None
        if compiled.constant:
            return {"const": compiled.evaluate(_no_names)}
        if len(compiled.expressions) == 1 and value == "${" + compiled.expressions[0].text + "}":
            return infer(compiled.expressions[0].ast, self._known.get, self._definition.types)[0]
        return {"type": "string"}


def _object(properties: dict[str, Schema]) -> Schema:
    """An object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _response(node: Http) -> Schema:
    body = {} if node.returns is None else node.returns
    return _object({"status": {"type": "integer"}, "headers": {"type": "object"}, "body": body})


def _decision(node: Approval) -> Schema:
    """What a person says; what is optional is null when it was left out."""
    data = {} if node.form is None else {"anyOf": [node.form, {"type": "null"}]}
    return _object(
        {"approved": {"type": "boolean"}, "by": {"type": "string"}, "comment": {"type": "string"}, "data": data}
    )


def widened(schema: Schema | None) -> Schema | None:
    """The type of a value that may change: what it is now says what kind of value it holds, not which one."""
    if schema is None:
        return None
    if "const" in schema:
        return _KIND_OF.get(type(schema["const"]))
    if isinstance(schema.get("properties"), dict):
        members = {name: widened(member) or {} for name, member in schema["properties"].items()}
        return {"type": "object", "properties": members, "required": list(members), "additionalProperties": True}
    if "prefixItems" in schema:
        return {"type": "array"}
    return schema


_KIND_OF: dict[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "number"},
    float: {"type": "number"},
    str: {"type": "string"},
}
"""Nothing is said of null: any value may follow."""


def _no_names(name: str) -> object:
    raise AssertionError(f"a constant template named {name!r}")
