"""JSON Schema (2020-12): compiling, checking values, and the schema of a run's input.

Pure. A ``$ref`` may only name an entry of the definition's ``types`` (``#/types/Order``): nothing is ever fetched, and
patterns run on a linear-time engine, so that a schema from outside can neither reach the network nor stall a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import msgspec
from msgspec import UNSET, UnsetType

from wfe.limits import DEFINITION_DEPTH_MAX
from wfe.model.definition import Definition, Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPE_NAMES = ("string", "integer", "number", "boolean", "array", "object", "null")
REF_PREFIX = "#/types/"
_MESSAGE_CHARS_MAX = 500
_REGEX = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
_REFUSED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor")
_IN_PLACE_ONE = ("not", "if", "then", "else")
_IN_PLACE_MANY = ("allOf", "anyOf", "oneOf")
_INNER_ONE = (
    "additionalProperties",
    "items",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
)
_INNER_NAMED = ("properties", "patternProperties", "$defs")


class SchemaValidator:
    """A compiled schema. Immutable and shared: get one from `compile_schema`."""

    __slots__ = ("_validator",)

    def __init__(self, schema: Schema, types: Mapping[str, Schema]) -> None:
        root = {**schema, "types": dict(types)} if types else schema
        self._validator = jsonschema_rs.Draft202012Validator(root, retriever=_refuse, pattern_options=_REGEX)

    def check(self, value: Any) -> tuple[str, str] | None:
        """None when the value fits, else (path, message); the path is like ``$.items[3].price``."""
        try:
            if self._validator.is_valid(value):
                return None
            error = next(iter(self._validator.iter_errors(value)), None)
        except ValueError as problem:  # a value that JSON does not have, such as bytes
            return "$", _short(str(problem))
        if error is None:
            return "$", "does not fit its schema"
        return value_path(error.instance_path), _short(error.message)


def compile_schema(schema: Schema, types: Mapping[str, Schema] | None = None) -> SchemaValidator:
    """A validator, cached by content. Raises ValueError for a schema that is none (see `schema_problems`)."""
    return _compile(msgspec.json.encode((schema, types or {}), order="sorted"))


@lru_cache(maxsize=1024)
def _compile(key: bytes) -> SchemaValidator:
    schema, types = msgspec.json.decode(key)
    return SchemaValidator(schema, types)


def schema_problems(schema: Any, types: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why this is not a schema that wfe takes: (path, message) pairs, the path relative to the schema ("" = itself)."""
    if not isinstance(schema, dict):
        return [("", f"a JSON Schema is an object, not {_kind_of(schema)}")]
    problems: list[tuple[str, str]] = []
    for path, depth, part in _subschemas(schema):
        if depth > DEFINITION_DEPTH_MAX:
            return [(path, f"the schema is nested deeper than {DEFINITION_DEPTH_MAX} levels")]
        problems += [(_join(path, key), message) for key, message in _reference_problems(part, types)]
    if problems:
        return problems
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
    except (jsonschema_rs.ValidationError, ValueError) as error:
        return [(_inside(error), _short(getattr(error, "message", str(error))))]
    if any(name not in types or not isinstance(types[name], dict) for name in references(schema)):
        return []
    try:
        compile_schema(schema, {name: types[name] for name in _reachable(schema, types)})
    except (ValueError, RecursionError) as error:
        return [(_inside(error), _short(getattr(error, "message", str(error))))]
    return []


def reference_cycle(types: Mapping[str, Any]) -> list[str] | None:
    """Names of types that refer to each other with nothing in between, so that checking a value would never end."""
    edges = {name: _in_place_references(schema) for name, schema in types.items()}
    done: set[str] = set()
    for start, first in edges.items():
        trail: list[str] = []
        stack: list[Iterator[str]] = []
        if start not in done:
            stack.append(iter(first))
            trail.append(start)
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                done.add(trail.pop())
            elif following in trail:
                return trail[trail.index(following) :]
            elif following in edges and following not in done:
                stack.append(iter(edges[following]))
                trail.append(following)
    return None


def references(schema: Any) -> set[str]:
    """Names of the ``types`` that a schema refers to, anywhere inside."""
    return {
        part["$ref"][len(REF_PREFIX) :]
        for _, _, part in _subschemas(schema)
        if isinstance(part.get("$ref"), str) and part["$ref"].startswith(REF_PREFIX)
    }


