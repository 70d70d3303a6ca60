"""Durable functions for the tests, at module level as users write them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec

import wfe


class CardDeclined(Exception):
    """A card was declined."""


class Order(msgspec.Struct):
    id: str
    total: int


@wfe.task
async def price(item: str) -> int:
    return len(item)


@wfe.task(version=2, retry=wfe.Retry(max_attempts=5), timeout="30s", heartbeat="5s", redeliver=False)
def charge(order: Order, amount: int = 0) -> str:
    raise NotImplementedError


@wfe.task
async def note(text: str) -> None:
    raise NotImplementedError


@wfe.workflow
def graph(wf: wfe.Graph, x: int) -> wfe.Ref[int]:
    return x


@wfe.workflow
async def inner(wf: wfe.Durable, x: int) -> int:
    return x + await price("a")


@wfe.workflow
async def one_after_the_other(wf: wfe.Durable, items: list[str]) -> int:
    total = 0
    for item in items:
        total += await price(item)
    return total


@wfe.workflow
async def all_at_once(wf: wfe.Durable, items: list[str]) -> list[int]:
    return await asyncio.gather(*(price(item) for item in items))


@wfe.workflow
async def every_kind(wf: wfe.Durable, order: Order) -> dict[str, Any]:
    found: dict[str, Any] = {"began": wf.now(), "id": wf.uuid(), "dice": wf.random(), "run": [wf.run.id, wf.run.key]}
    wf.publish({"step": 1})
    found["charged"] = await wf.call(charge, order, amount=3)
    found["graph"] = await wf.call(graph, 4)
    found["inner"] = await inner(5)
    found["started"] = await wf.start(graph, 6, key="k")
    await wf.sleep("2s")
    await wf.sleep(until=datetime.fromisoformat("2030-01-01T00:00:00+00:00"))
    await asyncio.sleep(0.5)
    found["signal"] = await wf.wait_signal("go", str, timeout="1h", correlate="c")
    found["poll"] = await wf.wait_signal("maybe", str, timeout="0s", default=None)
    decision = await wf.approval("manager", to="boss", timeout="2d", on_reject="continue", form=Order)
    found["approved"] = decision.approved
    found["new"] = wf.version("second-way")
    found["http"] = (await wf.http("get", "https://example.org/x", query={"a": 1}, accept=[404])).status
    found["ended"] = wf.now()
    return found


@wfe.workflow
async def catches(wf: wfe.Durable, order: Order) -> str:
    try:
        return await wf.call(charge, order)
    except CardDeclined as error:
        known = isinstance(error, wfe.CallFailed) and error.caused_by(CardDeclined)
        return f"declined: {error} {known}"
    finally:
        await note("charged")


@wfe.workflow
async def lets_through(wf: wfe.Durable, order: Order) -> str:
    return await wf.call(charge, order)


@wfe.workflow
async def cleans_up(wf: wfe.Durable) -> str:
    try:
        await wf.wait_signal("never")
    finally:
        await note("clean")
    return "over"


@wfe.workflow
async def begins_more_at_its_end(wf: wfe.Durable) -> None:
    try:
        await wf.wait_signal("never")
    finally:
        asyncio.create_task(wf.sleep("1d"))  # noqa: RUF006
        await asyncio.gather(wf.sleep("1d"), note("clean"))


@wfe.workflow
async def swallows(wf: wfe.Durable) -> str:
    while True:
        try:
            await wf.wait_signal("never")
        except BaseException:  # noqa: BLE001  what a careless author writes
            await note("still here")


@wfe.workflow
async def rounds(wf: wfe.Durable, left: int, total: int = 0) -> int:
    total += await price("abc")
    if left:
        wf.continue_with(left - 1, total=total)
    return total


@wfe.workflow
async def first_of(wf: wfe.Durable) -> str:
    async with asyncio.timeout(60):
        done, pending = await asyncio.wait(
            [asyncio.create_task(wf.wait_signal(name, str)) for name in "abc"], return_when=asyncio.FIRST_COMPLETED
        )
    for task in pending:
        task.cancel()
    return ",".join(task.result() for task in done)


@wfe.workflow
async def leaves_work_behind(wf: wfe.Durable) -> str:
    async def goes_on() -> None:
        try:
            await wf.sleep("1d")
        finally:
            await note("stopped")

    kept = asyncio.create_task(goes_on())
    await price("a")
    return f"done {kept.done()}"
