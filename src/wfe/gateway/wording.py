"""The words for what does not fit a route's types: which fields and values there are, not the decoder's own text.

Pure. Invariant: a message that is not known here is passed on as it is.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import inspect

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_VALUE = re.compile(r"Invalid enum value (.*)")
_KIND = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_BOUND = re.compile(r"Expected `(int|float)` (>=|<=|>|<) (\S+)")
_LENGTH = re.compile(r"Expected `(str|array|object)` of length (>=|<=) (\d+)")
_STEP = re.compile(r"([^.\[\]]+)")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_UNITS = {"str": "character", "array": "element", "object": "field"}


def plain_words(message: str, annotation: Any, path: str = "") -> str:
    """What a message of the decoder means. ``annotation``: the type of the body or the parameter; ``path``: where in
    it, as in ``filter.status``."""
    if match := _UNKNOWN.fullmatch(message):
        return f"there is no field `{match[1]}`{_list('; there are ', _fields(annotation, path))}"
    if match := _MISSING.fullmatch(message):
        return f"the field `{match[1]}` is missing"
    if match := _VALUE.fullmatch(message):
        values = _values(annotation, path)
        return f"{match[1]} is none of {', '.join(values)}" if values else message
    if match := _KIND.fullmatch(message):
        wanted = [_WORDS.get(each, each) for each in match[1].split(" | ") if each != "null"] or ["null"]
        return f"{' or '.join(wanted)} is wanted, not {_WORDS.get(match[2], match[2])}"
    if match := _BOUND.fullmatch(message):
        return f"{_WORDS[match[1]]} of {_BOUNDS[match[2]]} {match[3]} is wanted"
    if match := _LENGTH.fullmatch(message):
        unit = _UNITS[match[1]] + ("" if match[3] == "1" else "s")
        return f"{_WORDS[match[1]]} of {_BOUNDS[match[2]]} {match[3]} {unit} is wanted"
    return message


def _list(before: str, names: list[str]) -> str:
    return before + ", ".join(names) if names else ""


def _fields(annotation: Any, path: str) -> list[str]:
    return [
        field.encode_name
        for kind in _kinds_at(annotation, path)
        if isinstance(kind, inspect.StructType)
        for field in kind.fields
    ]


def _values(annotation: Any, path: str) -> list[str]:
    return [
        str(value)
        for kind in _kinds_at(annotation, path)
        if isinstance(kind, inspect.LiteralType)
        for value in kind.values
    ]


def _kinds_at(annotation: Any, path: str) -> list[inspect.Type]:
    """What may stand at a path, each member of a union on its own."""
    kinds = _members(inspect.type_info(annotation))
    for step in _STEP.findall(path):
        inner: list[inspect.Type] = []
        for kind in kinds:
            if isinstance(kind, inspect.StructType):
                inner += [field.type for field in kind.fields if field.encode_name == step]
            elif isinstance(kind, inspect.DictType):
                inner.append(kind.value_type)
            elif isinstance(kind, inspect.ListType):
                inner.append(kind.item_type)
        kinds = [member for each in inner for member in _members(each)]
    return kinds


def _members(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        return [member for each in kind.types for member in _members(each)]
    return _members(kind.type) if isinstance(kind, inspect.Metadata) else [kind]
