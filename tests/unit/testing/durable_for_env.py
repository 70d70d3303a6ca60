"""An app of durable functions for the tests of the test kit."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

import wfe


class Declined(Exception):
    """No money."""


class Item(msgspec.Struct):
    name: str
    cents: int


@wfe.task
async def price(name: str) -> Item:
    return Item(name, 100 * len(name))


@wfe.task
def charge(cents: int) -> str:
    return f"paid {cents}"


@wfe.workflow
async def buy(wf: wfe.Durable, names: list[str], most: int = 1_000) -> str:
    items = await asyncio.gather(*(price(name) for name in names))
    total = sum(item.cents for item in items)
    wf.publish({"total": total})
    if total > most:
        decision = await wf.approval("boss", timeout="2d", on_reject="continue")
        if not decision.approved:
            return "refused"
    await wf.sleep("1h")
    try:
        return await wf.call(charge, total)
    except Declined as error:
        return f"declined: {error}"


@wfe.workflow
def drawn(wf: wfe.Graph, names: list[str]) -> wfe.Ref[str]:
    return buy(names)  # type: ignore[return-value]


@wfe.workflow
async def both_ways(wf: wfe.Durable, names: list[str]) -> list[str]:
    kept = await wf.start(buy, names, key="kept")
    assert kept != wf.run.id
    return [await wf.call(drawn, names), await buy(names)]


@wfe.workflow
async def in_rounds(wf: wfe.Durable, left: int, said: list[str]) -> list[str]:
    said.append(f"{(await price('a')).cents} {wf.uuid()}")
    if left:
        wf.continue_with(left - 1, said)
    return said


@wfe.workflow
async def cleans_up(wf: wfe.Durable) -> None:
    try:
        await wf.wait_signal("never")
    finally:
        await wf.call(charge, -1)


_counter = itertools.count()


@wfe.workflow
async def careless(wf: wfe.Durable) -> None:
    if next(_counter) % 2:
        await price("odd")
    else:
        await wf.call(charge, 1)
    await wf.sleep("1s")


@wfe.workflow
async def first_answer(wf: wfe.Durable) -> str:
    async with asyncio.timeout(3_600):
        asked = [asyncio.create_task(wf.wait_signal(name, str)) for name in ("mail", "phone")]
        done, pending = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return done.pop().result()


@wfe.workflow
async def swallows(wf: wfe.Durable) -> None:
    while True:
        try:
            await wf.wait_signal("never")
        except BaseException:  # noqa: BLE001  what a careless author writes
            await wf.call(charge, 0)


@wfe.workflow
async def much(wf: wfe.Durable, calls: int) -> int:
    for number in range(calls):
        wf.publish(number)
    return calls


@wfe.workflow
async def blocks_on_nothing(wf: wfe.Durable) -> None:
    await asyncio.Event().wait()


@wfe.workflow
async def promises_a_number(wf: wfe.Durable, value: object) -> int:
    return value  # type: ignore[return-value]
