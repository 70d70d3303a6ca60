"""How much one shard's failure slows the others: latencies of one shard's runs while the other is killed or stopped.

Runs arrive at both shards at a fixed rate, whether earlier ones have ended or not. A *calm* window is followed by one
in which the first shard fails; only runs of the second shard are measured, from their start to their result. The ratio
of the two p99s is reported, with both; it is asserted only with a margin for machines that do other things as well.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil
from chaos_server import LEASE_MS, Engine, send

import wfe
from wfe.client.aclient import NAMESPACE
from wfe.errors import WfeError
from wfe.model.ids import partition_of_key

WORKFLOW = "quick"
RATE_PER_S = 40
"""Runs per second and shard: a load under which neither waits."""
WINDOW_S = 4.0
REPETITIONS = 5
TARGET = 2.0
FAR_TOO_SLOW = 10 * TARGET
"""Beyond this ratio, shards do not fail apart, however busy the machine is otherwise."""


@dataclass
class Isolation:
    """One kind of failure: (p99 calm, p99 while the other shard fails) in ms, once per repetition."""

    failure: str
    windows: list[tuple[float, float]]

    @property
    def ratio(self) -> float:
        """The middle one of the repetitions' ratios."""
        return median(failing / calm for calm, failing in self.windows)

    def __str__(self) -> str:
        calm, failing = (median(window[i] for window in self.windows) for i in (0, 1))
        ratios = ", ".join(f"{failing / calm:.2f}" for calm, failing in self.windows)
        return (
            f"isolation: while the other shard is {self.failure} p99 is {failing:.1f} ms, else {calm:.1f} ms: "
            f"ratio {self.ratio:.2f}, at most {TARGET:g} wanted (each of {len(self.windows)}: {ratios})"
        )


async def measure(engine: Engine) -> list[Isolation]:
    """Starts the engine, measures both kinds of failure, and leaves it running."""
    await engine.start(2)
    async with wfe.aconnect(engine.address, engine.token) as client:
        status = await client.wait_until_serving(60)
        victim, measured = [Keys(shard.partitions, status.partitions) for shard in status.shards]
        await window(client, victim, measured)  # the first runs pay for what is loaded and learned
        killed, stopped = Isolation("killed", []), Isolation("stopped", [])
        for _ in range(REPETITIONS):
            for isolation, fail in ((killed, kill), (stopped, stop)):
                calm = await window(client, victim, measured)
                shards = (await client.status()).shards
                failing = asyncio.create_task(fail(shards[0].pid))
                slow = await window(client, victim, measured)
                await failing
                isolation.windows.append((p99(calm), p99(slow)))
                await client.wait_until_serving(60)
    return [killed, stopped]


class Keys:
    """Keys of runs that live in given partitions."""

    def __init__(self, partitions: list[int], total: int) -> None:
        self._partitions, self._total = set(partitions), total
        self._found = self._find()

    def next(self) -> str:
        return next(self._found)

    def _find(self) -> Iterator[str]:
        number = 0
        while True:
            key = f"{id(self)}-{number}"
            if partition_of_key(NAMESPACE, WORKFLOW, key, self._total) in self._partitions:
                yield key
            number += 1


async def window(client: Any, victim: Keys, measured: Keys) -> list[float]:
    """A window of runs on both shards; the latencies in ms of the measured one's, all of which must end."""
    latencies: list[float] = []
    others: set[asyncio.Task[None]] = set()

    async def run(key: str, seen: list[float] | None) -> None:
        begun_s = time.monotonic()
        if seen is None:
            with suppress(WfeError):  # its shard may be away for longer than a client waits
                await (await client.start(WORKFLOW, 1, key=key)).result()
            return
        assert await (await client.start(WORKFLOW, 1, key=key)).result() == 2
        seen.append(1_000 * (time.monotonic() - begun_s))

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(RATE_PER_S * WINDOW_S)):
            await asyncio.sleep(max(0.0, began_s + number / RATE_PER_S - time.monotonic()))
            group.create_task(run(measured.next(), latencies))
            others.add(asyncio.create_task(run(victim.next(), None)))
    await asyncio.gather(*others)
    return latencies


async def kill(pid: int) -> None:
    """SIGKILL at the window's start; the shard's restart and recovery are part of the window."""

    send(psutil.Process(pid), signal.SIGKILL)


async def stop(pid: int) -> None:
    """SIGSTOP for one lease."""

    process = psutil.Process(pid)
    send(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(LEASE_MS / 1_000)
    finally:
        send(process, signal.SIGCONT)


def p99(latencies_ms: list[float]) -> float:
    return sorted(latencies_ms)[int(0.99 * len(latencies_ms))]
