"""wfe's durable functions, the same three workloads; prints one JSON document.

One server with one shard and one worker, as `wfe bench` has; every commit is synced.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import wfe
from wfe.bootstrap.oneshot import LocalServer
from wfe.config import ServeOptions

LENGTH, WIDTH = 10, 100


@wfe.task
async def noop(value: int) -> int:
    return value


@wfe.workflow
async def chain(wf: wfe.Durable, length: int) -> int:
    value = 0
    for place in range(length):
        value = await noop(place)
    return value


@wfe.workflow
async def fanout(wf: wfe.Durable, width: int) -> int:
    await noop(0)
    await asyncio.gather(*(noop(number) for number in range(width)))
    return await noop(width)


async def measure(server: LocalServer, workflow: Any, argument: int, given: Any) -> tuple[list[float], float]:
    latencies: list[float] = []
    left = iter(range(given.runs))
    async with wfe.aconnect(server.address, server.token) as client:

        async def one() -> None:
            begun = time.perf_counter()
            run = await client.start(workflow, argument)
            await run.result()
            latencies.append((time.perf_counter() - begun) * 1000)

        async def go() -> None:
            for _ in left:
                await one()

        await asyncio.gather(*(one() for _ in range(min(given.at_once, given.runs))))
        latencies.clear()
        started = time.perf_counter()
        await asyncio.gather(*(go() for _ in range(given.at_once)))
        return latencies, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=["chain", "fanout", "latency"])
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    given = parser.parse_args()
    workflow, argument = {"chain": (chain, LENGTH), "fanout": (fanout, WIDTH), "latency": (chain, 1)}[given.workload]
    tasks = WIDTH + 2 if given.workload == "fanout" else argument
    options = ServeOptions(shards=1, workers=1, durability="sync", log_level="error", replace=True)
    with (
        tempfile.TemporaryDirectory(prefix="wfe-durable-") as data,
        LocalServer([str(Path(__file__).resolve())], data=data, options=options) as server,
    ):
        latencies, seconds = asyncio.run(measure(server, workflow, argument, given))
    from figures import tell

    tell(latencies, seconds, tasks)


if __name__ == "__main__":
    sys.modules["durable_peer"] = sys.modules["__main__"]  # a server imports an app under its stem
    main()
