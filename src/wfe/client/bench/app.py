"""The tasks of the workloads: a server that is to be measured runs ``--app wfe.client.bench.app``."""

from __future__ import annotations

import asyncio
import time

import wfe


@wfe.task(name="bench_noop")
def noop() -> None:
    """Does nothing."""


@wfe.task(name="bench_echo")
def echo(value: int) -> int:
    """Gives its argument back."""
    return value


@wfe.task(name="bench_sleep")
async def sleep_for(seconds: float) -> list[float]:
    """Lasts that long; gives its start and end (this host's monotonic clock), so that order can be checked."""
    started = time.monotonic()
    await asyncio.sleep(seconds)
    return [started, time.monotonic()]
