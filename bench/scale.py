"""How the engine behaves as it fills: `python bench/scale.py store|flight|waiting|kill [--runs N] [--json]`.

store    cost of W1's tasks with 1,000 to N finished runs in the stores: flat within 20 %
flight   N runs of ten tasks, all open at once
waiting  N runs that wait (half of them for a timer, half for a signal): memory, W1 beside them against an empty server,
         then a restart with them
kill     SIGKILL of the shard with N open runs: when it serves again
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from engines import client_of, memory, run, server
from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions, workloads
from wfe.client.bench.waits import start_all
from wfe.model.definition import Definition, Sleep

Figures = dict[str, Any]
FAR_S = 7 * 86_400
W1_RUNS = 3_000
W1_ROUNDS = 3


def sleeping() -> Definition:
    """Waits for a week."""
    return Definition("bench-sleeping", nodes=(Sleep(id="nap", duration_ms=FAR_S * 1000),))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def w1(client: AsyncClient, runs: int) -> Figures:
    """A W1 of that many runs: rate, cost, run latency."""
    report = await workloads.chain(client, runs=runs)
    document = report.document(await client.status())
    return {
        name: document.get(name)
        for name in (
            "tasks_per_s",
            "cpu_s_per_1000_tasks",
            "cpu_us_per_task",
            "p50_ms",
            "p99_ms",
            "commit_ms",
            "failed",
        )
    }


async def store(client: AsyncClient, runs: int, w1_runs: int) -> Figures:
    """Finished runs in the stores, ten times more at every step."""
    empty = definitions.chain(0)
    await client.deploy(empty)
    steps: list[Figures] = []
    held = 0
    size = min(1_000, runs)
    while True:
        await _finished(client, empty.workflow, size - held)
        held = size
        await _until_settled(client)  # what the runs before have left to be written is no cost of how many they are
        rounds = [await w1(client, w1_runs) for _ in range(W1_ROUNDS)]
        rounds.sort(key=lambda each: each["cpu_us_per_task"].get("shard", 0.0))
        steps.append({"runs": size, **rounds[len(rounds) // 2]})
        say(f"{size:>9,} runs: {steps[-1]['tasks_per_s']:,.0f} tasks/s, shard {steps[-1]['cpu_us_per_task']} us")
        if size >= runs:
            break
        size = min(size * 10, runs)
    costs = [step["cpu_us_per_task"].get("shard", 0.0) for step in steps]
    return {"steps": steps, "cost_ratio": round(max(costs[1:], default=0.0) / costs[0], 3) if costs[0] else None}


async def _finished(client: AsyncClient, workflow: str, count: int) -> None:
    """Starts that many runs and awaits their ends, some at a time."""
    while count > 0:
        part = min(count, 20_000)
        for handle in await start_all(client, workflow, [{}] * part):
            await handle.result()
        count -= part


async def flight(client: AsyncClient, runs: int, _w1_runs: int) -> Figures:
    """All at once, ten tasks each."""
    definition = definitions.chain(10)
    await client.deploy(definition)
    before = await memory(client)
    began = time.perf_counter()
    handles = await start_all(client, definition.workflow, [{}] * runs)
    started_s = time.perf_counter() - began
    stats = [shard.stats for shard in (await client.status()).shards if shard.stats is not None]
    during = await memory(client)
    for handle in handles:
        await handle.result()
    seconds = time.perf_counter() - began
    return {
        "runs": runs,
        "all_started_s": round(started_s, 2),
        "open_when_all_were_started": sum(each.gauges.get("runs_open", 0) for each in stats),
        "tasks_per_s": round(10 * runs / seconds, 1),
        "memory_mb": during.own,
        "memory_before_mb": before.own,
    }


async def _fill(client: AsyncClient, runs: int) -> list[str]:
    """Runs that wait; the ids of those that wait for a signal."""
    asleep, waiting = sleeping(), definitions.waiting()
    await client.deploy(asleep, waiting)
    await start_all(client, asleep.workflow, [{}] * (runs // 2))
    handles = await start_all(client, waiting.workflow, [{}] * (runs - runs // 2))
    return [handle.id for handle in handles]


async def _until_settled(client: AsyncClient) -> None:
    """Until the shards' tasks are done and their logs are checkpointed."""
    for _ in range(3_000):
        shards = (await client.status()).shards
        gauges = [shard.stats.gauges for shard in shards if shard.stats is not None]
        if all(not each.get("tasks_running") and not each.get("log_tail_bytes") for each in gauges):
            return
        await asyncio.sleep(0.1)


