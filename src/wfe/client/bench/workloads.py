"""Closed loops over one client: so many runs in flight, the next one as soon as one has ended.

Each workload deploys its graph, warms up (tasks, connections and caches of every process), and measures in rounds,
between which the floor is measured if there is one, so that both meet the same mood of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.definitions import NOOP, Kind
from wfe.client.bench.report import Floor, FloorFigures, Report, costs, floor_fields, percentile, stages
from wfe.client.bench.usage import Meter
from wfe.client.runs import AsyncRun
from wfe.errors import RunCancelled, RunFailed

Progress = Callable[[int, int], None]
"""``progress(done, total)``, called now and then."""

WARM_UP_PERCENT = 10
WARM_UP_RUNS_MAX = 1_000
MIB = 1 << 20


def quiet(done: int, total: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class Options:
    """How to measure. ``rounds``: slices of the whole; each is preceded by one of the floor, if there is one."""

    rounds: int = 1
    floor: Floor | None = None
    progress: Progress = quiet


DEFAULT = Options()


@dataclass(frozen=True)
class Load:
    """Runs of a workflow, ``at_once`` in flight. ``given``: its arguments by name.

    ``widths``: its tasks, stage by stage, for the floor.
    """

    workload: str
    workflow: str
    given: dict[str, Any]
    widths: list[int]
    at_once: int
    payload: bytes = b"\xc0"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> int:
        return sum(self.widths)


async def chain(
    client: AsyncClient,
    *,
    chains: int = 200,
    length: int = 10,
    runs: int = 10_000,
    kind: Kind = NOOP,
    options: Options = DEFAULT,
) -> Report:
    """W1: ``chains`` runs of ``length`` tasks in flight until ``runs`` of them are done."""
    definition = definitions.chain(length, kind)
    await client.deploy(definition)
    load = Load("chain", definition.workflow, given(kind), [1] * length, chains, _payload(kind))
    return await measure(client, load, runs, options)


async def fanout(
    client: AsyncClient,
    *,
    width: int = 100,
    at_once: int = 20,
    runs: int = 500,
    kind: Kind = NOOP,
    options: Options = DEFAULT,
    workload: str = "fanout",
) -> Report:
    """W2, and with a great width W4: ``at_once`` runs of 1 -> ``width`` -> 1 tasks in flight, ``runs`` in all."""
    definition = definitions.fanout(width, kind)
    await client.deploy(definition)
    arguments = {"numbers": list(range(width)), **given(kind)}
    load = Load(workload, definition.workflow, arguments, [1, width, 1], at_once, _payload(kind))
    return await measure(client, load, runs, options)


async def latency(client: AsyncClient, *, runs: int = 1_000, kind: Kind = NOOP, options: Options = DEFAULT) -> Report:
    """W3: one run of one task at a time."""
    definition = definitions.chain(1, kind)
    await client.deploy(definition)
    load = Load("latency", definition.workflow, given(kind), [1], 1, _payload(kind))
    return await measure(client, load, runs, options)


async def payload(
    client: AsyncClient,
    *,
    size_bytes: int = MIB,
    length: int = 2,
    at_once: int = 4,
    runs: int = 200,
    options: Options = DEFAULT,
) -> Report:
    """W5: chains whose tasks each take and give a text of ``size_bytes``."""
    kind = Kind(payload_bytes=size_bytes)
    definition = definitions.chain(length, kind)
    await client.deploy(definition)
    moved = {"payload_bytes": size_bytes}
    load = Load("payload", definition.workflow, given(kind), [1] * length, at_once, _payload(kind), moved)
    report = await measure(client, load, runs, options)
    report.more["payload_mib_per_s"] = round(report.tasks_per_s * size_bytes / MIB, 1)
    return report


def given(kind: Kind) -> dict[str, Any]:
    """The arguments of a workflow of such tasks, by name."""
    return {"data": kind.text} if kind.payload_bytes else {}


def _payload(kind: Kind) -> bytes:
    return msgspec.msgpack.encode(kind.text) if kind.payload_bytes else b"\xc0"


# ---- measuring ------------------------------------------------------------------------------------------------------


@dataclass
class Slice:
    """What one slice gave. ``admissions_ms``: until the start of a run was durable, as the client saw it."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    admissions_ms: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def runs(self) -> int:
        return len(self.latencies_ms)


async def measure(client: AsyncClient, load: Load, runs: int, options: Options) -> Report:
    """Warms up, then measures ``runs`` runs in rounds."""
    warm_up = min(max(runs * WARM_UP_PERCENT // 100, min(load.at_once, runs)), WARM_UP_RUNS_MAX)
    await drive(client, load, warm_up)
    rounds = max(1, min(options.rounds, runs))
    shares = [runs // rounds + (place < runs % rounds) for place in range(rounds)]
    if options.floor is not None:
        options.floor(load.widths, runs=warm_up, at_once=load.at_once, payload=load.payload)
    meter, slices, floors = Meter(client), [], list[FloorFigures]()
    done = 0
    for share in shares:
        if options.floor is not None:
            floors.append(options.floor(load.widths, runs=share, at_once=load.at_once, payload=load.payload))
        await meter.begin()
        slices.append(await drive(client, load, share, partial(_further, options.progress, done, runs)))
        await meter.end()
        done += share
    seconds = sum(part.seconds for part in slices)
    latencies = [value for part in slices for value in part.latencies_ms]
    rates = [share * load.tasks / part.seconds for share, part in zip(shares, slices, strict=True)]
    assert meter.status is not None, "there was at least one round"
    more = {"at_once": load.at_once, "tasks_per_run": load.tasks, **load.more}
    more |= costs(meter.spent, meter.memory(), runs * load.tasks)
    more["stages"] = stages(meter.status, [value for part in slices for value in part.admissions_ms])
    if rounds > 1:
        more["rounds_tasks_per_s"] = [round(rate, 1) for rate in rates]
    if floors:
        more |= floor_fields(rates, floors)
    return Report(
        load.workload,
        runs,
        runs * load.tasks,
        seconds,
        percentile(latencies, 50),
        percentile(latencies, 99),
        sum(part.failed for part in slices),
        more,
    )


def _further(progress: Progress, before: int, runs: int, done: int, _: int) -> None:
    progress(before + done, runs)


async def drive(client: AsyncClient, load: Load, runs: int, progress: Progress = quiet) -> Slice:
    """``runs`` runs, ``at_once`` of them in flight."""
    found = Slice()
    left = runs
    step = max(runs // 100, 1)

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            submitted = time.perf_counter()
            run: AsyncRun[Any] = await client.start(load.workflow, **load.given)
            found.admissions_ms.append((time.perf_counter() - submitted) * 1000)
            try:
                await run.result()
            except (RunFailed, RunCancelled):
                found.failed += 1
            found.latencies_ms.append((time.perf_counter() - submitted) * 1000)
            if len(found.latencies_ms) % step == 0:
                progress(len(found.latencies_ms), runs)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(load.at_once, runs)):
            group.create_task(lane())
    found.seconds = time.perf_counter() - started
    return found
