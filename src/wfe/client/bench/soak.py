"""W9: a mixed load for a given time, whose results are all checked, with memory and rate over time.

In turn: chains, fan-outs, and runs with a map, a failing first attempt, a nap, a sub-workflow and a signal, some of
them started under a key.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.report import Report, costs, percentile, stages
from wfe.client.bench.usage import Meter
from wfe.client.bench.workloads import DEFAULT, Options
from wfe.client.runs import AsyncRun
from wfe.errors import RunCancelled, RunFailed

CHAIN, WIDTH, ITEMS = 10, 50, 10
SAMPLES = 20
KEPT_LATENCIES = 100_000


@dataclass
class _Books:
    runs: int = 0
    tasks: int = 0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    admissions_ms: list[float] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)


class _Mix:
    """One method per kind of run; each returns whether the result was right."""

    def __init__(self, client: AsyncClient, books: _Books) -> None:
        self._client = client
        self._books = books
        self._numbers = itertools.count()
        self._session = f"{time.time_ns():x}"
        self.turns: list[Callable[[], Awaitable[bool]]] = [self.chain, self.fanout, self.mixed, self.chain, self.mixed]

    async def deploy(self) -> None:
        await self._client.deploy(
            definitions.chain(CHAIN), definitions.fanout(WIDTH), definitions.signals(2), *definitions.mixed()
        )

    async def chain(self) -> bool:
        self._books.tasks += CHAIN
        run = await self._start(definitions.chain(CHAIN).workflow)
        return await run.result() is None

    async def fanout(self) -> bool:
        self._books.tasks += WIDTH + 2
        run = await self._start(definitions.fanout(WIDTH).workflow, list(range(WIDTH)))
        return bool(await run.result() == WIDTH)

    async def mixed(self) -> bool:
        self._books.tasks += ITEMS + 3
        number = next(self._numbers)
        key = f"{self._session}-{number}" if number % 2 else None
        run = await self._start("bench-mixed", list(range(ITEMS)), key=key)
        await run.signal("go", number)
        return bool(await run.result() == 2 * ITEMS + number)

    async def _start(self, workflow: str, *given: Any, key: str | None = None) -> AsyncRun[Any]:
        begun = time.perf_counter()
        run: AsyncRun[Any] = await self._client.start(workflow, *given, key=key)
        self._books.admissions_ms.append((time.perf_counter() - begun) * 1000)
        return run


async def soak(client: AsyncClient, *, seconds: float = 60.0, at_once: int = 100, options: Options = DEFAULT) -> Report:
    """``at_once`` runs in flight for so long. ``failed`` counts wrong results, too."""
    books, meter = _Books(), Meter(client)
    mix = _Mix(client, books)
    await mix.deploy()
    await meter.begin()
    turns = itertools.cycle(mix.turns)
    started = time.perf_counter()
    over = started + seconds

    async def lane() -> None:
        while (begun := time.perf_counter()) < over:
            try:
                right = await next(turns)()
            except (RunFailed, RunCancelled):
                right = False
            books.failed += not right
            books.runs += 1
            books.latencies_ms.append((time.perf_counter() - begun) * 1000)
            for kept in (books.latencies_ms, books.admissions_ms):
                if len(kept) > 2 * KEPT_LATENCIES:
                    del kept[:KEPT_LATENCIES]

    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(lane()) for _ in range(at_once)]
        watch = group.create_task(_watch(books, meter, started, seconds, options))
        await asyncio.gather(*lanes)
        watch.cancel()
    took = time.perf_counter() - started
    await meter.end()
    assert meter.status is not None, "the meter has begun and ended"
    latencies = books.latencies_ms
    more = {
        "at_once": at_once,
        "samples": books.samples,
        "memory_growth_percent": _growth(books.samples),
        **costs(meter.spent, meter.memory(), max(books.tasks, 1)),
        "stages": stages(meter.status, books.admissions_ms),
    }
    return Report(
        "soak", books.runs, books.tasks, took, percentile(latencies, 50), percentile(latencies, 99), books.failed, more
    )


async def _watch(books: _Books, meter: Meter, started: float, seconds: float, options: Options) -> None:
    """Rate and memory, `SAMPLES` times over the whole."""
    tasks, last = 0, started
    while True:
        await asyncio.sleep(seconds / SAMPLES)
        now = time.perf_counter()
        rate = (books.tasks - tasks) / (now - last)
        tasks, last = books.tasks, now
        memory = meter.memory()
        books.samples.append({"after_s": round(now - started, 1), "tasks_per_s": round(rate), "memory_mb": memory.own})
        options.progress(min(int(now - started), int(seconds) - 1), int(seconds))


def _growth(samples: list[dict[str, Any]]) -> float | None:
    """How much more the processes themselves held at the end than in the middle, in percent."""
    totals = [sum(sample["memory_mb"].values()) for sample in samples]
    middle = totals[len(totals) // 2] if totals else 0
    return round(100 * (totals[-1] / middle - 1), 1) if middle else None
