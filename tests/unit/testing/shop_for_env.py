"""Workflows that the tests of `wfe.testing` run."""

import asyncio

import wfe


class CardDeclined(Exception):
    pass


@wfe.task
def double(x: int) -> int:
    return x * 2


@wfe.task(retry=wfe.Retry(max_attempts=5, initial_delay="10s", jitter=0))
async def slow_increment(x: int) -> int:
    await asyncio.sleep(100)
    return x + 1


@wfe.task
def charge(customer: str, amount: int = 5) -> str:
    raise CardDeclined(f"{customer} has no money for {amount}")


@wfe.task(timeout="5s")
async def too_slow() -> int:
    await asyncio.sleep(60)
    return 1


@wfe.task
def who() -> list:
    context = wfe.context()
    return [context.node, context.attempt]


@wfe.workflow
def patient(wf: wfe.Graph, x: wfe.Ref[int]) -> wfe.Ref[int]:
    doubled = double(x)
    wf.sleep("2d")
    return slow_increment(doubled)


@wfe.workflow
def obedient(wf: wfe.Graph, factor: wfe.Ref[int]) -> wfe.Ref[int]:
    number = wf.wait_signal("go", int)
    return double(number * factor)


@wfe.workflow
def parent(wf: wfe.Graph, xs: wfe.Ref[list[int]]) -> wfe.Ref[list[int]]:
    return wf.map(patient, xs)


@wfe.workflow
def paying(wf: wfe.Graph, customer: wfe.Ref[str]) -> wfe.Ref[str]:
    return charge(customer)


@wfe.workflow
def late(wf: wfe.Graph) -> wfe.Ref[int]:
    return too_slow()


@wfe.workflow
def curious(wf: wfe.Graph) -> wfe.Ref[list]:
    return who()


@wfe.workflow
def nap(wf: wfe.Graph) -> wfe.Ref[str]:
    wf.sleep("1h")
    first = who()
    wf.sleep("1h")
    return wf.format("{}", first)
