"""How many runs a client can start: in bulk with `start_many`, and by single `start` calls of many client tasks.

The runs have no tasks unless asked for, so that what is measured is the front door: ids, frames, checks, keys, commits.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.report import Report, costs, percentile, stages
from wfe.client.bench.usage import Meter
from wfe.client.bench.waits import start_all
from wfe.client.bench.workloads import DEFAULT, Options
from wfe.client.runs import AsyncRun
from wfe.errors import RunCancelled, RunFailed


async def starts(
    client: AsyncClient,
    *,
    runs: int = 100_000,
    single: bool = False,
    clients: int = 64,
    length: int = 0,
    options: Options = DEFAULT,
) -> Report:
    """Starts ``runs`` runs of ``length`` tasks; ``single``: by one call each, from ``clients`` tasks at a time.

    A run counts as a task. The rate is that of durable starts; ``p50_ms``: until a start was durable (single), or
    until a run had ended (bulk).
    """
    definition = definitions.chain(length)
    await client.deploy(definition)
    name = definition.workflow
    for run in await client.start_many(name, [{}] * min(1_000, runs)):
        await run.result()
    meter = Meter(client)
    await meter.begin()
    latencies: list[float] = []
    admissions = latencies if single else []
    started = time.perf_counter()
    if single:
        handles = await _one_by_one(client, name, runs, clients, latencies, options)
    else:
        handles = await start_all(client, name, [{}] * runs, options, admissions)
    seconds = time.perf_counter() - started
    failed = 0
    for handle in handles:
        try:
            await handle.result()
        except (RunFailed, RunCancelled):
            failed += 1
        if not single:
            latencies.append((time.perf_counter() - started) * 1000)
    until_ended_s = time.perf_counter() - started
    await meter.end()
    assert meter.status is not None, "the meter has begun and ended"
    more = {
        "mode": "single" if single else "many",
        "tasks_per_run": length,
        "until_all_ended_s": round(until_ended_s, 3),
        **costs(meter.spent, meter.memory(), runs),
        "stages": stages(meter.status, admissions),
    }
    return Report("starts", runs, runs, seconds, percentile(latencies, 50), percentile(latencies, 99), failed, more)


async def _one_by_one(
    client: AsyncClient, workflow: str, runs: int, clients: int, latencies: list[float], options: Options
) -> list[AsyncRun[Any]]:
    handles: list[AsyncRun[Any]] = []
    left = runs

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            before = time.perf_counter()
            handles.append(await client.start(workflow))
            latencies.append((time.perf_counter() - before) * 1000)
            if len(handles) % 1_000 == 0:
                options.progress(len(handles), runs)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(clients, runs)):
            group.create_task(lane())
    return handles
