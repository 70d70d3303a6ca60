"""Types and tasks of the surface tests' app."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

import wfe

SECRET = "SURFACE_SECRET"


@dataclass
class Item:
    sku: str
    count: int = 1


class Order(msgspec.Struct):
    id: str
    total: float
    items: list[Item] = []


class Receipt(BaseModel):
    order: str
    charge: str
    packed: list[str]


@dataclass
class Summary:
    choice: str
    numbers: list[int] = field(default_factory=list)


class CardDeclined(Exception):
    pass


class CardStolen(CardDeclined):
    pass


# ---- tasks


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="5ms", on=(ConnectionError,), never=("CardDeclined",)))
def charge(order: Order) -> str:
    if order.id == "stolen":
        raise CardStolen("call the police")
    if order.id == "flaky" and wfe.context().attempt < 3:
        raise ConnectionResetError("try again")
    return f"charge-{order.id}"


@wfe.task
def pack(item: Item) -> str:
    if item.count < 0:
        raise ValueError(f"{item.sku} cannot be packed")
    return f"{item.sku}x{item.count}"


@wfe.task
def greet(name: str) -> str:
    return f"hello {name}"


@wfe.task
async def add(a: int, b: int = 10) -> int:
    await asyncio.sleep(0)
    return a + b


@wfe.task
def double(n: int) -> int:
    return 2 * n


@wfe.task(retry=wfe.Retry(max_attempts=4, initial_delay="1ms"))
def moody(mood: str) -> str:
    attempt = wfe.context().attempt
    if mood == "fatal":
        raise wfe.Fatal("for good")
    if mood == "after" and attempt < 3:
        raise wfe.RetryAfter("5ms")
    if mood == "bad":
        raise ValueError(f"attempt {attempt}")
    return f"{mood} {attempt}"


@wfe.task(retry=wfe.Retry(max_attempts=2, initial_delay="1ms"))
def beats() -> Any:
    context = wfe.context()
    if context.attempt == 1:
        context.heartbeat({"done": 7}, progress=0.5)
        raise ConnectionError("lost")
    return context.previous


@wfe.task
def facts() -> dict[str, Any]:
    """What wfe.context() says."""
    context = wfe.context()
    return {
        "run_id": context.run_id,
        "node": context.node,
        "attempt": context.attempt,
        "key": context.key,
        "cancelled": context.cancelled,
        "previous": context.previous,
        "pid": os.getpid(),
    }


@wfe.task(run_in="process")
def elsewhere() -> int:
    return os.getpid()


@wfe.task(timeout="150ms")
def endless() -> None:
    while True:
        pass


@wfe.task(timeout="150ms", run_in="process")
def stuck() -> None:
    time.sleep(3600)


@wfe.task
def until_cancelled(directory: str) -> None:
    """Says that it runs and, by a file, that heartbeat() told it to stop."""
    Path(directory, "running").touch()
    try:
        while True:
            wfe.context().heartbeat()
            time.sleep(0.01)
    except wfe.TaskCancelled:
        Path(directory, "stopped").touch()
        raise


@wfe.task
async def until_cancelled_async(directory: str) -> None:
    Path(directory, "running").touch()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        Path(directory, "stopped").touch()
        raise


@wfe.resource
def database() -> Iterator[dict[str, int]]:
    yield {"opened": 0}


@wfe.task
def uses_database() -> int:
    database()["opened"] += 1
    return database()["opened"]


@wfe.task
def knows(secret: str) -> int:
    print("the secret is", secret)
    return len(secret)


@wfe.task
def gives_nonsense() -> Any:
    return object()


@wfe.task
def gives_much(size: int) -> str:
    return "x" * size
