"""Closed loops over one client: so many runs in flight, the next one as soon as one has ended.

Each workload deploys its graph, warms up (tasks, connections and caches of every process), and measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.report import Report, percentile
from wfe.client.runs import AsyncRun
from wfe.errors import RunCancelled, RunFailed

Progress = Callable[[int, int], None]
"""``progress(done, total)``, called now and then."""

WARM_UP_PERCENT = 10
WARM_UP_RUNS_MAX = 1_000


def _quiet(done: int, total: int) -> None:
    """The default: no progress."""


async def chain(
    client: AsyncClient, *, chains: int = 200, length: int = 10, runs: int = 10_000, progress: Progress = _quiet
) -> Report:
    """``chains`` runs of ``length`` no-op tasks in flight until ``runs`` of them are done."""
    definition = definitions.chain(length)
    await client.deploy(definition)
    return await _closed_loop(client, "chain", definition.workflow, (), length, runs, chains, progress)


async def fanout(
    client: AsyncClient, *, width: int = 100, at_once: int = 20, runs: int = 500, progress: Progress = _quiet
) -> Report:
    """``at_once`` runs of 1 -> ``width`` -> 1 tasks in flight until ``runs`` of them are done."""
    definition = definitions.fanout(width)
    await client.deploy(definition)
    given = (list(range(width)),)
    return await _closed_loop(client, "fanout", definition.workflow, given, width + 2, runs, at_once, progress)


async def latency(client: AsyncClient, *, runs: int = 1_000, progress: Progress = _quiet) -> Report:
    """One run of one task at a time."""
    definition = definitions.chain(1)
    await client.deploy(definition)
    return await _closed_loop(client, "latency", definition.workflow, (), 1, runs, 1, progress)


async def _closed_loop(
    client: AsyncClient,
    workload: str,
    workflow: str,
    given: tuple[Any, ...],
    tasks: int,
    runs: int,
    at_once: int,
    progress: Progress,
) -> Report:
    warm_up = min(max(runs * WARM_UP_PERCENT // 100, min(at_once, runs)), WARM_UP_RUNS_MAX)
    await _drive(client, workflow, given, warm_up, at_once, _quiet)
    started = time.perf_counter()
    latencies, failed = await _drive(client, workflow, given, runs, at_once, progress)
    seconds = time.perf_counter() - started
    return Report(
        workload,
        runs,
        runs * tasks,
        seconds,
        percentile(latencies, 50),
        percentile(latencies, 99),
        failed,
        {"at_once": at_once, "tasks_per_run": tasks},
    )


async def _drive(
    client: AsyncClient, workflow: str, given: tuple[Any, ...], runs: int, at_once: int, progress: Progress
) -> tuple[list[float], int]:
    """Latencies in ms of ``runs`` runs, and how many did not complete."""
    latencies: list[float] = []
    failed = 0
    left = runs
    step = max(runs // 100, 1)

    async def lane() -> None:
        nonlocal left, failed
        while left > 0:
            left -= 1
            submitted = time.perf_counter()
            run: AsyncRun[Any] = await client.start(workflow, *given)
            try:
                await run.result()
            except (RunFailed, RunCancelled):
                failed += 1
            latencies.append((time.perf_counter() - submitted) * 1000)
            if len(latencies) % step == 0:
                progress(len(latencies), runs)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, runs)):
            group.create_task(lane())
    return latencies, failed
