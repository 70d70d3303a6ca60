"""Users' values as payloads and back: what every side of a run calls before a value leaves Python and after it came.

A payload is msgpack (`msgspec.Raw`) that holds only what JSON has, so that an expression, a JSON Schema and the CLI
see the same value: datetimes, UUIDs, Decimals and enums travel as text or their value, bytes as base64, sets and tuples
as arrays, keys as text. Typed decoding turns them back: msgspec Structs, dataclasses, TypedDicts, NamedTuples, plain
types and pydantic models (found by their methods; pydantic is never imported here).

The form of a run's input is FastAPI's rule: one parameter: its value; several: an object by name; none: null.
Pure: bytes and objects in, bytes and objects out.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from wfe.errors import InvalidInput, PayloadTooLarge
from wfe.limits import PAYLOAD_BYTES_MAX

_encode = msgspec.msgpack.Encoder().encode
_decode_any = msgspec.msgpack.Decoder().decode
_PLAIN = frozenset((str, int, float, bool, type(None)))
_PATH_DEPTH_MAX = 50


class Param(NamedTuple):
    """A parameter of a task or workflow: its resolved type (``Any`` when it has none) and its default."""

    name: str
    type: Any
    required: bool = True
    default: Any = None


# ---- encoding ------------------------------------------------------------------------------------------------------


def to_json_value(value: Any) -> Any:
    """The value as what JSON has: None, bool, int, float, str, list, dict with text keys. Else InvalidInput."""
    if type(value) in _PLAIN:
        return value
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=_encode_custom)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _unencodable(value, error) from error


def encode_value(value: Any) -> Raw:
    """A value as a payload. InvalidInput (path and type) when it can't be encoded, PayloadTooLarge above the limit."""
    plain = to_json_value(value)
    try:
        data = _encode(plain)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise _unencodable(value, error) from error
    if len(data) > PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge(
            f"a payload of {len(data)} bytes is above the limit of {PAYLOAD_BYTES_MAX}: pass a path or a URL instead"
        )
    return Raw(data)


def _encode_custom(value: Any) -> Any:
    """msgspec asks here for types that it does not know."""
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return dump(value, mode="json", by_alias=True)  # as its JSON Schema and its validation spell it
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"values of type {type(value).__qualname__} have no JSON form")


def _unencodable(value: Any, error: Exception) -> InvalidInput:
    if isinstance(error, RecursionError):
        return InvalidInput("the value refers to itself or is nested too deeply; a payload is a finite tree")
    path, part = _first_unencodable(value, "$", 0)
    if isinstance(part, int):
        return InvalidInput(f"{part} is outside the 64 bits of an integer payload; pass it as text", path)
    return InvalidInput(
        f"a value of type {type(part).__qualname__} cannot be a payload ({error}); use JSON types, dataclasses, "
        "msgspec Structs or pydantic models",
        path,
    )


def _first_unencodable(value: Any, path: str, depth: int) -> tuple[str, Any]:
    """The path and value of the innermost part that fails, by trying parts one by one (only on the way to an error)."""
    for key, part in _parts(value):
        try:
            _encode(msgspec.to_builtins(part, str_keys=True, enc_hook=_encode_custom))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            inner = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}"
            return _first_unencodable(part, inner, depth + 1) if depth < _PATH_DEPTH_MAX else (inner, part)
    return path, value


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(enumerate(value))
    names = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
    return [(name, getattr(value, name, None)) for name in names] if names else []


# ---- decoding ------------------------------------------------------------------------------------------------------


def decode_as(type_: Any, raw: bytes | Raw) -> Any:
    """A payload as a Python type (``Any``: plain JSON values). InvalidInput with the path when it does not fit."""
    return decoder_for(type_)(raw)


def decode_any(raw: bytes | Raw) -> Any:
    """A payload as plain JSON values. InvalidInput when the bytes are no msgpack."""
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidInput(f"a malformed payload: {error}") from error


def decoder_for(type_: Any) -> Callable[[bytes | Raw], Any]:
    """The compiled decoder of a type, cached. TypeError for a type that payloads can't have."""
    try:
        return _cached_decoder(type_)
    except TypeError as error:
        if "unhashable" in str(error):
            return _make_decoder(type_)
        raise


