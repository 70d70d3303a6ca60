"""The tasks of the workloads: a server that is to be measured runs ``--app wfe.client.bench.app``."""

from __future__ import annotations

import asyncio
import time

import wfe


@wfe.task(name="bench_noop")
def noop() -> None:
    """Does nothing."""


@wfe.task(name="bench_async_noop")
async def async_noop() -> None:
    """Does nothing, on the worker's loop."""


@wfe.task(name="bench_echo")
def echo(value: int) -> int:
    """Gives its argument back."""
    return value


@wfe.task(name="bench_async_echo")
async def async_echo(value: int) -> int:
    """Gives its argument back, on the worker's loop."""
    return value


@wfe.task(name="bench_pass")
def pass_on(data: str) -> str:
    """Gives its text back."""
    return data


@wfe.task(name="bench_async_pass")
async def async_pass_on(data: str) -> str:
    """Gives its text back, on the worker's loop."""
    return data


@wfe.task(name="bench_work")
def work(milliseconds: float) -> None:
    """Keeps a core busy for that long."""
    until = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < until:
        pass


@wfe.task(name="bench_wait")
def wait(milliseconds: float) -> None:
    """Occupies a slot for that long, and no core."""
    time.sleep(milliseconds / 1000)


@wfe.task(name="bench_clock")
def clock() -> float:
    """The time, in ms since 1970."""
    return time.time() * 1000


@wfe.task(name="bench_flaky", retry=wfe.Retry(max_attempts=3, initial_delay="10ms", jitter=0.0))
def flaky(value: int) -> int:
    """Fails at its first attempt, and gives its argument back at the second."""
    if wfe.context().attempt == 1:
        raise ConnectionError("the first attempt of this task always fails")
    return value


@wfe.task(name="bench_sleep")
async def sleep_for(seconds: float) -> list[float]:
    """Lasts that long; gives its start and end (this host's monotonic clock), so that order can be checked."""
    started = time.monotonic()
    await asyncio.sleep(seconds)
    return [started, time.monotonic()]
