"""What JSON Schemas say for certain about values: their types, members and elements, and whether one fits another.

Pure. None stands for "nothing is known", and whatever is not understood is unknown: a report must never be wrong. Only
one thing is stricter than JSON Schema: an object that lists its properties and says nothing of others has no others,
which is what is meant by the schemas of Python types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Schema = dict[str, Any]
Defs = Mapping[str, Schema]

_REF_PREFIXES = ("#/types/", "#/$defs/", "#/definitions/")
_DEPTH_MAX = 24
_SHAPES_MAX = 64
NUMERIC = frozenset({"integer", "number"})
_TYPE_OF = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
_TYPE_OF |= {list: "array", dict: "object"}


class Shape(NamedTuple):
    """One alternative of a schema: a single JSON type, and the schema that says more about it."""

    type: str
    schema: Schema


class Unlisted(Exception):
    """Raised by `member` for a field that an object does not have."""


def shapes(schema: Any, defs: Defs, depth: int = 0) -> tuple[Shape, ...] | None:
    """The alternatives of a schema; None when it may be anything. What is not understood is left out."""
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return None
    if "$ref" in schema:
        return shapes(_target(str(schema["$ref"]), defs), defs, depth + 1)
    if "const" in schema:
        return _of_values((schema["const"],), schema)
    if isinstance(schema.get("enum"), list):
        return _of_values(schema["enum"], schema)
    stated = schema.get("type")
    if isinstance(stated, str):
        return (Shape(stated, schema),)
    if isinstance(stated, list):
        return tuple(Shape(str(one), schema) for one in stated) or None
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return _any_of([shapes(part, defs, depth + 1) for part in schema[key]])
    for part in schema.get("allOf", ()):
        known = shapes(part, defs, depth + 1)
        if known is not None:
            return known
    return None


def _target(reference: str, defs: Defs) -> Schema | None:
    for prefix in _REF_PREFIXES:
        if reference.startswith(prefix):
            return defs.get(reference.removeprefix(prefix))
    return None


def _of_values(values: Iterable[Any], schema: Schema) -> tuple[Shape, ...] | None:
    types = dict.fromkeys(_TYPE_OF.get(type(value)) for value in values)
    return tuple(Shape(one, schema) for one in types if one) if types and None not in types else None


def _any_of(parts: list[tuple[Shape, ...] | None]) -> tuple[Shape, ...] | None:
    found: list[Shape] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return tuple(found) if 0 < len(found) <= _SHAPES_MAX else None


def values_of(shape: Shape) -> list[Any] | None:
    """The only values of this type that the schema allows, if it lists them."""
    listed = [shape.schema["const"]] if "const" in shape.schema else shape.schema.get("enum")
    if not isinstance(listed, list):
        return None
    return [value for value in listed if same_type(_TYPE_OF.get(type(value), ""), shape.type)]


def same_type(one: str, other: str) -> bool:
    """Whether a value can be of both types; an integer is a number, and a number may be whole."""
    return one == other or (one in NUMERIC and other in NUMERIC)


def union(parts: Iterable[Schema | None]) -> Schema | None:
    """The schema of a value that fits one of these."""
    found: list[Schema] = []
    for part in parts:
        if part is None or part == {}:
            return None
        for one in part["anyOf"] if set(part) == {"anyOf"} else [part]:
            if one not in found:
                found.append(one)
    if not found or len(found) > _SHAPES_MAX:
        return None
    return found[0] if len(found) == 1 else {"anyOf": found}


def member(shape: Shape, name: str) -> Schema | None:
    """The schema of a field of an object. Raises `Unlisted` when the object certainly has no such field."""
    schema = shape.schema
    listed = schema.get("properties")
    if isinstance(listed, dict) and name in listed:
        return known(listed[name])
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        return known(others)
    if others is True or "patternProperties" in schema or not isinstance(listed, dict):
        return None
    if name in schema.get("required", ()):
        return None
    if others is False or listed:
        raise Unlisted(name)
    return None


def element(shape: Shape, index: int | None = None) -> Schema | None:
    """The schema of an element of an array: of all, or of one position. Raises `Unlisted` outside a fixed length."""
    prefix, rest = shape.schema.get("prefixItems"), shape.schema.get("items")
    parts = list(prefix) if isinstance(prefix, list) else []
    if index is not None and index < len(parts):
        return known(parts[index])
    if rest is False and index is not None:
        raise Unlisted(str(index))
    if index is not None or not parts:
        return known(rest)
    return union([known(part) for part in parts] + ([] if rest is False else [known(rest)]))


def known(schema: Any) -> Schema | None:
    """A schema that says something, or None."""
    return schema if isinstance(schema, dict) and schema else None


def describe(types: Iterable[str]) -> str:
    """``"integer or null"``"""
    return " or ".join(dict.fromkeys(types)) or "nothing"


# Whether a value of one schema fits another


def fits(source: Schema | None, target: Schema | None, defs: Defs) -> str | None:
    """Why no value of ``source`` fits ``target``; None when some may, or when it is not known."""
    return _misfit(source, target, defs, 0)


def _misfit(source: Any, target: Any, defs: Defs, depth: int) -> str | None:
    given, wanted = shapes(source, defs), shapes(target, defs)
    if given is None or wanted is None or depth > _DEPTH_MAX:
        return None
    reason: str | None = None
    for one in given:
        reason = _misfit_of_shape(one, wanted, defs, depth)
        if reason is None:
            return None
    if not any(same_type(one.type, other.type) for one in given for other in wanted):
        return f"{describe(one.type for one in given)} does not fit {describe(other.type for other in wanted)}"
    return reason


def _misfit_of_shape(given: Shape, wanted: tuple[Shape, ...], defs: Defs, depth: int) -> str | None:
    reason = f"{given.type} does not fit {describe(shape.type for shape in wanted)}"
    for shape in wanted:
        if same_type(given.type, shape.type):
            closer = _misfit_of_pair(given, shape, defs, depth)
            if closer is None:
                return None
            reason = closer
    return reason


def _misfit_of_pair(given: Shape, wanted: Shape, defs: Defs, depth: int) -> str | None:
    """Two shapes of one type."""
    have, allowed = values_of(given), values_of(wanted)
    if have is not None and allowed is not None and not any(value in allowed for value in have):
        return f"{_shown(have)} is not one of {_shown(allowed)}"
    if wanted.type == "integer" and have and all(value % 1 for value in have):
        return f"{_shown(have)} is not an integer"
    if given.type == "array":
        return _misfit_of_elements(given, wanted, defs, depth)
    if given.type == "object":
        return _misfit_of_members(given, wanted, defs, depth)
    return None


def _shown(values: list[Any]) -> str:
    texts = [repr(value) for value in values[:6]]
    return ", ".join(texts) + (", ..." if len(values) > 6 else "")


def _misfit_of_elements(given: Shape, wanted: Shape, defs: Defs, depth: int) -> str | None:
    prefix = given.schema.get("prefixItems")
    count = len(prefix) if isinstance(prefix, list) else 0
    for index in range(count):
        try:
            target = element(wanted, index)
        except Unlisted:
            return f"it has more than {index} elements"
        reason = _misfit(element(given, index), target, defs, depth + 1)
        if reason is not None:
            return f"element {index}: {reason}"
    least = wanted.schema.get("minItems", 0)
    if count and given.schema.get("items") is False and isinstance(least, int) and count < least:
        return f"it has only {count} of at least {least} elements"
    if count or "prefixItems" in wanted.schema:
        return None
    reason = _misfit(known(given.schema.get("items")), known(wanted.schema.get("items")), defs, depth + 1)
    return None if reason is None else f"its elements: {reason}"


def _misfit_of_members(given: Shape, wanted: Shape, defs: Defs, depth: int) -> str | None:
    needed, certain = _names(wanted.schema.get("required")), _names(given.schema.get("required"))
    for name in dict.fromkeys((*needed, *certain)):
        try:
            source = member(given, name)
        except Unlisted:
            if name in needed:
                return f"the field {name!r} is missing"
            continue
        try:
            target = member(wanted, name)
        except Unlisted:
            if name in certain and wanted.schema.get("additionalProperties") is False:
                return f"the field {name!r} is not allowed"
            continue
        reason = _misfit(source, target, defs, depth + 1)
        if reason is not None:
            return f"field {name!r}: {reason}"
    return None


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, list) else ()
