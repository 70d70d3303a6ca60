"""Every line that ends in ``# wrong`` must be an error for both checkers, and no other line."""

from __future__ import annotations

from dataclasses import dataclass

import wfe


@dataclass
class Order:
    id: str
    total: float
    lines: list[str]


@wfe.task
def price(line: str) -> float:
    return float(line)


@wfe.task
async def fetch(url: str) -> bytes:
    return url.encode()


@wfe.task(timeout=30)  # wrong
def slow() -> None:
    return None


@wfe.workflow
def regional(wf: wfe.Graph, region: str) -> int:
    price(region)
    return 1


@wfe.workflow
def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> float:
    order.totl  # wrong
    price(order.total)  # wrong
    price()  # wrong
    price(lines="a")  # wrong
    regional(3)  # wrong
    price.with_options(idd="x")("a")  # wrong
    price.with_options(id="x")(3)  # wrong
    wf.map(price, [1, 2])  # wrong
    wf.when(order)  # wrong
    wf.sleep(3)  # wrong
    wf.nothing()  # wrong
    text: str = wf.wait_signal("go", Order)  # wrong
    number: str = wf.size(order.lines)  # wrong
    price(fetch("u"))  # wrong
    wf.make(Order, id=1, total=1.0, lines=[])  # wrong
    wfe.Retry(max_attempts="3")  # wrong
    s = wf.state(Order("a", 1.0, []))
    s.total = "x"  # wrong
    s.totl = 1.0  # wrong
    wf.compensate_with(price, 3)  # wrong
    wf.compensate_with(price)  # wrong
    wf.compensate_with(price("a"))  # wrong
    wf.approval("manager", on_timeout="ignore")  # wrong
    wf.approval("manager", timeout=3)  # wrong
    wf.loop(max_iterations="3")  # wrong
    wf.break_if(order)  # wrong
    with wf.race() as r:
        r.winner  # wrong
    wf.http("GET", "https://x", returns=Order).body.nothing  # wrong
    price.with_options(join="first")("a")  # wrong
    print(text, number)
    return order.id  # wrong


wfe.nothing  # wrong
