"""Tasks whose inputs and results go wrong: the app of test_bad_input.py and test_bad_starts.py."""

from __future__ import annotations

from dataclasses import dataclass

import wfe


@dataclass
class Item:
    name: str
    price: float


@dataclass
class Order:
    id: str
    items: list[Item]


@wfe.task
def total(order: Order) -> float:
    return sum(item.price for item in order.items)


@wfe.task
def same(value: str) -> str:
    return value


@wfe.task
def unencodable(n: int) -> object:
    return object() if n else lambda: None


@wfe.task
def grown(size: int) -> str:
    return "x" * size


@wfe.task
async def grown_async(size: int) -> str:
    return "x" * size


@wfe.task(run_in="process")
def grown_process(size: int) -> str:
    return "x" * size


@wfe.workflow
def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[float]:
    return total(order)


@wfe.workflow
def echo(wf: wfe.Graph, value: wfe.Ref[str]) -> wfe.Ref[str]:
    return same(value)


@wfe.workflow
def strange(wf: wfe.Graph, n: wfe.Ref[int]) -> wfe.Ref[object]:
    return unencodable(n)


@wfe.workflow
def huge(wf: wfe.Graph, size: wfe.Ref[int]) -> wfe.Ref[str]:
    return grown(size)


@wfe.workflow
def huge_async(wf: wfe.Graph, size: wfe.Ref[int]) -> wfe.Ref[str]:
    return grown_async(size)


@wfe.workflow
def huge_process(wf: wfe.Graph, size: wfe.Ref[int]) -> wfe.Ref[str]:
    return grown_process(size)


@wfe.workflow
def twice(wf: wfe.Graph, size: wfe.Ref[int]) -> wfe.Ref[list[str]]:
    first, second = grown(size), grown(size)
    return [first, second]
