"""Python types as JSON Schemas (2020-12) with shared ``types``: parameters, results, signals.

msgspec describes Structs, dataclasses, TypedDicts, NamedTuples and plain types; pydantic models describe themselves.
``Any`` and types that nobody describes but that are allowed anywhere (``object``) are the empty schema.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from wfe.model.definition import Schema

REF_TEMPLATE = "#/types/{name}"
_DECORATION = ("title", "description")
"""A docstring is not part of a graph: rewording it must not make another version."""

_ANYTHING: Schema = {"$comment": "anything"}
"""What msgspec is told of ``object``, for it refuses an empty schema; `_plain` empties it."""


def _plain(part: Any) -> Any:
    if isinstance(part, dict):
        return {} if part == _ANYTHING else {key: _plain(value) for key, value in part.items()}
    return [_plain(each) for each in part] if isinstance(part, list) else part


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
        self._merge(components)
        plain: Schema = _plain(schema)
        return plain

    def _merge(self, components: dict[str, Schema]) -> None:
        for name, described in components.items():
            component = {key: _plain(part) for key, part in described.items() if key not in _DECORATION}
            known = self.types.setdefault(name, component)
            if known != component:
                raise TypeError(f"two types are called {name!r}: rename one of them")

    def _custom(self, type_: Any) -> Schema:
        """msgspec asks here for what it does not know."""
        if type_ is object:  # below the top, as in dict[str, object]
            return _ANYTHING
        describe = getattr(type_, "model_json_schema", None)
        if describe is None:
            raise NotImplementedError(f"{type_!r} has no JSON form")
        schema: Schema = describe(ref_template="#/types/{model}")
        components = schema.pop("$defs", {})
        if "$ref" in schema and len(schema) == 1:
            self._merge(components)
            return schema
        self._merge({**components, type_.__name__: schema})
        return {"$ref": REF_TEMPLATE.format(name=type_.__name__)}
