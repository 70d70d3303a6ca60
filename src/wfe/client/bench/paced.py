"""An open loop over one client: runs come at a given rate, at random intervals, however fast the server is.

Latency counts from the time at which a run was due to be submitted, so that a server that falls behind is seen to
(a closed loop would wait for it, and so measure too little). What the targets of latency are about: a server that is
given half of what it can do at most.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions, workloads
from wfe.client.bench.definitions import NOOP, Kind
from wfe.client.bench.report import Report, costs, percentile, percentiles, stages
from wfe.client.bench.usage import Meter
from wfe.client.bench.workloads import DEFAULT, Load, Options, Progress, Slice, quiet
from wfe.client.runs import AsyncRun
from wfe.errors import InvalidInput, RunCancelled, RunFailed

PEAK_S = 3.0
WARM_UP_RUNS = 1_000
WINDOW_S = 12.0
"""After a search for the maximum, at least this much at the wanted load: the shards' stages are of ten seconds."""


async def chain(
    client: AsyncClient,
    *,
    rate: float | None = None,
    load_percent: float | None = None,
    chains: int = 200,
    length: int = 10,
    runs: int = 10_000,
    kind: Kind = NOOP,
    options: Options = DEFAULT,
    peak_s: float = PEAK_S,
    window_s: float = WINDOW_S,
) -> Report:
    """W1 at a rate: ``runs`` chains of ``length`` tasks, ``rate`` of them per second.

    ``load_percent`` instead of a rate: so much of what ``chains`` runs in flight give at most, measured first for
    ``peak_s``; as many runs follow as take ``window_s``, if that is more than ``runs``.
    InvalidInput unless just one of the two is given.
    """
    if (rate is None) == (load_percent is None):
        raise InvalidInput("a load is a rate or a share of the maximum: give one of them")
    definition = definitions.chain(length, kind)
    await client.deploy(definition)
    load = Load("chain", definition.workflow, workloads.given(kind), [1] * length, chains)
    more: dict[str, Any] = {"tasks_per_run": length}
    warm_up = await workloads.drive(client, load, min(WARM_UP_RUNS, runs))
    if load_percent is not None:
        expected = warm_up.runs / warm_up.seconds * peak_s
        peak = await workloads.drive(client, load, max(chains, int(expected)))
        most = peak.runs / peak.seconds
        rate = most * load_percent / 100
        runs = max(runs, int(rate * window_s))
        more |= {"load_percent": load_percent, "peak_tasks_per_s": round(most * length, 1)}
        more["at_peak"] = percentiles(peak.latencies_ms)
    assert rate is not None, "it was given, or follows from the share"
    meter = Meter(client)
    await meter.begin()
    found = await offer(client, load, runs, rate, options.progress)
    await meter.end()
    assert meter.status is not None, "the meter has begun and ended"
    more |= {
        "offered_tasks_per_s": round(rate * length, 1),
        **costs(meter.spent, meter.memory(), runs * length),
        "stages": stages(meter.status, found.admissions_ms),
    }
    latencies = found.latencies_ms
    return Report(
        "chain",
        runs,
        runs * length,
        found.seconds,
        percentile(latencies, 50),
        percentile(latencies, 99),
        found.failed,
        more,
    )


async def offer(client: AsyncClient, load: Load, runs: int, rate: float, progress: Progress = quiet) -> Slice:
    """``runs`` runs, ``rate`` per second on average, at random intervals; nothing waits for what came before."""
    found = Slice()
    step = max(runs // 100, 1)
    dice = random.Random(runs)

    async def one(due_s: float) -> None:
        run: AsyncRun[Any] = await client.start(load.workflow, **load.given)
        found.admissions_ms.append((time.perf_counter() - due_s) * 1000)
        try:
            await run.result()
        except (RunFailed, RunCancelled):
            found.failed += 1
        found.latencies_ms.append((time.perf_counter() - due_s) * 1000)
        if len(found.latencies_ms) % step == 0:
            progress(len(found.latencies_ms), runs)

    started = due_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(runs):
            due_s += dice.expovariate(rate)
            if (early_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            group.create_task(one(due_s))
    found.seconds = time.perf_counter() - started
    return found
