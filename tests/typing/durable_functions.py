"""Durable functions, to a checker: calls have the types of what they call. Lines that end in ``# wrong`` are errors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_type
from uuid import UUID

import wfe
from wfe.client import Run


@dataclass
class Order:
    id: str
    total: int


@wfe.task
async def price(item: str) -> int:
    return len(item)


@wfe.task
def charge(order: Order, amount: int = 0) -> str:
    return order.id


@wfe.workflow
def drawn(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[str]:
    return charge(order)


@wfe.workflow
async def other(wf: wfe.Durable, x: int) -> float:
    return x / 2


@wfe.workflow(name="buy", version=3, timeout="7d")
async def buy(wf: wfe.Durable, order: Order, *, most: int = 3) -> list[str]:
    assert_type(await price("a"), int)
    assert_type(await asyncio.gather(price("a"), price("b")), tuple[int, int])
    assert_type(await wf.call(charge, order), str)
    assert_type(await wf.call(charge, order, amount=3), str)
    assert_type(await wf.call(price, "a"), int)
    assert_type(await wf.call(drawn, order), str)
    assert_type(await wf.call(other, 4), float)
    assert_type(await wf.call(charge.with_options(timeout="3s"), order), str)
    assert_type(await other(4), float)
    assert_type(await wf.start(other, 4, key="k"), str)
    assert_type(await wf.wait_signal("go", Order), Order)
    assert_type(await wf.wait_signal("go", Order, timeout="1s", default=None), Order | None)
    assert_type((await wf.approval("boss", to=["a"], timeout=timedelta(days=1))).approved, bool)
    assert_type((await wf.http("get", "https://example.org", returns=Order)).body, Order)
    assert_type(wf.now(), datetime)
    assert_type(wf.uuid(), UUID)
    assert_type(wf.random(), float)
    assert_type(wf.version("change"), bool)
    assert_type(wf.run.key, str)
    async with asyncio.TaskGroup() as group:
        made = group.create_task(wf.call(charge, order))
    assert_type(made.result(), str)
    try:
        await wf.sleep("1h")
    except wfe.CallFailed as error:
        error.caused_by(ValueError)
        assert_type(error.error.type, str)
    wf.publish({"step": 1})
    if most:
        wf.continue_with(order, most=most - 1)
    return []


@wfe.workflow
async def mistakes(wf: wfe.Durable, order: Order) -> None:
    await price(3)  # wrong
    await wf.call(charge, 3)  # wrong
    await wf.call(charge, order, amont=3)  # wrong
    await other("x")  # wrong
    await wf.sleep(3)  # wrong
    await wf.wait_signal(Order)  # wrong


def use(order: Order) -> None:
    with wfe.connect() as client:
        assert_type(client.start(buy, order), Run[list[str]])
        assert_type(client.start(other, 3).result(), float)
        client.start(other, "3")  # wrong
