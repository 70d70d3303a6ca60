"""Three times more than the engine can do, for a minute: `python bench/overload.py [--for 60] [--factor 3] [--json]`.

First the peak: closed loops of chains. Then an open loop starts that many times more runs per second than the peak,
whatever the answers are. The server queues a bounded number of tasks (`--ready-max`) and refuses further runs as busy;
the client comes back when told to, for as long as a start is worth to it (`--patience`). Beside it a modest client
starts a run now and then: how long its starts and its runs take is what fairness gives. Goodput is what ends per second
while the overload lasts; every start that was accepted must end in the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from engines import client_of, memory, run, server
from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions, workloads
from wfe.client.bench.definitions import Kind
from wfe.client.bench.report import percentile
from wfe.client.bench.workloads import Load
from wfe.errors import Busy, Disconnected, RunCancelled, RunFailed, Unavailable

TICK_S = 0.01
SAMPLES = 12
PEAK_ROUNDS = 3
MODEST_PAUSE_S = 0.1
Figures = dict[str, Any]


@dataclass
class Books:
    """What the open loop saw."""

    offered: int = 0
    accepted: int = 0
    refused: int = 0
    ended: int = 0
    failed: int = 0
    admissions_ms: list[float] = field(default_factory=list)
    runs_ms: list[float] = field(default_factory=list)
    """From start to end."""
    memory_mb: list[float] = field(default_factory=list)


async def peak(client: AsyncClient, load: Load, seconds: float) -> float:
    """Runs per second in a closed loop: the median of a few rounds, once everybody is warm."""
    await workloads.drive(client, load, load.at_once)  # the worker may still be starting
    part = await workloads.drive(client, load, load.at_once)
    runs = max(load.at_once, int(load.at_once / part.seconds * seconds / PEAK_ROUNDS))
    return median([runs / (await workloads.drive(client, load, runs)).seconds for _ in range(PEAK_ROUNDS)])


async def one(client: AsyncClient, workflow: str, books: Books) -> None:
    books.offered += 1
    began = time.perf_counter()
    try:
        handle = await client.start(workflow)
    except (Busy, Unavailable, Disconnected):
        books.refused += 1
        return
    books.accepted += 1
    books.admissions_ms.append((time.perf_counter() - began) * 1000)
    try:
        await handle.result()
    except (RunFailed, RunCancelled):
        books.failed += 1
    books.ended += 1
    books.runs_ms.append((time.perf_counter() - began) * 1000)


async def modest(client: AsyncClient, workflow: str, books: Books) -> None:
    """A run now and then, until it is cancelled."""
    tasks: set[asyncio.Task[None]] = set()
    try:
        while True:
            tasks.add(asyncio.create_task(one(client, workflow, books)))
            await asyncio.sleep(MODEST_PAUSE_S)
    except asyncio.CancelledError:
        await asyncio.gather(*tasks)
        raise


async def overload(client: AsyncClient, other: AsyncClient, workflow: str, rate: float, seconds: float) -> Figures:
    """Starts at a fixed rate, come what may; then waits for what was accepted."""
    books, few = Books(), Books()
    tasks: set[asyncio.Task[None]] = set()
    beside = asyncio.create_task(modest(other, workflow, few))
    began = time.perf_counter()
    next_sample = 0.0
    due = 0.0
    while (now := time.perf_counter() - began) < seconds:
        while due < now * rate:
            due += 1
            task = asyncio.create_task(one(client, workflow, books))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if now >= next_sample:
            next_sample += seconds / SAMPLES
            books.memory_mb.append(sum((await memory(client)).own.values()))
        await asyncio.sleep(TICK_S)
    took = time.perf_counter() - began
    ended = books.ended
    beside.cancel()
    await asyncio.gather(*tasks, beside, return_exceptions=True)
    drained_s = time.perf_counter() - began - took
    lost = books.accepted - books.ended
    return {
        "offered_per_s": round(books.offered / took, 1),
        "accepted": books.accepted,
        "refused": books.refused,
        "goodput_runs_per_s": round(ended / took, 1),
        "admission_p50_ms": round(percentile(books.admissions_ms, 50), 2),
        "admission_p99_ms": round(percentile(books.admissions_ms, 99), 2),
        "memory_mb": [round(each) for each in books.memory_mb],
        "drained_s": round(drained_s, 1),
        "lost": lost,
        "failed": books.failed,
        "modest_offered": few.offered,
        "modest_accepted": few.accepted,
        "modest_start_p99_ms": round(percentile(few.admissions_ms, 99), 2),
        "modest_run_p50_ms": round(percentile(few.runs_ms, 50), 1),
        "modest_run_p99_ms": round(percentile(few.runs_ms, 99), 1),
    }


def measure(
    seconds: float,
    factor: float,
    kind: Kind,
    *,
    length: int = 10,
    at_once: int = 200,
    slots: int = 16,
    ready_max: int = 1_000,
    patience_s: float = 5.0,
) -> Figures:
    """The peak, then ``factor`` times that for so many seconds."""
    with tempfile.TemporaryDirectory(prefix="wfe-overload-") as directory:

        async def whole(found: Any) -> Figures:
            async with client_of(found, patience_s) as client, client_of(found, patience_s) as other:
                definition = definitions.chain(length, kind)
                await client.deploy(definition)
                load = Load("overload", definition.workflow, {}, [1] * length, at_once)
                best = await peak(client, load, max(seconds / 6, 0.5))
                figures = await overload(client, other, definition.workflow, factor * best, seconds)
                share = figures["goodput_runs_per_s"] / best
                return {"peak_runs_per_s": round(best, 1), **figures, "goodput_share": round(share, 3)}

        with server(Path(directory) / "data", slots=slots, ready_max=ready_max) as found:
            return run(whole(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds")
    parser.add_argument("--factor", type=float, default=3.0, help="times the peak")
    parser.add_argument("--wait-ms", type=float, default=5.0, help="every task occupies its slot for so long; 0: no-op")
    parser.add_argument("--slots", type=int, default=16, help="tasks that the worker runs at once")
    parser.add_argument("--ready-max", type=int, default=1_000, help="tasks that the server queues")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds that a start is repeated for")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(
        given.seconds,
        given.factor,
        Kind(wait_ms=given.wait_ms),
        slots=given.slots,
        ready_max=given.ready_max,
        patience_s=given.patience,
    )
    print(json.dumps(figures, indent=None if given.json else 2))
    return 0 if not figures["lost"] and not figures["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
