"""How each sort of value is written in YAML: reading it from a tree, writing it, and its JSON Schema, side by side.

A `Form` is one sort of value (a duration, an expression, a schema, ...). The reader, the writer and the schema for
editors are all made from forms, so they cannot drift apart. Reading raises `Misread` with the place of the mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from wfe.authoring.yaml_tree import Mapping, Mark, Scalar, Sequence, Tree, to_value
from wfe.core.findings import did_you_mean
from wfe.core.schemas import REF_PREFIX, TYPE_NAMES
from wfe.model.definition import Node, Schema
from wfe.model.durations import DurationError, format_duration, parse_duration
from wfe.model.policy import RetryPolicy

JsonSchema = dict[str, Any]


class Misread(Exception):
    """A value that is not of its form; ``message`` says what is wanted."""

    def __init__(self, message: str, mark: Mark) -> None:
        self.message, self.mark = message, mark
        super().__init__(message)


class Context(Protocol):
    """What reading a value may need from the document around it."""

    types: frozenset[str]

    def place(self, where: str, mark: Mark) -> None:
        """Notes where a part of the definition stands."""

    def nodes(self, tree: Tree, where: str) -> tuple[Node, ...]:
        """Reads a block."""

    def problem(self, mark: Mark, message: str, suggestion: str | None = None) -> None:
        """Reports a mistake and goes on."""


@dataclass(frozen=True, slots=True)
class Form:
    """One sort of value. ``read(context, tree, where)``; ``write(value)`` gives plain data."""

    read: Callable[[Context, Tree, str], Any]
    write: Callable[[Any], Any]
    schema: JsonSchema


def describe(tree: Tree) -> str:
    """What was found, for messages."""
    match tree:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(None):
            return "nothing"
        case Scalar(str(text)):
            return f"the text {text[:60]!r}"
        case Scalar(bool(value)):
            return "true" if value else "false"
        case Scalar(value):
            return f"the number {value}"


def _same(value: Any) -> Any:
    return value


# ---- scalars -------------------------------------------------------------------------------------------------------


def _text(wanted: str) -> Callable[[Context, Tree, str], str]:
    def read(_: Context, tree: Tree, __: str) -> str:
        if isinstance(tree, Scalar) and isinstance(tree.value, str):
            return tree.value
        hint = "; put it in quotes" if isinstance(tree, Scalar) and tree.value is not None else ""
        raise Misread(f"{wanted} is text, not {describe(tree)}{hint}", tree.mark)

    return read


def text(wanted: str, **schema: Any) -> Form:
    """Plain text."""
    return Form(_text(wanted), _same, {"type": "string", **schema})


def whole(wanted: str, least: int | None = None) -> Form:
    """A whole number; its upper bound is validation's business."""

    def read(_: Context, tree: Tree, __: str) -> int:
        if not isinstance(tree, Scalar) or not isinstance(tree.value, int) or isinstance(tree.value, bool):
            raise Misread(f"{wanted} is a whole number, not {describe(tree)}", tree.mark)
        if least is not None and tree.value < least:
            raise Misread(f"{wanted} is at least {least}, not {tree.value}", tree.mark)
        return tree.value

    return Form(read, _same, {"type": "integer"} if least is None else {"type": "integer", "minimum": least})


def _read_number(_: Context, tree: Tree, __: str) -> float:
    if not isinstance(tree, Scalar) or not isinstance(tree.value, int | float) or isinstance(tree.value, bool):
        raise Misread(f"a number is wanted, not {describe(tree)}", tree.mark)
    return float(tree.value)


def _write_number(value: float) -> float:
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def _read_flag(_: Context, tree: Tree, __: str) -> bool:
    if not isinstance(tree, Scalar) or not isinstance(tree.value, bool):
        raise Misread(f"true or false is wanted, not {describe(tree)}", tree.mark)
    return tree.value


def _read_duration(_: Context, tree: Tree, __: str) -> int:
    if not isinstance(tree, Scalar):
        raise Misread(f'a duration is text such as "30s", not {describe(tree)}', tree.mark)
    try:
        return parse_duration(tree.value)
    except DurationError as error:
        raise Misread(str(error), tree.mark) from None


def _read_expression(_: Context, tree: Tree, __: str) -> str:
    if isinstance(tree, Scalar) and isinstance(tree.value, bool):
        return "true" if tree.value else "false"
    if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
        raise Misread(f"an expression is text, not {describe(tree)}; put it in quotes", tree.mark)
    if re.fullmatch(r"\s*\$\{.*\}\s*", tree.value, re.DOTALL):
        raise Misread("a bare expression is wanted here: leave out ${ and }", tree.mark)
    return tree.value


def _write_expression(value: str) -> Any:
    return {"true": True, "false": False}.get(value, value)


NUMBER = Form(_read_number, _write_number, {"type": "number"})
FLAG = Form(_read_flag, _same, {"type": "boolean"})
DURATION = Form(_read_duration, format_duration, {"$ref": "#/$defs/duration"})
EXPRESSION = Form(_read_expression, _write_expression, {"$ref": "#/$defs/expression"})


def optional(form: Form) -> Form:
    """The same, or null for none."""

    def read(context: Context, tree: Tree, where: str) -> Any:
        return None if isinstance(tree, Scalar) and tree.value is None else form.read(context, tree, where)

    def write(value: Any) -> Any:
        return None if value is None else form.write(value)

    return Form(read, write, {"anyOf": [form.schema, {"type": "null"}]})


