"""Durable functions for the acceptance tests."""

from __future__ import annotations

import asyncio
import os
import time

import wfe


@wfe.task
async def weigh(number: int) -> int:
    await asyncio.sleep(0.01)
    return number * number


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="10ms"))
def label(text: str) -> str:
    time.sleep(0.005)
    return f"<{text}>"


@wfe.task
def where() -> int:
    return os.getpid()


@wfe.workflow
async def parcel(wf: wfe.Durable, first: int, steps: int) -> list[str]:
    """Steps one after the other and side by side, dice, a timer, a child; its output depends on all of them."""
    labels = []
    for step in range(steps):
        squares = await asyncio.gather(weigh(first + step), weigh(first - step))
        labels.append(await wf.call(label, f"{squares[0]}-{squares[1]}"))
        if step % 5 == 0:
            wf.publish({"step": step, "dice": wf.random()})
            await wf.sleep("20ms")
    labels.append(str(await wf.call(total, first)))
    return labels


@wfe.workflow
def total(wf: wfe.Graph, first: int) -> int:
    return weigh(first)  # type: ignore[return-value]


@wfe.workflow
async def asks(wf: wfe.Durable, question: str) -> str:
    answer = await wf.wait_signal("answer", str)
    return await wf.call(label, f"{question} {answer}")


@wfe.workflow
async def blocks(wf: wfe.Durable) -> str:
    time.sleep(1.6)
    return await wf.call(label, "late")
