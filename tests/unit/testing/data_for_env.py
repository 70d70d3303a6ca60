"""Workflows over typed, wrong and large values, for `test_testing_data`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import wfe

TEXT = "a large text, " * 10_000


@dataclass
class Line:
    price: float


@dataclass
class Order:
    id: str
    lines: list[Line]


@wfe.task
def totals(order: Order) -> list[float]:
    return [line.price for line in order.lines]


@wfe.task(retry=wfe.Retry(max_attempts=5, initial_delay="1s"))
def wrong(number: int) -> Order:
    return {"id": "a", "lines": [{"price": 1.0}, {"price": "free"}]}  # type: ignore[return-value]


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="1s", on=("InvalidOutput",)))
def sometimes(number: int) -> str:
    previous = wfe.context().attempt
    return "well" if previous > 1 else number  # type: ignore[return-value]


@wfe.task
def untyped(number):  # type: ignore[no-untyped-def]
    return {"id": 1, "lines": "none"}


@wfe.task
def read(text: str, number: int) -> str:
    return f"{number}:{len(text)}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@wfe.task
async def read_soon(text: str, number: int) -> str:
    return f"{number}:{len(text)}"


@wfe.task
def shout(text: str) -> str:
    return text.upper()


@wfe.workflow
def sum_up(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[list[float]]:
    return totals(order)


@wfe.workflow
def goes_wrong(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[str]:
    order = wrong(number)
    return order.id


@wfe.workflow
def caught(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[str]:
    with wf.catch(wfe.InvalidOutput) as failure:
        wrong(number)
    return failure.message


@wfe.workflow
def tries_again(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[str]:
    return sometimes(number)


@wfe.workflow
def passes_on(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[list[float]]:
    order = untyped(number)
    return totals(order)


@wfe.workflow
def many_readers(wf: wfe.Graph, text: wfe.Ref[str], count: wfe.Ref[int]) -> wfe.Ref[list[str]]:
    def one(number: wfe.Ref[int]) -> wfe.Ref[str]:
        return read(text, number + 1)

    return wf.map(one, wf.expr("count", count=count))


@wfe.workflow
def readers_of_results(wf: wfe.Graph, text: wfe.Ref[str]) -> wfe.Ref[list[str]]:
    loud = shout(text)
    with wf.parallel():
        first = read(loud, 1)
        second = read_soon(loud, 2)
    return [first, second, shout(loud)]


@wfe.workflow
def outer(wf: wfe.Graph, text: wfe.Ref[str]) -> wfe.Ref[list[str]]:
    return readers_of_results(text)