def names(wanted: str) -> Form:
    """A list of names, or one name on its own."""
    one = _text(wanted)

    def read(context: Context, tree: Tree, where: str) -> tuple[str, ...]:
        if isinstance(tree, Sequence):
            return tuple(one(context, item, where) for item in tree.items)
        return (one(context, tree, where),)

    items = {"type": "array", "items": {"type": "string"}}
    return Form(read, list, {"anyOf": [items, {"type": "string"}]})


# ---- values with parts ---------------------------------------------------------------------------------------------


def mapping_of(context: Context, tree: Tree, wanted: str, where: str) -> Mapping:
    """The tree as a mapping, its parts noted."""
    if not isinstance(tree, Mapping):
        raise Misread(f"{wanted} is a mapping, not {describe(tree)}", tree.mark)
    for key, entry in tree.entries.items():
        context.place(f"{where}.{key}", entry.mark)
    return tree


def _read_template(context: Context, tree: Tree, where: str) -> Any:
    todo: list[tuple[Tree, str]] = [(tree, where)]
    while todo:
        part, path = todo.pop()
        context.place(path, part.mark)
        if isinstance(part, Mapping):
            todo += [(entry, f"{path}.{key}") for key, entry in part.entries.items()]
    return to_value(tree)


def _read_templates(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    mapping_of(context, tree, "this", where)
    value = _read_template(context, tree, where)
    assert isinstance(value, dict)
    return value


TEMPLATE = Form(_read_template, _same, {"$ref": "#/$defs/template"})
TEMPLATES = Form(_read_templates, _same, {"type": "object", "additionalProperties": {"$ref": "#/$defs/template"}})


def _read_schema(context: Context, tree: Tree, where: str) -> Schema:
    if isinstance(tree, Mapping):
        return _read_templates(context, tree, where)
    if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
        message = "a type is a JSON Schema, the name of a JSON type, or a name in types"
        raise Misread(f"{message}, not {describe(tree)}", tree.mark)
    if tree.value in TYPE_NAMES:
        return {"type": tree.value}
    if tree.value in context.types:
        return {"$ref": REF_PREFIX + tree.value}
    hint = did_you_mean(tree.value, [*TYPE_NAMES, *sorted(context.types)])
    known = "a JSON type (" + ", ".join(TYPE_NAMES) + ") or a name in types"
    raise Misread(f"unknown type {tree.value!r}; " + (hint or f"it is {known}"), tree.mark)


def _write_schema(schema: Schema) -> Any:
    if len(schema) == 1:
        name = schema.get("type")
        if name in TYPE_NAMES:
            return name
        ref = schema.get("$ref")
        if isinstance(ref, str) and ref.startswith(REF_PREFIX) and ref.removeprefix(REF_PREFIX) not in TYPE_NAMES:
            return ref.removeprefix(REF_PREFIX)
    return schema


SCHEMA = Form(_read_schema, _write_schema, {"$ref": "#/$defs/type"})


def _read_schemas(context: Context, tree: Tree, where: str) -> dict[str, Schema]:
    mapping = mapping_of(context, tree, "this", where)
    found: dict[str, Schema] = {}
    for key, entry in mapping.entries.items():
        try:
            found[key] = _read_schema(context, entry, f"{where}.{key}")
        except Misread as error:
            context.problem(error.mark, error.message)
    return found


def _write_schemas(schemas: dict[str, Schema]) -> dict[str, Any]:
    return {name: _write_schema(schema) for name, schema in schemas.items()}


SCHEMAS = Form(_read_schemas, _write_schemas, {"type": "object", "additionalProperties": {"$ref": "#/$defs/type"}})


# ---- retry ---------------------------------------------------------------------------------------------------------

RETRY_KEYS: dict[str, tuple[str, Form]] = {
    "max_attempts": ("max_attempts", optional(whole("max_attempts", 1))),
    "initial_delay": ("initial_delay_ms", DURATION),
    "backoff": ("backoff", NUMBER),
    "max_delay": ("max_delay_ms", DURATION),
    "jitter": ("jitter", NUMBER),
    "on": ("on", names("the name of an error")),
    "never": ("never", names("the name of an error")),
}
"""YAML key -> (field of `RetryPolicy`, form)."""


def _read_retry(context: Context, tree: Tree, where: str) -> RetryPolicy:
    mapping = mapping_of(context, tree, "retry", where)
    fields: dict[str, Any] = {}
    for key, entry in mapping.entries.items():
        if key not in RETRY_KEYS:
            context.problem(mapping.keys[key], f"unknown key {key!r} of retry", did_you_mean(key, RETRY_KEYS))
            continue
        field, form = RETRY_KEYS[key]
        try:
            fields[field] = form.read(context, entry, f"{where}.{key}")
        except Misread as error:
            context.problem(error.mark, error.message)
    return RetryPolicy(**fields)


def _write_retry(retry: RetryPolicy) -> dict[str, Any]:
    default = RetryPolicy()
    return {
        key: form.write(getattr(retry, field))
        for key, (field, form) in RETRY_KEYS.items()
        if getattr(retry, field) != getattr(default, field)
    }


RETRY = Form(_read_retry, _write_retry, {"$ref": "#/$defs/retry"})
NODES = Form(lambda context, tree, where: context.nodes(tree, where), _same, {"$ref": "#/$defs/nodes"})
