"""What a Python type says about a value's fields, items and operators, so that a Ref can be checked while it is drawn.

Pure functions over types: Structs, dataclasses, TypedDicts, NamedTuples, pydantic models, containers, unions,
``NewType``, ``Annotated`` and enums. ``Any`` means unknown, and the unknown is never an error.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

Kind = Literal[
    "bool", "number", "text", "list", "map", "record", "null", "time", "span", "decimal", "bytes", "opaque", "unknown"
]

_SIMPLE: dict[Any, Kind] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "text",
    bytes: "bytes",
    bytearray: "bytes",
    type(None): "null",
    None: "null",
    datetime.datetime: "time",
    datetime.timedelta: "span",
    datetime.date: "text",
    datetime.time: "text",
    decimal.Decimal: "decimal",
    uuid.UUID: "text",
    list: "list",
    tuple: "list",
    set: "list",
    frozenset: "list",
    dict: "map",
}


class Field(NamedTuple):
    """A field as it is encoded: under a name, or, in a NamedTuple, at an index."""

    key: str | int
    type: Any


def plain(type_: Any) -> Any:
    """The type without ``Annotated``, ``NewType``, ``Final`` and the like, and an Optional without its None."""
    while True:
        if hasattr(type_, "__supertype__"):
            type_ = type_.__supertype__
            continue
        origin = get_origin(type_)
        if origin in (typing.Annotated, typing.Final, typing.ClassVar, typing.Required, typing.NotRequired):
            type_ = get_args(type_)[0]
            continue
        if origin in (Union, types.UnionType):
            members = [m for m in get_args(type_) if m is not type(None)]
            if len(members) == 1:
                type_ = members[0]
                continue
        if isinstance(type_, TypeVar):
            return type_.__bound__ or Any
        return type_


def members(type_: Any) -> list[Any]:
    """The alternatives of a union (without None), or the type alone."""
    type_ = plain(type_)
    if get_origin(type_) in (Union, types.UnionType):
        return [plain(m) for m in get_args(type_) if m is not type(None)]
    return [type_]


def kind(type_: Any) -> Kind:
    """What operators a value of this type takes; "unknown" when in doubt, as for a union of several kinds."""
    kinds = {_kind(member) for member in members(type_)}
    return kinds.pop() if len(kinds) == 1 else "unknown"


def _kind(type_: Any) -> Kind:
    if type_ is Any or type_ is object:
        return "unknown"
    origin = get_origin(type_)
    if origin is Literal:
        kinds = {_SIMPLE.get(type(value), "unknown") for value in get_args(type_)}
        return kinds.pop() if len(kinds) == 1 else "unknown"
    base = origin or type_
    try:
        simple = _SIMPLE.get(base)
    except TypeError:
        return "unknown"
    if simple is not None:
        return simple
    if not isinstance(base, type):
        return "unknown"
    if issubclass(base, enum.Enum):
        kinds = {_SIMPLE.get(type(member.value), "unknown") for member in base}
        return kinds.pop() if len(kinds) == 1 else "unknown"
    if typing.is_typeddict(base) or field_names(type_) is not None:
        return "record" if not is_named_tuple(base) else "list"
    for parent in (str, bool, int, float, list, tuple, dict, set, frozenset):
        if issubclass(base, parent):
            return _SIMPLE[parent]
    if base.__module__ in ("collections.abc", "typing"):
        return "map" if "Mapping" in base.__name__ else "list"
    return "opaque"


def is_named_tuple(type_: Any) -> bool:
    """Whether this is a NamedTuple class; its values are encoded as arrays."""
    return isinstance(type_, type) and issubclass(type_, tuple) and hasattr(type_, "_fields")


def fields_of(type_: Any) -> dict[str, Field] | None:
    """The fields of a record type by their Python names; None when the type has no declared fields."""
    names = field_names(type_)
    if names is None:
        return None
    base = get_origin(type_) or type_
    hints = _hints(base)
    bound = dict(zip(getattr(base, "__parameters__", ()), get_args(type_), strict=False))
    return {
        name: Field(index if is_named_tuple(base) else encoded, _bind(hints.get(name, Any), bound))
        for index, (name, encoded) in enumerate(names.items())
    }


def field_names(type_: Any) -> dict[str, str] | None:
    """Python name -> encoded name of a record type's fields; None when the type has none."""
    base = get_origin(type_) or type_
    if not isinstance(base, type):
        return None
    if hasattr(base, "__struct_fields__"):
        return dict(zip(base.__struct_fields__, base.__struct_encode_fields__, strict=True))  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(base):
        return {field.name: field.name for field in dataclasses.fields(base)}
    if typing.is_typeddict(base):
        return {name: name for name in base.__annotations__}
    if is_named_tuple(base):
        return {name: name for name in base._fields}  # type: ignore[attr-defined]
    if hasattr(base, "model_fields") and hasattr(base, "model_dump"):
        return {name: field.serialization_alias or field.alias or name for name, field in base.model_fields.items()}
    return None


def item_type(type_: Any) -> Any:
    """The type of a list's items or of a map's values; ``Any`` when it does not say."""
    type_ = plain(type_)
    args = get_args(type_)
    match kind(type_):
        case "map" if len(args) == 2:
            return args[1]
        case "list" if args and (get_origin(type_) is not tuple or (len(args) == 2 and args[1] is ...)):
            return args[0]
    return Any


def element_type(type_: Any, index: int) -> Any:
    """The type of the item at a constant index; of a tuple or NamedTuple each place has its own."""
    type_ = plain(type_)
    fields = fields_of(type_)
    if fields is not None and is_named_tuple(type_):
        found = list(fields.values())
        return found[index].type if -len(found) <= index < len(found) else Any
    args = get_args(type_)
    if get_origin(type_) is tuple and not (len(args) == 2 and args[1] is ...):
        return args[index] if -len(args) <= index < len(args) else Any
    return item_type(type_)


def type_name(type_: Any) -> str:
    """The type as the author wrote it, about."""
    if type_ is Any:
        return "Any"
    if isinstance(type_, type) and not get_args(type_):
        return type_.__name__
    return str(type_).replace("typing.", "")


def _hints(base: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(base, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _bind(hint: Any, bound: dict[Any, Any]) -> Any:
    """The hint with a generic's type variables put in."""
    if hint in bound:
        return bound[hint]
    free = getattr(hint, "__parameters__", ())
    if not free or not get_args(hint):
        return hint
    return hint[tuple(bound.get(variable, Any) for variable in free)]
