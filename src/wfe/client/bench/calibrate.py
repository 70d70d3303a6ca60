"""Measures what `plan` needs to know, on a server of its own: a curve of latency over load, costs, memory, disk.

Takes about twenty seconds. Tasks do nothing but pass a value of the wanted size, so that what is measured is the
engine; how long the user's tasks take is added by the plan.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import psutil

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions, paced, workloads
from wfe.client.bench.definitions import Kind
from wfe.client.bench.plan import MIB, Calibration, Point, Wanted
from wfe.client.bench.report import percentile
from wfe.client.bench.usage import Meter, fresh_status
from wfe.client.bench.waits import start_all
from wfe.client.bench.workloads import Load, Progress

IN_FLIGHT = (1, 4, 16, 64, 200, 400)
"""Runs in flight at each point of the curve."""
STEP_S = 1.0
WAITING_RUNS = 5_000
OFFERED_SHARE_MAX = 0.7
"""Of the maximum: above it a rate is not offered, since its queue would grow for as long as one looks."""
SETTLE_S = 5.0
OFFERED_RUNS_MIN = 20
"""Fewer in that time meet nobody: their latency is that of the curve's first point."""


async def calibrate(
    client: AsyncClient, data: Path, wanted: Wanted, *, step_s: float = STEP_S, progress: Progress = workloads.quiet
) -> Calibration:
    """The machine that this runs on. ``data``: the directory of the server behind ``client``, on this host."""
    kind = Kind(payload_bytes=wanted.payload_bytes)
    definition, idle = definitions.chain(wanted.steps, kind), definitions.waiting()
    await client.deploy(definition, idle)
    given = {"data": kind.text} if kind.payload_bytes else {}

    def load(at_once: int) -> Load:
        return Load("plan", definition.workflow, given, [1] * wanted.steps, at_once)

    await workloads.drive(client, load(50), 200)
    await _settle(client)
    base = await _memory(client)
    per_open_run = await _open_run_bytes(client, idle.workflow)  # first: later, memory that was let go would hide it
    await _settle(client)
    before_bytes = _stored_bytes(data)
    meter = Meter(client)
    await meter.begin()
    curve: list[Point] = []
    runs_done = 0
    for number, at_once in enumerate(IN_FLIGHT, 1):
        point, runs = await _point(client, load(at_once), step_s)
        curve.append(point)
        runs_done += runs
        progress(number, len(IN_FLIGHT) + 1)
    await meter.end()
    await _settle(client)
    stored = _stored_bytes(data) - before_bytes
    at_rate, most = None, max(point.tasks_per_s for point in curve)
    if wanted.tasks_per_s < OFFERED_SHARE_MAX * most and wanted.rate * 2 * step_s >= OFFERED_RUNS_MIN:
        at_rate = await _at_rate(client, load(1), wanted.rate, 2 * step_s)
    progress(len(IN_FLIGHT) + 1, len(IN_FLIGHT) + 1)
    tasks = runs_done * wanted.steps
    assert meter.status is not None, "the meter has begun and ended"
    stats = [shard.stats for shard in meter.status.shards if shard.stats is not None]
    commits = [each.latencies["commit"].p50_us for each in stats if "commit" in each.latencies]
    return Calibration(
        curve=curve,
        cpu_us={role: round(1e6 * spent / tasks, 2) for role, spent in meter.spent.cpu_s.items()},
        commit_ms=round(max(commits, default=0) / 1000, 3),
        disk_bytes_per_run=round(max(stored, 0) / runs_done, 1),
        memory_bytes_per_open_run=round(per_open_run, 1),
        base_memory_mb=base,
        cores=os.cpu_count() or 1,
        memory_mb=round(psutil.virtual_memory().total / MIB, 1),
        disk_free_bytes=float(shutil.disk_usage(data).free),
        at_rate=at_rate,
    )


async def _point(client: AsyncClient, load: Load, seconds: float) -> tuple[Point, int]:
    """About so many seconds with that many runs in flight."""
    probe = await workloads.drive(client, load, max(load.at_once, 10))
    rate = max(load.at_once, 10) / probe.seconds
    runs = max(load.at_once, int(rate * seconds))
    part = await workloads.drive(client, load, runs)
    each = [value / load.tasks for value in part.latencies_ms]
    point = Point(
        round(runs * load.tasks / part.seconds, 1), round(percentile(each, 50), 4), round(percentile(each, 99), 4)
    )
    return point, runs + max(load.at_once, 10)


async def _at_rate(client: AsyncClient, load: Load, rate: float, seconds: float) -> Point:
    """About so many seconds at the rate that is planned for."""
    part = await paced.offer(client, load, int(rate * seconds), rate)
    each = [value / load.tasks for value in part.latencies_ms]
    done_per_s = part.runs * load.tasks / part.seconds
    return Point(round(done_per_s, 1), round(percentile(each, 50), 4), round(percentile(each, 99), 4))


async def _open_run_bytes(client: AsyncClient, workflow: str) -> float:
    """What a run that waits takes of a shard's memory."""
    before = await _memory(client)
    handles = await start_all(client, workflow, [{}] * WAITING_RUNS)
    await _settle(client)
    after = await _memory(client)
    async with asyncio.TaskGroup() as group:
        for handle in handles:
            group.create_task(handle.signal("go"))
    for handle in handles:
        await handle.result()
    return max(0.0, (after.get("shard", 0.0) - before.get("shard", 0.0)) * MIB / WAITING_RUNS)


async def _memory(client: AsyncClient) -> dict[str, float]:
    meter = Meter(client)
    await meter.begin()
    return meter.memory().own


async def _settle(client: AsyncClient) -> None:
    """Until what has ended is in the stores, if it is soon."""
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while asyncio.get_running_loop().time() < deadline:
        shards = (await fresh_status(client)).shards
        if not any(shard.stats.gauges.get("log_tail_bytes") for shard in shards if shard.stats is not None):
            return


def _stored_bytes(data: Path) -> int:
    """What the partitions' stores take on the disk."""
    return sum(
        getattr(found := file.stat(), "st_blocks", 0) * 512 or found.st_size
        for file in (data / "partitions").rglob("data.mdb")
    )
