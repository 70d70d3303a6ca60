"""What each construct gives, to a checker: `assert_type` is the test. Accepted by both checkers in strict mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_type

import msgspec

import wfe


class Order(msgspec.Struct):
    id: str
    total: float
    lines: list[str]
    note: str | None = None


@dataclass
class Decision:
    approved: bool


class Pool:
    """A thing that is opened once."""

    def query(self) -> int:
        return 1


@wfe.resource
def pool() -> Iterator[Pool]:
    yield Pool()


@wfe.task
def price(line: str, region: str = "eu") -> float:
    assert_type(pool(), Pool)
    return float(pool().query())


@wfe.task(name="fetch-page", version=2, run_in="process", heartbeat=timedelta(seconds=5), redeliver=False)
async def fetch(url: str) -> bytes:
    wfe.context().heartbeat({"url": url})
    return url.encode()


@wfe.task
def note(text: str) -> None:
    if not text:
        raise wfe.Fatal("empty")
    raise wfe.RetryAfter("30s")


@wfe.workflow
def regional(wf: wfe.Graph, region: str) -> dict[str, int]:
    note(region)
    return {"n": 1}


@wfe.workflow(version=3, timeout="1h", tags={"region": "${order.id}"})
async def everything(wf: wfe.Graph, order: wfe.Ref[Order], dry: bool = False) -> float:
    assert_type(order, Order)
    assert_type(price("a"), float)
    assert_type(await fetch("http://x"), bytes)
    assert_type(price.with_options(id="first", after=[order], retry=wfe.Retry(), priority=3)("a"), float)
    assert_type(regional("eu"), dict[str, int])
    assert_type(wf.start(regional, "eu", key=order.id), str)
    assert_type(wf.map(price, order.lines), list[float])
    assert_type(wf.map(fetch, order.lines, max_parallel=3), list[bytes])
    assert_type(wf.map(regional, order.lines), list[dict[str, int]])
    found = wf.map(price, order.lines, tolerate="5%")
    assert_type(found, wfe.MapResult[float])
    assert_type(found.values, list[float])
    assert_type(found.errors[0].message, str)
    assert_type(wf.wait_signal("go", Decision), Decision)
    assert_type(wf.wait_signal("go", Decision, timeout="2d", default=None), Decision | None)
    assert_type(wf.now(), datetime)
    assert_type(wf.size(order.lines), int)
    assert_type(wf.not_(wf.is_none(order.note) & wf.contains(order.lines, "x")), bool)
    assert_type(wf.format("{} x {}", order.id, order.total), str)
    assert_type(wf.run.id + wf.run.key, str)
    assert_type(wf.merge("a", 1), str | int)
    assert_type(wf.make(Decision, approved=order.total > 1), Decision)
    expression: Any = wf.expr("order.lines.filter(x, x != skip)", skip="a")
    note(expression)
    with wf.parallel():
        with wf.branch():
            one = price("a")
        two = price("b")
    with wf.when((order.total > 1) | dry):
        wf.sleep("2d")
    with wf.otherwise(order.total > 0.5):
        wf.sleep(until=wf.now() + timedelta(days=1))
    with wf.otherwise():
        wf.fail("Odd", wf.format("{}", order.id))
    with wf.catch(ValueError, "HttpError") as caught:
        note(wfe.secret("TOKEN"))
    assert_type(caught.failed, bool)
    assert_type(caught.attempts, int)
    return one + two
