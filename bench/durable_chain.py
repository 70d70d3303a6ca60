"""W1 as a graph and as a durable function, alternately on one engine: chains of ten async tasks.

python bench/durable_chain.py [--runs N] [--rounds N] [--at-once N]: tasks per second, and CPU time per task of all the
engine's processes, which says more when the machine is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import psutil

import durable_app
import wfe
from wfe.bootstrap.oneshot import LocalServer
from wfe.config import ServeOptions

TASKS = 10


def engine_cpu_s(pid: int) -> float:
    parent = psutil.Process(pid)
    times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    return sum(one.user + one.system for one in times)


async def chains(client: Any, workflow: Any, runs: int, at_once: int) -> None:
    left = iter(range(runs))

    async def go() -> None:
        for number in left:
            run = await client.start(workflow, number)
            assert await run.result() == number + TASKS

    await asyncio.gather(*(go() for _ in range(at_once)))


async def measure(server: LocalServer, runs: int, rounds: int, at_once: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {"graph": [], "durable": []}
    async with wfe.aconnect(server.address, server.token) as client:
        for number in range(rounds + 1):
            for name, workflow in (("graph", durable_app.chain_graph), ("durable", durable_app.chain_function)):
                cpu_s, began_s = engine_cpu_s(server.pid), time.perf_counter()
                await chains(client, workflow, runs, at_once)
                took_s, used_s = time.perf_counter() - began_s, engine_cpu_s(server.pid) - cpu_s
                if number:  # the first round warms up
                    found[name].append((runs * TASKS / took_s, used_s / (runs * TASKS) * 1e6))
    rates = {name: statistics.median(rate for rate, _ in each) for name, each in found.items()}
    costs = {name: statistics.median(cost for _, cost in each) for name, each in found.items()}
    for name in found:
        print(f"{name:8} {rates[name]:8.0f} tasks/s {costs[name]:8.1f} us CPU per task")
    print(f"durable / graph: {rates['durable'] / rates['graph']:.0%} of the rate, by CPU time ", end="")
    print(f"{costs['graph'] / costs['durable']:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=100)
    given = parser.parse_args()
    app = str(Path(__file__).parent / "durable_app.py")
    options = ServeOptions(shards=1, workers=1, log_level="warning", durability="sync", alone=True)
    with LocalServer([app], options=options) as server:
        asyncio.run(measure(server, given.runs, given.rounds, given.at_once))


if __name__ == "__main__":
    main()
