"""Python types as JSON Schemas (2020-12) with shared ``types``: parameters, results, signals.

msgspec describes Structs, dataclasses, TypedDicts, NamedTuples and plain types; pydantic models describe themselves.
``Any`` and types that nobody describes but that are allowed anywhere (``object``) are the empty schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from wfe.model.definition import Schema

REF_PREFIX = "#/types/"
REF_TEMPLATE = REF_PREFIX + "{name}"
_DECORATION = ("title", "description")
"""Titles and docstrings are no part of a graph: rewording one must not make another version."""
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")
"""Keywords whose value holds schemas by name."""
_VALUES = ("default", "const", "enum", "examples", "required")
"""Keywords whose value is no schema."""

_ANYTHING: Schema = {"$comment": "anything"}
"""What msgspec is told of ``object``, for it refuses an empty schema; `_plain` empties it."""


def _plain(part: Any, names: Mapping[str, str]) -> Any:
    """A schema without decoration, its references by their new names."""
    if isinstance(part, list):
        return [_plain(each, names) for each in part]
    if not isinstance(part, dict) or part == _ANYTHING:
        return part if part != _ANYTHING else {}
    found: Schema = {}
    for key, value in part.items():
        if key == "$ref":
            name = value.removeprefix(REF_PREFIX)
            found[key] = REF_PREFIX + names.get(name, name)
        elif key in _NAMED and isinstance(value, dict):
            found[key] = {name: _plain(each, names) for name, each in value.items()}
        elif key in _VALUES:
            found[key] = value
        elif key not in _DECORATION:
            found[key] = _plain(value, names)
    return found


class SchemaSet:
    """Schemas of one definition; their named parts gather in ``types``."""

    def __init__(self) -> None:
        self.types: dict[str, Schema] = {}

    def schema(self, type_: Any) -> Schema:
        """The schema of a type. TypeError for a type that payloads can't have."""
        if type_ in (Any, object, inspect.Parameter.empty):
            return {}
        (schema,), components = msgspec.json.schema_components(
            (type_,), schema_hook=self._custom, ref_template=REF_TEMPLATE
        )
        plain: Schema = _plain(schema, self._merge(components))
        return plain

    def _merge(self, components: dict[str, Schema]) -> dict[str, str]:
        """Adds named parts, and says what each is called here: ``Item``, or ``Item_2`` where another one has the name.

        Not only two classes of one name differ: pydantic and msgspec describe one dataclass in different words.
        """
        names = {name: name for name in components}
        counts = dict.fromkeys(components, 1)
        settled = False
        while not settled:
            settled = True
            plain = {names[name]: _plain(component, names) for name, component in components.items()}
            for name, own in names.items():
                shared = own != name and (own in components or list(names.values()).count(own) > 1)
                if shared or self.types.get(own, plain[own]) != plain[own]:
                    counts[name] += 1
                    names[name], settled = f"{name}_{counts[name]}", False
                    break
        self.types |= plain
        return names

    def _custom(self, type_: Any) -> Schema:
        """msgspec asks here for what it does not know."""
        if type_ is object:  # below the top, as in dict[str, object]
            return _ANYTHING
        describe = getattr(type_, "model_json_schema", None)
        if describe is None:
            raise NotImplementedError(f"{type_!r} has no JSON form")
        schema: Schema = describe(ref_template="#/types/{model}")
        components = schema.pop("$defs", {})
        if "$ref" in schema and len(schema) == 1:  # a model that holds itself
            name = schema["$ref"].removeprefix(REF_PREFIX)
        else:
            name = type_.__name__
            components = {**components, name: schema}
        return {"$ref": REF_PREFIX + self._merge(components)[name]}
