"""Python and YAML hold the same definition: drawn -> YAML -> the same, and written by hand -> the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import wfe
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml
from wfe.core.canonical import canonical, definition_hash
from wfe.model.definition import Definition


class Item(msgspec.Struct):
    sku: str
    price: float


class Order(msgspec.Struct):
    id: str
    total: float
    items: list[Item]


class Receipt(msgspec.Struct):
    order: str
    charge: str
    packed: list[str]


class CardDeclined(Exception):
    pass


@wfe.task(retry=wfe.Retry(max_attempts=5, on=(CardDeclined,)), timeout="30s")
def charge(order: Order) -> str:
    return order.id


@wfe.task(version=2)
def pack(item: Item) -> str:
    return item.sku


@wfe.task
async def stock(sku: str) -> int | None:
    return len(sku)


@wfe.workflow
def restock(wf: wfe.Graph, sku: wfe.Ref[str]) -> wfe.Ref[str]:
    stock.with_options(id="left", timeout="3s", priority=4)(sku)
    return sku


@wfe.workflow
def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[Receipt]:
    with wf.when(order.total == 0):
        wf.end(Receipt(order.id, "free", []))
    with wf.catch(CardDeclined) as declined:
        charge_id = charge(order)
    with wf.when(declined.failed):
        wf.fail("CardDeclined", declined.message)
    packed = wf.map(pack, order.items, max_parallel=10)
    return Receipt(order.id, wf.merge(charge_id), packed)


@wfe.workflow(timeout="7d", tags={"team": "shop"})
def everything(wf: wfe.Graph, order: wfe.Ref[Order], note: wfe.Ref[str]) -> dict[str, Any]:
    approved = wf.wait_signal("manager", bool, timeout="2d", default=None)
    with wf.when(wf.is_none(approved)):
        charge(order)
    with wf.otherwise(order.total > 3):
        charge(order)
    with wf.otherwise():
        wf.sleep("3d")
    with wf.parallel():
        with wf.branch():
            first = stock("yes")
            stock("012")
        restock(note)
    wf.sleep(until=wf.now())
    results = wf.map(lambda item: wf.format("{} {}", pack(item), item.price), order.items, tolerate="5%")
    with wf.parallel():
        wf.map(pack, order.items, grow="more", complete_after=2, complete_when="failed > 1", rest="continue")
    wf.start(restock, "x", key=wf.format("k-{}", order.id))
    wf.end({"first": wf.merge(first, 1), "values": results.values})


CHECKOUT = """
workflow: checkout
params: {order: Order}
types:
  Item: {type: object, properties: {sku: {type: string}, price: {type: number}}, required: [sku, price]}
  Order:
    type: object
    properties: {id: {type: string}, total: {type: number}, items: {type: array, items: {$ref: "#/types/Item"}}}
    required: [id, total, items]
  Receipt:
    type: object
    properties: {order: {type: string}, charge: {type: string}, packed: {type: array, items: {type: string}}}
    required: [order, charge, packed]
nodes:
  - {when: order.total == 0, do: [{end: {order: "${order.id}", charge: free, packed: []}}]}
  - {catch: [CardDeclined], do: [{task: charge, with: {order: "${order}"}}]}
  - {when: catch.failed, do: [{fail: CardDeclined, message: "${catch.message}"}]}
  - {map: order.items, max_parallel: 10, do: [{task: pack, with: {item: "${item}"}}]}
output: {order: "${order.id}", charge: "${merge(charge)}", packed: "${map}"}
returns: Receipt
"""


def drawn(workflow: Any) -> Definition:
    definition: Definition = workflow.definition()
    return definition


@pytest.mark.parametrize("workflow", [restock, checkout, everything], ids=lambda workflow: workflow.__name__)
def test_a_drawn_definition_comes_back_from_yaml_the_same(workflow: Any):
    definition = drawn(workflow)
    tasks = {each.__wfe_task__.name: each.__wfe_task__ for each in (charge, pack, stock)}
    for known in (None, tasks):
        (again,) = read_definitions(write_yaml(definition), "flow.yaml", tasks=known)
        assert again == definition
        assert definition_hash(again) == definition_hash(definition)


def test_yaml_written_by_hand_over_the_same_tasks_is_the_same_definition():
    tasks = {each.__wfe_task__.name: each.__wfe_task__ for each in (charge, pack, stock)}
    (definition,) = read_definitions(CHECKOUT, "checkout.yaml", tasks=tasks)
    assert canonical(definition) == canonical(drawn(checkout))
