"""Types, tasks and a workflow for the drawings of the misuse tests."""

# mypy: ignore-errors

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import pydantic

import wfe


class Item(msgspec.Struct):
    sku: str
    count: int


class Order(msgspec.Struct):
    id: str
    total: float
    items: list[Item]
    paid: bool
    note: str | None = None
    prices: dict[str, float] = {}
    exact: Decimal = Decimal(0)
    due: datetime.datetime | None = None


class Progress(msgspec.Struct):
    count: int = 0
    names: list[str] = []
    item: Item | None = None


class Model(pydantic.BaseModel):
    id: str
    total: float


@dataclass
class Receipt:
    order: str
    charge: str | None


@wfe.task
def charge(order: Order) -> str: ...


@wfe.task
def pack(item: Item) -> str: ...


@wfe.task
def count(n: float) -> int: ...


@wfe.task
def ping() -> None: ...


@wfe.task
async def fetch(url: str, retries: int = 3) -> str: ...


@wfe.workflow
def ship(wf: wfe.Graph, order: Order) -> str:
    return charge(order)
