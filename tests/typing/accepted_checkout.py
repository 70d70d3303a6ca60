"""The example of the design, as printed: both checkers must accept it in strict mode."""

from __future__ import annotations

from dataclasses import dataclass

import wfe


@dataclass
class Item:
    sku: str
    count: int


@dataclass
class Order:
    id: str
    total: float
    items: list[Item]


@dataclass
class Receipt:
    order: str
    charge: str
    packed: list[str]


class CardDeclined(Exception):
    """The bank says no."""


@wfe.task
def charge(order: Order) -> str:
    return order.id


@wfe.task(retry=wfe.Retry(max_attempts=5, initial_delay="100ms", on=(OSError, "HttpError")), timeout="30s")
def pack(item: Item) -> str:
    return item.sku


@wfe.task
def refund(order_id: str) -> None:
    print(order_id)


@wfe.workflow
def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[Receipt]:
    with wf.when(order.total == 0):
        wf.end(Receipt(order.id, "free", []))  # ends the run; a Python `return` here is an error
    with wf.when(order.total > 1000):
        wf.approval("manager", timeout="2d")  # charge waits for it
    wf.compensate_with(refund, order.id)
    with wf.catch(CardDeclined) as declined:
        charge_id = charge(order)
    with wf.when(declined.failed):
        wf.fail("CardDeclined", declined.message)
    packed = wf.map(pack, order.items, max_parallel=10)
    return Receipt(order.id, wf.merge(charge_id), packed)


wfe.Retry(max_attempts=3, initial_delay="1s", backoff=2.0, max_delay="60s", jitter=0.1, on=(Exception,), never=())