async def waiting(client: AsyncClient, runs: int, w1_runs: int) -> Figures:
    """W1 on an empty server, then beside runs that wait."""
    empty = [await w1(client, w1_runs) for _ in range(W1_ROUNDS)]
    before = await memory(client)
    began = time.perf_counter()
    ids = await _fill(client, runs)
    filled_s = time.perf_counter() - began
    say(f"{runs:,} runs wait after {filled_s:.1f} s")
    await _until_settled(client)
    held = await memory(client)
    beside = [await w1(client, w1_runs) for _ in range(W1_ROUNDS)]
    share = median(each["tasks_per_s"] for each in beside) / median(each["tasks_per_s"] for each in empty)
    return {
        "runs": runs,
        "filled_s": round(filled_s, 1),
        "memory_before_mb": before.own,
        "memory_mb": held.own,
        "resident_mb": held.resident,
        "bytes_per_run": round((sum(held.own.values()) - sum(before.own.values())) * (1 << 20) / runs),
        "w1_empty": empty,
        "w1_beside": beside,
        "throughput_share": round(share, 3),
        "signalled": ids[-1] if ids else "",
    }


async def _served_again(client: AsyncClient, run_id: str) -> float:
    """Wakes a run that waits and awaits its end: how long that took."""
    began = time.perf_counter()
    handle = client.handle(run_id)
    await handle.signal("go")
    await handle.result(timeout_s=60)
    return time.perf_counter() - began


def restart(directory: Path, run_id: str) -> Figures:
    """Starts the server again on what is there."""
    began = time.perf_counter()
    with server(directory) as found:
        ready_s = time.perf_counter() - began

        async def first() -> tuple[float, int]:
            async with client_of(found) as client:
                took = await _served_again(client, run_id)
                return took, max(shard.recovery_ms for shard in (await client.status()).shards)

        took, recovery_ms = run(first())
    return {"ready_s": round(ready_s, 2), "recovery_ms": recovery_ms, "first_result_s": round(ready_s + took, 2)}


async def kill(client: AsyncClient, runs: int, _w1_runs: int) -> Figures:
    """SIGKILL of the only shard, as soon as all runs are open."""
    ids = await _fill(client, runs)
    shard = (await client.status()).shards[0]
    os.kill(shard.pid, signal.SIGKILL)
    began = time.perf_counter()
    await client.view(ids[0])
    serving_s = time.perf_counter() - began
    await _served_again(client, ids[-1])
    return {
        "runs": runs,
        "serving_again_s": round(serving_s, 3),
        "first_result_s": round(time.perf_counter() - began, 3),
        "recovery_ms": (await client.status()).shards[0].recovery_ms,
    }


Part = Callable[[AsyncClient, int, int], Awaitable[Figures]]
PARTS: dict[str, tuple[Part, int]] = {
    "store": (store, 1_000_000), "flight": (flight, 100_000), "waiting": (waiting, 1_000_000), "kill": (kill, 100_000),
}  # fmt: skip


def measure(name: str, runs: int, w1_runs: int = W1_RUNS, **options: Any) -> Figures:
    """One part on a server of its own; after ``waiting`` also a restart."""
    part = PARTS[name][0]
    with tempfile.TemporaryDirectory(prefix="wfe-scale-") as directory:
        data = Path(directory) / "data"

        async def whole(found: Any) -> Figures:
            async with client_of(found) as client:
                return await part(client, runs, w1_runs)

        with server(data, **options) as found:
            figures = run(whole(found))
        if name == "waiting":
            figures["restart"] = restart(data, figures.pop("signalled"))
    return {"part": name, **figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--runs", type=int, help="how many runs")
    parser.add_argument("--w1-runs", type=int, default=W1_RUNS, help="runs of each W1 in between")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.part, given.runs or PARTS[given.part][1], given.w1_runs, shards=given.shards)
    print(json.dumps(figures) if given.json else json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
