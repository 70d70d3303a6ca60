"""Types, tasks and helpers for the tests of drawing."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic

import wfe
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml
from wfe.core.validate import validate
from wfe.model import definition as model
from wfe.model.definition import Definition


class Status(enum.Enum):
    OPEN = "open"
    PAID = "paid"


class Item(msgspec.Struct):
    sku: str
    count: int


class Order(msgspec.Struct, rename="camel"):
    id: str
    total: float
    items: list[Item]
    paid: bool = False
    note: str | None = None
    prices: dict[str, float] = {}
    due_at: dt.datetime | None = None
    status: Status = Status.OPEN
    pairs: list[tuple[str, int]] = []


class Receipt(msgspec.Struct):
    order: str
    charge: str | None
    packed: list[str]


class CardDeclined(Exception):
    pass


@dataclass
class Line:
    sku: str
    tags: list[str] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int


class Page(TypedDict):
    url: str
    size: int


class Model(pydantic.BaseModel):
    id: str
    total: float = 0.0


class Aliased(pydantic.BaseModel):
    item_count: int = pydantic.Field(alias="itemCount")
    note: str = ""


@wfe.task
def charge(order: Order) -> str: ...


@wfe.task
def pack(item: Item) -> str: ...


@wfe.task
def text(value: str) -> str: ...


@wfe.task
def anything(value: Any) -> Any: ...


@wfe.task
def line(value: Line) -> Point: ...


@wfe.task
def page(value: Page) -> Page: ...


@wfe.task
def model_task(value: Model) -> Model: ...


@wfe.task(
    name="send-mail",
    version=2,
    retry=wfe.Retry(max_attempts=5, initial_delay="100ms", on=(OSError, "HttpError"), never=ValueError),
    timeout="30s",
    heartbeat="5s",
    redeliver=False,
)
async def send_mail(to: str, body: str = "") -> None: ...


@wfe.workflow
def regional(wf: wfe.Graph, region: str) -> int:
    text(region)
    return wf.size(region)


def drawn(function: Any, **options: Any) -> Definition:
    """The definition; whatever is drawn is valid, and the same after a round trip through YAML."""
    definition = wfe.workflow(**options)(function).definition()
    assert [str(finding) for finding in validate(definition) if finding.severity == "error"] == []
    assert read_definitions(write_yaml(definition), "drawn.yaml") == [definition]
    return definition


def value_text(build: Any) -> Any:
    """The template of one value, built from wf and an order."""

    def flow(wf: wfe.Graph, order: Order) -> Any:
        anything(build(wf, order))

    node = drawn(flow).nodes[-1]
    assert isinstance(node, model.Task)
    return node.with_["value"]
