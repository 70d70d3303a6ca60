"""Users' values as payloads and back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

from wfe.errors import InvalidInput, PayloadTooLarge
from wfe.limits import PAYLOAD_BYTES_MAX
from wfe.wire.payload import (
    Param,
    bind_input,
    convert_to,
    decode_any,
    decode_as,
    encode_value,
    params_of,
    return_type_of,
    to_json_value,
)


class Colour(enum.Enum):
    RED = "red"


class Item(msgspec.Struct, rename="camel"):
    stock_keeping: str
    at: dt.datetime


@dataclasses.dataclass
class Line:
    item: Item
    price: decimal.Decimal
    raw: bytes = b""


class Point(NamedTuple):
    x: int
    y: float


class Page(TypedDict, total=False):
    url: str
    ids: list[uuid.UUID]


class Model(pydantic.BaseModel):
    id: int
    at: dt.datetime
    tags: set[str] = set()
    parent: Model | None = None


class StrictModel(pydantic.BaseModel, strict=True):
    at: dt.datetime
    pair: tuple[int, int]


NOW = dt.datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)
ITEM = Item("a", NOW)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, 3),
        (float, 1.5),
        (str, "ä€𝄞"),
        (bool, True),
        (type(None), None),
        (list[int], [1, 2]),
        (dict[str, Any], {"a": [1, None]}),
        (dict[int, bytes], {1: b"\x00\xff"}),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "a")),
        (bytes, b"hi"),
        (dt.datetime, NOW),
        (dt.date, dt.date(2030, 1, 2)),
        (dt.timedelta, dt.timedelta(days=2, microseconds=1)),
        (decimal.Decimal, decimal.Decimal("1.10")),
        (uuid.UUID, uuid.UUID(int=7)),
        (Colour, Colour.RED),
        (Item, ITEM),
        (Line, Line(ITEM, decimal.Decimal("0.30"), b"\xff")),
        (list[Line] | None, [Line(ITEM, decimal.Decimal(1))]),
        (Point, Point(1, 2.0)),
        (Page, {"url": "x", "ids": [uuid.UUID(int=1)]}),
        (Model, Model(id=1, at=NOW, tags={"a"}, parent=Model(id=2, at=NOW))),
        (dict[str, list[Model]], {"x": [Model(id=1, at=NOW)]}),
        (StrictModel, StrictModel(at=NOW, pair=(1, 2))),
        (Any, {"a": [1, 2.5, "x", None, True]}),
    ],
)
def test_a_value_comes_back_as_its_type(type_: Any, value: Any) -> None:
    assert decode_as(type_, encode_value(value)) == value


@pytest.mark.parametrize("value", [ITEM, Line(ITEM, decimal.Decimal(1)), Model(id=1, at=NOW), {1: {2}}, b"\x00", NOW])
def test_a_payload_holds_only_what_json_has(value: Any) -> None:
    plain = decode_any(encode_value(value))
    assert msgspec.json.decode(msgspec.json.encode(plain)) == plain
    assert plain == to_json_value(value)


def test_field_names_are_the_encoded_ones() -> None:
    assert decode_any(encode_value(ITEM)) == {"stockKeeping": "a", "at": "2030-01-02T03:04:05.000678Z"}


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"a": [1, object()]}, "$.a[1]", "object"),
        ([1, 2**64], "$[1]", "64 bits"),
        (Line(ITEM, complex(1)), "$.price", "complex"),  # type: ignore[arg-type]
        (lambda: 1, "$", "function"),
        ("\ud800", "$", "str"),
        ({("a", 1): 2}, "$", "dict"),
    ],
)
def test_what_cannot_be_encoded_is_named_with_its_place(value: Any, path: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        encode_value(value)
    assert refused.value.path == path


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidInput, match="refers to itself"):
        encode_value(endless)


def test_the_limit_counts_encoded_bytes() -> None:
    encode_value("x" * (PAYLOAD_BYTES_MAX - 5))
    with pytest.raises(PayloadTooLarge, match=str(PAYLOAD_BYTES_MAX)):
        encode_value("x" * PAYLOAD_BYTES_MAX)


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        (list[int], [1, "x"], "$[1]"),
        (Item, {"at": "2030-01-01T00:00:00Z"}, "$"),
        (dict[str, Item], {"k": {"stockKeeping": 3, "at": "x"}}, "$[...]"),
        (Colour, "blue", "$"),
        (Model, {"id": "x"}, "$"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(type_: Any, value: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_as(type_, encode_value(value))
    assert refused.value.path.startswith(path)
    with pytest.raises(InvalidInput):
        convert_to(type_, value)


def test_bytes_that_are_no_payload_are_refused() -> None:
    for data in (b"", b"\xc1", b"\x92\x01"):
        with pytest.raises(InvalidInput, match="malformed"):
            decode_as(int, data)


def test_a_type_that_payloads_cannot_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        decode_as(complex, encode_value(1))


class Marker:
    is_wfe_ref = True


def workflow(wf: object, order: Annotated[Item, Marker()], note: str = "n", other=None) -> Annotated[int, Marker()]:  # type: ignore[no-untyped-def]
    raise NotImplementedError


def test_parameters_are_resolved_without_the_graph_and_without_the_marker() -> None:
    assert params_of(workflow, skip=1) == (
        Param("order", Item),
        Param("note", str, False, "n"),
        Param("other", Any, False, None),
    )
    assert return_type_of(workflow) is int


ONE = (Param("a", int),)
TWO = (Param("a", int), Param("b", int, False, 5))


@pytest.mark.parametrize(
    ("params", "args", "kwargs", "expected"),
    [
        ((), (), {}, None),
        (ONE, (3,), {}, 3),
        (ONE, (), {"a": 3}, 3),
        ((Param("a", int, False, 7),), (), {}, 7),
        (TWO, (1,), {}, {"a": 1}),
        (TWO, (1, 2), {}, {"a": 1, "b": 2}),
        (TWO, (1,), {"b": 2}, {"a": 1, "b": 2}),
        (None, (), {}, None),
        (None, (3,), {}, 3),
        (None, (), {"a": 1}, {"a": 1}),
    ],
)
def test_the_form_of_the_input_is_one_value_or_an_object(
    params: Any, args: tuple[Any, ...], kwargs: dict[str, Any], expected: Any
) -> None:
    assert bind_input(params, args, kwargs) == expected


@pytest.mark.parametrize(
    ("params", "args", "kwargs", "words"),
    [
        ((), (1,), {}, "takes no arguments, 1 were given"),
        (ONE, (1, 2), {}, "takes 1 argument, 2 were given"),
        (ONE, (), {}, "lacks a"),
        (ONE, (), {"b": 1}, "no parameter 'b'"),
        (ONE, (1,), {"a": 1}, "twice"),
        (TWO, (), {"b": 1}, "lacks a"),
        (None, (1, 2), {}, "by name"),
        (None, (1,), {"b": 2}, "by name"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    params: Any, args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        bind_input(params, args, kwargs)
