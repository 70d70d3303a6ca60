"""Workloads of runs that wait: W6, many timers due within a short time, and W7, signals."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.report import Report, costs, percentile, percentiles, stages
from wfe.client.bench.usage import Meter
from wfe.client.bench.workloads import DEFAULT, Options
from wfe.client.runs import AsyncRun
from wfe.errors import RunCancelled, RunFailed

START_BATCH = 1_000
STARTS_AHEAD = 4
LEAD_S = 2.0
"""The first timer is due that much later than the last start is expected to be durable."""


async def start_all(
    client: AsyncClient,
    workflow: str,
    items: list[Any],
    options: Options = DEFAULT,
    admissions_ms: list[float] | None = None,
) -> list[AsyncRun[Any]]:
    """Starts a run per item, a few batches at a time; the handles in the order of the items.

    ``admissions_ms`` is given the time that each batch took to become durable.
    """
    batches = [items[first : first + START_BATCH] for first in range(0, len(items), START_BATCH)]
    found: list[list[AsyncRun[Any]]] = [[] for _ in batches]
    places = iter(range(len(batches)))
    started = 0

    async def lane() -> None:
        nonlocal started
        for place in places:
            before = time.perf_counter()
            found[place] = await client.start_many(workflow, batches[place])
            if admissions_ms is not None:
                admissions_ms.append((time.perf_counter() - before) * 1000)
            started += len(batches[place])
            options.progress(started, 2 * len(items))

    async with asyncio.TaskGroup() as group:
        for _ in range(STARTS_AHEAD):
            group.create_task(lane())
    return [run for batch in found for run in batch]


async def timers(
    client: AsyncClient, *, runs: int = 100_000, within_s: float = 60.0, options: Options = DEFAULT
) -> Report:
    """W6: runs that sleep until times spread at random over ``within_s``, then run a task that reads the clock.

    ``p50_ms`` and ``p99_ms``: how much later than due that task began.
    """
    definition = definitions.timer()
    await client.deploy(definition)
    warm_up = [time.time() * 1000] * min(1_000, runs)
    before = time.perf_counter()
    for run in await start_all(client, definition.workflow, warm_up):
        await run.result()
    rate = len(warm_up) / (time.perf_counter() - before)
    meter = Meter(client)
    await meter.begin()
    first_ms = time.time() * 1000 + (LEAD_S + 2 * runs / rate) * 1000
    dice = random.Random(runs)
    due = [first_ms + dice.random() * within_s * 1000 for _ in range(runs)]
    before = time.perf_counter()
    admissions: list[float] = []
    started = await start_all(client, definition.workflow, due, options, admissions)
    starting_s = time.perf_counter() - before
    early_s = first_ms / 1000 - time.time()
    memory = meter.memory()
    late: list[float] = []
    failed = 0
    for count, run in enumerate(started, 1):
        try:
            late.append(float(await run.result()))
        except (RunFailed, RunCancelled):
            failed += 1
        if count % START_BATCH == 0:
            options.progress(runs + count, 2 * runs)
    seconds = time.time() - first_ms / 1000
    await meter.end()
    assert meter.status is not None, "the meter has begun and ended"
    more = {
        "within_s": within_s,
        "timers_per_s": round(runs / seconds, 1),
        "starts_per_s": round(runs / starting_s, 1),
        "all_started_before_first_due": early_s > 0,
        "woken_early": sum(value < -1.0 for value in late),
        "max_ms": round(max(late, default=0.0), 3),
        **costs(meter.spent, memory, runs),
        "stages": stages(meter.status, admissions),
    }
    bad = failed + more["woken_early"]
    return Report("timers", runs, runs, seconds, percentile(late, 50), percentile(late, 99), bad, more)


async def signals(
    client: AsyncClient, *, runs: int = 1_000, each: int = 10, at_once: int = 64, options: Options = DEFAULT
) -> Report:
    """W7: ``at_once`` runs in flight, each of which is sent ``each`` signals, one after the other.

    A signal counts as a task; ``p50_ms`` and ``p99_ms``: until a signal was durable, as its sender sees it.
    """
    definition = definitions.signals(each)
    await client.deploy(definition)
    left = runs
    latencies: list[float] = []
    whole: list[float] = []
    admissions: list[float] = []
    failed = 0

    async def lane() -> None:
        nonlocal left, failed
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            run: AsyncRun[Any] = await client.start(definition.workflow)
            admissions.append((time.perf_counter() - begun) * 1000)
            for number in range(each):
                sent = time.perf_counter()
                await run.signal("go", number)
                latencies.append((time.perf_counter() - sent) * 1000)
            if await run.result() != sum(range(each)):
                failed += 1
            whole.append((time.perf_counter() - begun) * 1000)
            options.progress(len(whole), runs)

    meter = Meter(client)
    await meter.begin()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, runs)):
            group.create_task(lane())
    seconds = time.perf_counter() - started
    await meter.end()
    assert meter.status is not None, "the meter has begun and ended"
    count = runs * each
    more = {
        "at_once": at_once,
        "signals_per_run": each,
        "run": percentiles(whole),
        **costs(meter.spent, meter.memory(), count),
        "stages": stages(meter.status, admissions),
    }
    return Report("signals", runs, count, seconds, percentile(latencies, 50), percentile(latencies, 99), failed, more)
