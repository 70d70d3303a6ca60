"""Python values that may hold Refs, as templates (``${expression}`` in JSON) and as parts of expressions.

Refs may sit in lists, dicts, tuples, dataclasses, msgspec Structs, NamedTuples and models made by ``wf.make``.
Constants become their JSON form, exactly as `wire.payload` would encode them.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import msgspec

from wfe.authoring.canvas import Canvas
from wfe.authoring.fields import field_names, kind
from wfe.authoring.refs import REPR_MARK, RefProxy, SecretProxy, state_of
from wfe.authoring.states import ast_of
from wfe.core.expressions import nodes
from wfe.core.expressions.unparse import constant as literal_ast
from wfe.errors import ExpressionError, InvalidInput
from wfe.model.definition import Template
from wfe.model.registered import SECRET_KEY
from wfe.wire.payload import to_json_value


def template(canvas: Canvas, value: Any) -> Template:
    """The value as a template; Refs are checked to be usable here. GraphError for what has no JSON form."""
    try:
        return _template(canvas, value)
    except RecursionError as error:
        raise canvas.fail("a value that refers to itself cannot be part of a graph") from error


def _template(canvas: Canvas, value: Any) -> Template:
    state = state_of(value)
    if state is not None:
        return "${" + canvas.expression(state) + "}"
    if isinstance(value, SecretProxy):
        return {SECRET_KEY: value.__wfe_secret__[1]}
    if isinstance(value, dict):
        return {_key(canvas, key): _template(canvas, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_template(canvas, part) for part in value]
    is_object = isinstance(value, msgspec.Struct) or (dataclasses.is_dataclass(value) and not isinstance(value, type))
    if is_object or has_refs(value):
        return _template(canvas, _shallow(value))
    return escape(canvas, constant(canvas, value))


def key_template(canvas: Canvas, value: Any, what: str) -> Template:
    """A key, which is text: GraphError for a value that surely is none."""
    state = state_of(value)
    shown = repr(value) if state is None else state.text
    if kind(type(value) if state is None else state.type) in ("number", "bool", "list", "map", "record", "null"):
        raise canvas.fail(f"{what} takes text, and {shown} is none; use wf.format(...) to make it")
    return template(canvas, value)


def _shallow(value: Any) -> dict[str, Any] | list[Any]:
    """A Struct, dataclass or model as the dict (or list) that it is encoded as; its parts as they are."""
    if not isinstance(value, msgspec.Struct):
        if dataclasses.is_dataclass(value):
            return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        names = field_names(type(value)) or {}
        return {names.get(name, name): part for name, part in value.__dict__.items()}
    config = value.__struct_config__
    parts = {
        encoded: getattr(value, name)
        for name, encoded in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        if getattr(value, name) is not msgspec.UNSET
    }
    tagged = {config.tag_field: config.tag} if config.tag_field is not None else {}
    if config.array_like:
        return [*tagged.values(), *parts.values()]
    return {**tagged, **parts}


def has_refs(value: Any) -> bool:
    """Whether a model (anything with ``model_dump``) has Refs anywhere in its fields."""
    if type(value) in (RefProxy, SecretProxy):
        return True
    if isinstance(value, (list, tuple)):
        return any(has_refs(part) for part in value)
    if isinstance(value, dict):
        return any(has_refs(part) for part in value.values())
    if isinstance(value, msgspec.Struct):
        return any(has_refs(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, type) or not (dataclasses.is_dataclass(value) or hasattr(value, "model_dump")):
        return False
    return any(has_refs(part) for part in getattr(value, "__dict__", {}).values())


def constant(canvas: Canvas, value: Any) -> Any:
    """A value without Refs in its JSON form. GraphError for one that has none."""
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)  # sets have no order, a definition must be the same in every process
    try:
        return to_json_value(value)
    except InvalidInput as error:
        raise canvas.fail(f"not a value for a graph: {error}") from error


def escape(canvas: Canvas, value: Any) -> Template:
    """A JSON value as a template that means exactly it."""
    if isinstance(value, str):
        check_text(canvas, value)
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escape(canvas, part) for part in value]
    if isinstance(value, tuple):
        return [escape(canvas, part) for part in value]
    if isinstance(value, dict):
        return {key: escape(canvas, part) for key, part in value.items()}
    return value


def check_text(canvas: Canvas, text: str) -> None:
    """Text that was made from a Ref's repr is a mistake that no operator could see."""
    if REPR_MARK in text:
        raise canvas.fail(f"the text {text!r} holds a Ref's repr, not its value: use wf.format(...)")


def _key(canvas: Canvas, key: Any) -> str:
    if not isinstance(key, str):
        return str(next(iter(constant(canvas, {key: None}))))
    check_text(canvas, key)
    return key


def constant_ast(canvas: Canvas, value: Any) -> nodes.Node:
    """A Python value, which may hold Refs, as part of an expression."""
    state = state_of(value)
    if state is not None:
        canvas.check_same(state)
        return ast_of(state)
    if isinstance(value, SecretProxy):
        raise canvas.fail("a secret can only be handed to a task, not be part of an expression")
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise canvas.fail(f"{value!r} has no time zone: times in a workflow need one")
        return nodes.Call("timestamp", (nodes.Literal(to_json_value(value)),))
    if isinstance(value, datetime.timedelta):
        micros = value // datetime.timedelta(microseconds=1)
        seconds = f"{micros / 1_000_000:.6f}".rstrip("0").rstrip(".")
        return nodes.Call("duration", (nodes.Literal(f"{seconds}s"),))
    if isinstance(value, (list, tuple)):
        return nodes.ListExpr(tuple(constant_ast(canvas, part) for part in value))
    if isinstance(value, dict):
        return nodes.MapExpr(
            tuple((nodes.Literal(_key(canvas, key)), constant_ast(canvas, part)) for key, part in value.items())
        )
    if has_refs(value):
        return _part_ast(canvas, _shallow(value))
    plain = constant(canvas, value)
    if isinstance(plain, (list, tuple, dict)):
        return constant_ast(canvas, plain)
    if isinstance(plain, str):
        check_text(canvas, plain)
    try:
        return literal_ast(plain)
    except ExpressionError as error:
        raise canvas.fail(str(error)) from error


def _part_ast(canvas: Canvas, value: Any) -> nodes.Node:
    """A part of an object: what has no Refs in it is its JSON form, as in the encoded object, times included."""
    if not has_refs(value):
        return constant_ast(canvas, constant(canvas, value))
    if isinstance(value, (list, tuple)):
        return nodes.ListExpr(tuple(_part_ast(canvas, part) for part in value))
    if isinstance(value, dict):
        return nodes.MapExpr(
            tuple((nodes.Literal(_key(canvas, key)), _part_ast(canvas, part)) for key, part in value.items())
        )
    return constant_ast(canvas, value)


def time_text(canvas: Canvas, value: Any, what: str) -> str:
    """The expression of a point in time that is known while drawing: an aware datetime, or its RFC 3339 text."""
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError as error:
            raise canvas.fail(f"{what}: {value!r} is not a time such as 2026-01-31T08:00:00Z") from error
    if not isinstance(moment, datetime.datetime):
        raise canvas.fail(f"{what} takes a datetime, not {value!r}")
    return canvas.written(constant_ast(canvas, moment))
