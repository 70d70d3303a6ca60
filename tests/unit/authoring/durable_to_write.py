"""Durable functions as authors write them, for the tests of what they become."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import wfe


@dataclass
class Order:
    id: str
    total: int


@wfe.task
async def price(item: str) -> int:
    return len(item)


@wfe.task
def charge(order: Order, amount: int = 0) -> str:
    return f"{order.id} {amount}"


@wfe.workflow(version=3, timeout="2d", tags={"region": "${order.id}"})
async def buy(wf: wfe.Durable, order: Order, most: int = 5) -> list[str]:
    return [await wf.call(charge, order)]


@wfe.workflow(name="no-name")
async def untyped(wf: wfe.Durable, untyped, function) -> None:  # type: ignore[no-untyped-def]
    await wf.sleep(until=datetime.now())


@wfe.workflow
def outer(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[list[str]]:
    return wf.map(buy, [order])[0]