def subschemas(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, schema) of a schema and those inside it."""
    for path, _, part in _subschemas(schema):
        yield path, part


def input_schema(definition: Definition) -> Schema:
    """The schema of a run's input, after `apply_defaults`; its references point into the definition's ``types``.

    No parameter: null. One: its schema. Several: an object by name, closed, those without a default required.
    """
    params = definition.params
    if not params:
        return {"type": "null"}
    if len(params) == 1:
        return next(iter(params.values()))
    schema: Schema = {"type": "object", "properties": dict(params), "additionalProperties": False}
    required = [name for name, param in params.items() if "default" not in param]
    return {**schema, "required": required} if required else schema


def apply_defaults(definition: Definition, value: Any | UnsetType = UNSET) -> Any:
    """The input with the parameters' defaults filled in; what is given stays as it is.

    With no parameter an empty object is no input, too. With one parameter its default stands in for an input that is
    absent, or null where null does not fit. With several it stands in for a missing member. Defaults inside a
    parameter's schema are annotations, as in JSON Schema.
    """
    params = definition.params
    if len(params) == 1:
        (schema,) = params.values()
        if "default" in schema and (
            value is UNSET or (value is None and compile_schema(schema, definition.types).check(None))
        ):
            return schema["default"]
    elif not params and value == {}:
        return None  # an object that names no parameter
    elif params and (value is UNSET or value is None or isinstance(value, dict)):
        given = value if isinstance(value, dict) else {}
        missing = {name: s["default"] for name, s in params.items() if "default" in s and name not in given}
        if missing or value is UNSET:
            return {**given, **missing}
    return None if value is UNSET else value


def check_input(definition: Definition, value: Any) -> tuple[str, str] | None:
    """Whether an input fits, defaults applied already: None, or (path, message)."""
    return compile_schema(input_schema(definition), definition.types).check(value)


def value_path(parts: list[str | int]) -> str:
    """``["items", 3, "price"]`` as ``$.items[3].price``."""
    path = "$"
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if part.isidentifier() else f"[{part!r}]"
    return path


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f'{uri!r} cannot be fetched: a $ref names an entry of types, such as "{REF_PREFIX}Order"')


def _subschemas(schema: Any, *, in_place: bool = False) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(path, depth, schema) of a schema and those inside it; ``in_place``: only those that see the same value."""
    stack: list[tuple[str, int, Any]] = [("", 0, schema)]
    while stack:
        path, depth, part = stack.pop()
        if not isinstance(part, dict):
            continue
        yield path, depth, part
        if depth > DEFINITION_DEPTH_MAX:
            continue
        named = ("dependentSchemas",) if in_place else ("dependentSchemas", *_INNER_NAMED)
        single = _IN_PLACE_ONE if in_place else _IN_PLACE_ONE + _INNER_ONE
        several = _IN_PLACE_MANY if in_place else (*_IN_PLACE_MANY, "prefixItems")
        for key in single:
            if key in part:
                stack.append((_join(path, key), depth + 1, part[key]))
        for key in several:
            if isinstance(part.get(key), list):
                stack += [(f"{_join(path, key)}[{i}]", depth + 1, inner) for i, inner in enumerate(part[key])]
        for key in named:
            if isinstance(part.get(key), dict):
                stack += [(_join(_join(path, key), str(name)), depth + 1, inner) for name, inner in part[key].items()]


def _reference_problems(part: dict[str, Any], types: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in _REFUSED:
        if key in part:
            yield key, f"{key} is not supported; a reference names an entry of types"
    if part.get("$schema", DIALECT) not in (DIALECT, DIALECT + "#"):
        yield "$schema", f"only the 2020-12 dialect is supported ({DIALECT})"
    ref = part.get("$ref")
    if ref is None:
        return
    if not isinstance(ref, str) or not ref.startswith(REF_PREFIX):
        yield "$ref", f'a $ref names an entry of types, such as "{REF_PREFIX}Order", not {ref!r}'
    elif ref[len(REF_PREFIX) :] not in types:
        known = ", ".join(sorted(types)) or "none"
        yield "$ref", f"there is no type {ref[len(REF_PREFIX) :]!r} in types (known: {known})"


def _in_place_references(schema: Any) -> list[str]:
    refs = (part.get("$ref") for _, _, part in _subschemas(schema, in_place=True))
    return [ref[len(REF_PREFIX) :] for ref in refs if isinstance(ref, str) and ref.startswith(REF_PREFIX)]


def _reachable(schema: Any, types: Mapping[str, Any]) -> set[str]:
    seen: set[str] = set()
    todo = references(schema)
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= {other for other in references(types[name]) if other in types} - seen
    return seen


def _inside(error: Exception) -> str:
    """The place in a schema that an error of the library is about; "" when it is in one of the types."""
    path = getattr(error, "instance_path", [])
    return "" if path[:1] == ["types"] else value_path(path).removeprefix("$").removeprefix(".")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _short(message: str) -> str:
    first = message.split("\n\nFailed validating", 1)[0]
    return first if len(first) <= _MESSAGE_CHARS_MAX else first[: _MESSAGE_CHARS_MAX - 3] + "..."


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
    return type(value).__name__
