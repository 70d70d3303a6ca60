"""What clients start is typed by the workflow's own signature. Lines that end in ``# wrong`` must be errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

import wfe
from wfe.client import AsyncRun, HistoryItem, Run


@dataclass
class Order:
    id: str


@dataclass
class Receipt:
    id: str


@wfe.task
def pay(order: Order) -> Receipt:
    return Receipt(order.id)


@wfe.workflow
def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[Receipt]:
    return pay(order)


@wfe.workflow
async def transfer(wf: wfe.Graph, source: wfe.Ref[str], amount: int = 3) -> wfe.Ref[str]:
    return source


@wfe.workflow
def nothing(wf: wfe.Graph) -> None:
    wf.sleep("1s")


def use(order: Order) -> None:
    with wfe.connect() as client:
        run = client.start(checkout, order, key="order-42", priority=1, tags={"region": "eu"})
        assert_type(run, Run[Receipt])
        assert_type(run.result(timeout_s=30), Receipt)
        assert_type(run.history(), list[HistoryItem])
        assert_type(client.start(checkout, order), Run[Receipt])
        assert_type(client.start(checkout, order=order), Run[Receipt])
        assert_type(client.start(transfer, "a", amount=4), Run[str])
        assert_type(client.start(transfer, "a", key="k"), Run[str])
        assert_type(client.start(transfer, "a", 4, key="k"), Run[str])
        assert_type(client.start(transfer, wfe.args("a", amount=4), key="k"), Run[str])
        assert_type(client.start(nothing), Run[None])
        assert_type(client.start(nothing, key="k"), Run[None])
        assert_type(client.start_many(checkout, [order]), list[Run[Receipt]])
        assert_type(client.start_many(transfer, [wfe.args("a", 1)]), list[Run[str]])
        assert_type(client.find(checkout, "order-42"), Run[Receipt])
        assert_type(client.get(run.id, checkout), Run[Receipt])
        client.start("checkout@2", {"id": "o"}, key="k")
        client.signal(checkout, "order-42", "manager", {}, start=wfe.args(order))
        try:
            run.result()
        except wfe.RunFailed as failed:
            assert_type(failed.error.type + failed.error.message + failed.error.node, str)
            assert_type(failed.error.attempts, int)
            failed.error.kind  # wrong
        client.start(checkout, 5)  # wrong
        client.start(checkout, 5, key="k")  # wrong
        client.start(transfer, "a", total=4)  # wrong
        client.start(nothing, 1)  # wrong
        client.start(pay, order)  # wrong
        client.start_many(checkout, [5])  # wrong
        client.find(checkout, 5)  # wrong


async def use_async(order: Order) -> None:
    async with wfe.aconnect() as client:
        run = await client.start(checkout, order, key="order-42")
        assert_type(run, AsyncRun[Receipt])
        assert_type(await run.result(timeout_s=30), Receipt)
        assert_type(await run.history(), list[HistoryItem])
        assert_type(await client.start_many(checkout, [order]), list[AsyncRun[Receipt]])
        await client.start(checkout, "o")  # wrong
