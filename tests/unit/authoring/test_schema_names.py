"""Schemas of a definition by name: one dataclass in two descriptions, two classes of one name, no decoration."""

from __future__ import annotations

import decimal
from dataclasses import dataclass

import msgspec
import pytest
from pydantic import BaseModel, Field

import wfe
from wfe.authoring.types import SchemaSet
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml


@dataclass
class Item:
    sku: str
    count: int = 1


@dataclass
class Price:
    amount: decimal.Decimal


class Basket(BaseModel):
    """A pydantic model that holds dataclasses."""

    items: list[Item]
    price: Price
    title: str = Field("", description="what people call it")


class Tree(BaseModel):
    children: list[Tree] = []


def other_item() -> type:
    class Item(msgspec.Struct):
        id: int

    return Item


def test_a_dataclass_has_one_schema_in_a_model_and_on_its_own() -> None:
    schemas = SchemaSet()
    assert schemas.schema(Basket) == {"$ref": "#/types/Basket"}
    assert schemas.schema(Item) == {"$ref": "#/types/Item"}
    assert schemas.schema(list[Item]) == {"type": "array", "items": {"$ref": "#/types/Item"}}
    assert set(schemas.types) == {"Basket", "Item", "Price"}


def test_a_dataclass_that_pydantic_describes_otherwise_gets_a_second_name() -> None:
    schemas = SchemaSet()
    assert schemas.schema(Price) == {"$ref": "#/types/Price"}
    schemas.schema(Basket)
    assert schemas.types["Basket"]["properties"]["price"] == {"$ref": "#/types/Price_2"}
    before = dict(schemas.types)
    schemas.schema(Basket)
    schemas.schema(Price)
    assert schemas.types == before


def test_two_classes_of_one_name_are_both_kept() -> None:
    schemas = SchemaSet()
    schemas.schema(Item)
    assert schemas.schema(other_item()) == {"$ref": "#/types/Item_2"}
    assert schemas.types["Item_2"]["required"] == ["id"]
    assert schemas.schema(Item) == {"$ref": "#/types/Item"}


def test_titles_and_descriptions_are_left_out_but_not_fields_of_these_names() -> None:
    schemas = SchemaSet()
    schemas.schema(Basket)
    schemas.schema(Tree)
    assert schemas.types["Basket"]["properties"]["title"] == {"type": "string", "default": ""}
    assert schemas.types["Tree"]["properties"]["children"]["items"] == {"$ref": "#/types/Tree"}


@wfe.task
def price_of(basket: Basket) -> Price:
    return basket.price


@wfe.workflow
def priced(wf: wfe.Graph, basket: Basket, item: Item) -> Price:
    with wf.when(item.count > wf.size(basket.items)):
        wf.end(Price(decimal.Decimal(0)))
    return price_of(basket)


def test_a_graph_over_both_goes_to_yaml_and_back() -> None:
    definition = priced.definition()
    assert read_definitions(write_yaml(definition), "priced.yaml") == [definition]


@wfe.workflow
def unpayable(wf: wfe.Graph, item: Item, what: type[int]) -> str:
    return item.sku


def test_a_type_that_is_no_payload_is_blamed_on_the_workflow() -> None:
    with pytest.raises(wfe.GraphError, match="'what'") as caught:
        unpayable.definition()
    assert (caught.value.file, caught.value.line) == (__file__, unpayable.__wfe_workflow__.line)