def _make_decoder(type_: Any) -> Callable[[bytes | Raw], Any]:
    if type_ is Any or type_ is object or type_ is inspect.Parameter.empty:
        return decode_any
    fast = msgspec.msgpack.Decoder(type_, dec_hook=_decode_custom).decode

    def decode(raw: bytes | Raw) -> Any:
        try:
            return fast(raw)
        except (msgspec.ValidationError, RecursionError, ValueError):
            return convert_to(type_, decode_any(raw))  # what JSON spells otherwise: bytes, keys that are no text

    return decode


_cached_decoder = lru_cache(maxsize=2048)(_make_decoder)


def convert_to(type_: Any, value: Any) -> Any:
    """Plain JSON values as a Python type. InvalidInput with the path when they do not fit."""
    if type_ is Any or type_ is object or type_ is inspect.Parameter.empty:
        return value
    try:
        return msgspec.convert(value, type_, str_keys=True, dec_hook=_decode_custom)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        raise InvalidInput(message, path.rstrip("`") or "$") from error
    except RecursionError as error:
        raise InvalidInput("the value is nested too deeply") from error


def _decode_custom(type_: Any, value: Any) -> Any:
    """msgspec asks here for types that it does not know; ValueErrors (pydantic's too) become its ValidationError."""
    validate = getattr(type_, "model_validate_json", None)
    if validate is not None:
        return validate(msgspec.json.encode(value))
    origin = typing.get_origin(type_) or type_
    if isinstance(origin, type) and isinstance(value, origin):
        return value
    raise ValueError(f"payloads cannot be decoded as {type_!r}")


# ---- parameters and the form of the input --------------------------------------------------------------------------


def params_of(function: Callable[..., Any], *, skip: int = 0) -> tuple[Param, ...]:
    """The parameters of a function with resolved types; ``skip`` leaves out that many (a workflow's graph).

    Raises NameError when an annotation names something that the function's module does not have at run time.
    """
    hints = type_hints(function)
    params = list(inspect.signature(function).parameters.values())[skip:]
    return tuple(
        Param(
            param.name,
            hints.get(param.name, Any),
            param.default is inspect.Parameter.empty,
            None if param.default is inspect.Parameter.empty else param.default,
        )
        for param in params
    )


def return_type_of(function: Callable[..., Any]) -> Any:
    """What a function returns (an ``async def``: what awaiting it gives); ``Any`` when it does not say."""
    return type_hints(function).get("return", Any)


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolved annotations; ``Ref[T]`` is T."""
    return {name: strip_ref(hint) for name, hint in typing.get_type_hints(function, include_extras=True).items()}


def strip_ref(hint: Any) -> Any:
    """T of ``Ref[T]`` (any ``Annotated[T, ...]`` whose marker says so); other types as they are."""
    while any(getattr(marker, "is_wfe_ref", False) for marker in getattr(hint, "__metadata__", ())):
        hint = hint.__origin__
    return hint


def bind_input(
    params: Sequence[Param] | None, args: Sequence[Any], kwargs: Mapping[str, Any], what: str = "the workflow"
) -> Any:
    """The input of a call, still unencoded: one parameter: its value; several: a dict by name; none: None.

    ``params`` None: they are not known here (the workflow was named by text), so one positional value is the input, and
    keywords are an object. InvalidInput when the call does not fit; missing arguments with a default are left out.
    """
    if params is None:
        if len(args) > 1 or (args and kwargs):
            raise InvalidInput(f"{what} is named by text: pass one value, or every argument by name")
        return args[0] if args else (dict(kwargs) or None)
    if len(args) > len(params):
        raise InvalidInput(f"{what} takes {_count(len(params))}, {len(args)} were given")
    bound = {param.name: value for param, value in zip(params, args, strict=False)}
    known = [param.name for param in params]
    for name, value in kwargs.items():
        if name not in known:
            raise InvalidInput(f"{what} has no parameter {name!r} (it has: {', '.join(known) or 'none'})")
        if name in bound:
            raise InvalidInput(f"{what} got {name!r} twice, by position and by name")
        bound[name] = value
    missing = [param.name for param in params if param.required and param.name not in bound]
    if missing:
        raise InvalidInput(f"{what} lacks {', '.join(missing)}")
    if not params:
        return None
    if len(params) == 1:
        return bound.get(known[0], params[0].default)
    return bound


def _count(parameters: int) -> str:
    return "no arguments" if parameters == 0 else "1 argument" if parameters == 1 else f"{parameters} arguments"
