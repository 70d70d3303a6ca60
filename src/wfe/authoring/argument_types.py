"""Whether what a call is given fits its parameters: constants by decoding them, Refs by the schemas of both types.

Only what is certain is reported: a Ref whose type is unknown, or that may fit (an Optional), passes.
"""

from __future__ import annotations

from typing import Any

from wfe.authoring import fields
from wfe.authoring.canvas import Canvas
from wfe.authoring.refs import SecretProxy, state_of
from wfe.authoring.templates import constant, has_refs
from wfe.authoring.types import SchemaSet
from wfe.core.expressions.schemas import fits
from wfe.errors import InvalidInput
from wfe.wire.payload import convert_to


def check_argument(canvas: Canvas, what: str, value: Any, type_: Any) -> None:
    """GraphError when a value, which may hold Refs, cannot fit a parameter of this type."""
    if isinstance(value, SecretProxy):
        return
    state = state_of(value)
    if state is not None:
        _check_ref(canvas, what, state.text, state.type, type_)
    elif has_refs(value):
        _check_parts(canvas, what, value, type_)
    elif type_ is not Any:
        _check_constant(canvas, what, value, type_)


def _check_ref(canvas: Canvas, what: str, text: str, given: Any, wanted: Any) -> None:
    if given is Any or wanted is Any:
        return
    schemas = SchemaSet()
    try:
        problem = fits(schemas.schema(given), schemas.schema(wanted), schemas.types)
    except (TypeError, NotImplementedError, NameError):
        return  # a type without a schema is reported where it is declared
    if problem is not None:
        raise canvas.fail(f"{what} takes {_name(wanted)}, and {text} is {_name(given)}: {problem}")


def _check_parts(canvas: Canvas, what: str, value: Any, type_: Any) -> None:
    """The Refs inside a container or record, against the types that the record itself declares."""
    if isinstance(value, dict):
        inner = fields.item_type(type_)
        for key, part in value.items():
            check_argument(canvas, f"{what}[{key!r}]", part, inner)
        return
    declared = fields.fields_of(type(value))
    if declared is not None:
        for name, field in declared.items():
            part = getattr(value, name, None)
            if state_of(part) is not None or has_refs(part):
                check_argument(canvas, f"{type(value).__name__}({name}=...)", part, field.type)
            elif part is not None and field.type is not Any:
                _check_constant(canvas, f"{type(value).__name__}({name}=...)", part, field.type)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            inner = fields.element_type(type_, index) if fields.kind(type_) == "list" else Any
            check_argument(canvas, f"{what}[{index}]", part, inner)


def _check_constant(canvas: Canvas, what: str, value: Any, type_: Any) -> None:
    plain = constant(canvas, value)
    try:
        convert_to(type_, plain)
    except InvalidInput as error:
        raise canvas.fail(f"{what} takes {_name(type_)}: {error}") from error
    except (TypeError, NameError) as error:
        raise canvas.fail(f"{what}: values of type {_name(type_)} cannot be payloads ({error})") from error


def _name(type_: Any) -> str:
    return fields.type_name(type_)
