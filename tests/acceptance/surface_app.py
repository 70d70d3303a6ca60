"""The app of the surface tests: what DESIGN section 6 shows and lists, as an author would write it."""

from __future__ import annotations

from typing import Any

from surface_tasks import (
    SECRET,
    CardDeclined,
    Item,
    Order,
    Receipt,
    Summary,
    add,
    beats,
    charge,
    double,
    elsewhere,
    endless,
    facts,
    gives_much,
    gives_nonsense,
    greet,
    knows,
    moody,
    pack,
    stuck,
    until_cancelled,
    until_cancelled_async,
    uses_database,
)

import wfe


@wfe.workflow
def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[Receipt]:
    with wf.when(order.total == 0):
        wf.end(Receipt(order="free", charge="none", packed=[]))
    with wf.catch(CardDeclined) as declined:
        charge_id = charge(order)
    with wf.when(declined.failed):
        wf.fail("OrderRefused", declined.message)
    packed = wf.map(pack, order.items, max_parallel=10)
    return wf.make(Receipt, order=order.id, charge=wf.merge(charge_id), packed=packed)


@wfe.workflow
def charging(wf: wfe.Graph, order: Order) -> str:
    return charge(order)


@wfe.workflow
def tolerant(wf: wfe.Graph, items: list[Item]) -> wfe.MapResult[str]:
    return wf.map(pack, items, tolerate=1)


@wfe.workflow
def tolerant_by_share(wf: wfe.Graph, items: list[Item]) -> wfe.MapResult[str]:
    return wf.map(pack, items, tolerate="50%")


@wfe.workflow
def choose(wf: wfe.Graph, n: int) -> str:
    with wf.when(n > 10):
        big = greet("big")
    with wf.otherwise(n > 5):
        middle = greet("middle")
    with wf.otherwise():
        small = greet("small")
    return wf.merge(big, middle, small)


@wfe.workflow
def computes_in_blocks(wf: wfe.Graph, n: int) -> list[Any]:
    with wf.when(n > 10):
        big = wf.format("big {}", n)
    with wf.otherwise(n > 5):
        middle = wf.format("middle {}", greet("you"))
    with wf.catch(ValueError):
        total = n + 1
        moody("bad")
        never = n + 2
    return [wf.merge(big, middle, "small"), wf.merge(never, total)]


@wfe.workflow
def leaves_defaults_out(wf: wfe.Graph, n: int) -> list[Any]:
    later = wf.start(summarise, n, key=wf.format("defaults-{}", n))
    return [summarise(n), summarise(factor=1, n=n), wf.map(summarise, [n]), wf.size(later)]


@wfe.workflow
def summarise(wf: wfe.Graph, n: int, factor: int = 3) -> Summary:
    return Summary(choose(n), wf.map(double, [n, n + factor]))


@wfe.workflow
async def awaited(wf: wfe.Graph, a: int) -> int:
    first = await add(a)
    return await add(first, b=1)


@wfe.workflow
def arithmetic(wf: wfe.Graph, a: int, b: int) -> dict[str, Any]:
    return {
        "numbers": [a + b, a - b, a * b, a / b, 10 - a],
        "comparisons": [a == b, a != b, a < b, a <= b, a > b, a >= b],
        "conditions": [(a > 1) & (b > 1), (a > 100) | (b > 1), wf.not_(a > 1), wf.is_none(a)],
        "functions": [wf.size([a, b]), wf.contains([a], b), wf.format("{}/{b}", a, b=b), wf.expr("x * 2", x=a)],
    }


@wfe.workflow
def about_itself(wf: wfe.Graph) -> dict[str, Any]:
    return {"facts": facts(), "id": wf.run.id, "key": wf.run.key, "at": wf.run.scheduled_at, "now": wf.now()}


@wfe.workflow
def concurrent(wf: wfe.Graph) -> list[int]:
    with wf.parallel():
        left = wf.wait_signal("left", int)
        with wf.branch():
            first = wf.wait_signal("first", int)
            second = wf.wait_signal("second", int)
    return [left, first, second]


@wfe.workflow
def failing_parallel(wf: wfe.Graph) -> str:
    with wf.parallel():
        never = wf.wait_signal("never", str)
        moody("fatal")
    return never


@wfe.workflow
def in_order(wf: wfe.Graph) -> list[int]:
    return [wf.wait_signal("one", int), wf.wait_signal("two", int)]


@wfe.workflow
def polling(wf: wfe.Graph) -> dict[str, Any]:
    item = wf.wait_signal("item", Item, timeout="0s", default=Item("none"))
    return {"item": item, "count": item.count}


@wfe.workflow
def late(wf: wfe.Graph) -> str:
    return wf.wait_signal("never", str, timeout="10ms")


@wfe.workflow
def asleep(wf: wfe.Graph) -> str:
    wf.sleep("1h")
    return greet("late riser")


@wfe.workflow
def naps(wf: wfe.Graph) -> str:
    wf.sleep("20ms")
    wf.sleep(until="2001-01-01T00:00:00Z")
    return greet("early riser")


@wfe.workflow(version=3, timeout="100ms")
def limited(wf: wfe.Graph) -> str:
    return wf.wait_signal("never", str)


@wfe.workflow(tags={"region": "${region}"})
def tagged(wf: wfe.Graph, region: str) -> str:
    return greet(region)


@wfe.workflow
def detaches(wf: wfe.Graph, n: int) -> str:
    return wf.start(choose, n, key="detached")


@wfe.workflow
def fans_out(wf: wfe.Graph, numbers: list[int]) -> list[str]:
    return wf.map(choose, numbers, max_parallel=2)


@wfe.workflow
def child_fails(wf: wfe.Graph, order: Order) -> str:
    with wf.catch(CardDeclined) as caught:
        charging(order)
    return wf.format("{} at {}: {}", caught.type, caught.node, caught.message)


@wfe.workflow
def moods(wf: wfe.Graph, mood: str) -> str:
    return moody(mood)


@wfe.workflow
def patient_moods(wf: wfe.Graph, mood: str) -> str:
    return moody.with_options(id="once", retry=wfe.Retry(max_attempts=1))(mood)


@wfe.workflow
def beating(wf: wfe.Graph) -> Any:
    return beats()


@wfe.workflow
def processes(wf: wfe.Graph) -> list[Any]:
    return [facts(), elsewhere()]


@wfe.workflow
def spinning(wf: wfe.Graph) -> None:
    endless()


@wfe.workflow
def hanging(wf: wfe.Graph) -> None:
    stuck()


@wfe.workflow
def cancellable(wf: wfe.Graph, directory: str) -> None:
    until_cancelled(directory)


@wfe.workflow
async def cancellable_async(wf: wfe.Graph, directory: str) -> None:
    await until_cancelled_async(directory)


@wfe.workflow
def resourceful(wf: wfe.Graph) -> list[int]:
    return [uses_database(), uses_database()]


@wfe.workflow
def secretive(wf: wfe.Graph) -> int:
    return knows(wfe.secret(SECRET))


@wfe.workflow
def nonsensical(wf: wfe.Graph) -> Any:
    return gives_nonsense()


@wfe.workflow
def oversized(wf: wfe.Graph, size: int) -> str:
    return gives_much(size)


@wfe.workflow
def constant(wf: wfe.Graph) -> str:
    return "constant"


@wfe.workflow
def nested_constant(wf: wfe.Graph) -> str:
    return wf.format("a {}", constant())
