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


@dataclass
class Progress:
    count: int = 0
    best: str | None = None


@wfe.task
def undo(region: str, reason: str = "") -> None:
    note(region + reason)


@wfe.workflow
def control(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[Progress]:
    s = wf.state(Progress(count=1))
    assert_type(s, Progress)
    with wf.loop(max_iterations=None):
        s.count += regional("eu")["n"]
        s.best = order.note
        wf.sleep("1m")
        wf.break_if(s.count > 3)
    with wf.race() as r:
        page = wf.wait_signal("page", bytes, correlate=order.id)
        with wf.branch(id="late"):
            wf.sleep("1h")
    with wf.when(r.won(page)):
        assert_type(page, bytes)
    assert_type(r.won("late"), bool)
    decided = wf.approval("manager", to="boss", timeout="2d", on_timeout="reject", on_reject="continue")
    assert_type(decided, wfe.Approval)
    assert_type(decided.approved, bool)
    assert_type(decided.by + decided.comment, str)
    wf.compensate_with(undo, order.id, reason="late")
    wf.compensate_with(fetch, order.id)
    wf.compensate_with(undo.with_options(retry=wfe.Retry()), order.id)
    wf.compensate()
    with wf.lock("printer", key=order.id), wf.lock(["desk"], per_run=2):
        wf.emit("order.printed", {"id": order.id})
    answer = wf.http("GET", "https://example.com", query={"id": order.id}, returns=Progress)
    assert_type(answer, wfe.HttpResponse[Progress])
    assert_type(answer.body, Progress)
    assert_type(wf.http("POST", wf.format("https://{}", order.id), json=order).body, Any)
    assert_type(wf.decision({"big": order.total > 3}, default="small"), str)
    note.with_options(after=[page], join="any", cancels=[page, "run"])(order.id)
    note.with_options(join={"n": 2, "rest": "cancel"})(order.id)
    regional.with_options(join=2)("eu")
    sent: Any = wf.custom("mail", to=order.id)
    note(sent)
    return s


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
