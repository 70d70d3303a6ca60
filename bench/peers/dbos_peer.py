"""DBOS on SQLite, the same three workloads; runs in an environment of its own and prints one JSON document.

Steps are DBOS steps (each recorded before the next begins). A fan-out is an async workflow that gathers its steps.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS, DBOSConfig

LENGTH, WIDTH = 10, 100


@DBOS.step()
def noop(value: int) -> int:
    return value


@DBOS.step()
async def async_noop(value: int) -> int:
    return value


@DBOS.workflow()
def chain(length: int) -> int:
    value = 0
    for place in range(length):
        value = noop(place)
    return value


@DBOS.workflow()
async def fanout(width: int) -> int:
    await async_noop(0)
    await asyncio.gather(*(async_noop(number) for number in range(width)))
    return await async_noop(width)


def chains(runs: int, at_once: int, length: int) -> tuple[list[float], float]:
    def one(_: int) -> float:
        begun = time.perf_counter()
        chain(length)
        return (time.perf_counter() - begun) * 1000

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(min(at_once, runs))))
        started = time.perf_counter()
        latencies = list(pool.map(one, range(runs)))
        return latencies, time.perf_counter() - started


async def fanouts(runs: int, at_once: int) -> tuple[list[float], float]:
    latencies: list[float] = []
    gate = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with gate:
            begun = time.perf_counter()
            await fanout(WIDTH)
            latencies.append((time.perf_counter() - begun) * 1000)

    await fanout(WIDTH)
    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(runs)))
    return latencies, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=["chain", "fanout", "latency"])
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbos-") as directory:
        url = f"sqlite:///{Path(directory) / 'dbos.sqlite'}"
        DBOS(config=DBOSConfig(name="bench", system_database_url=url, run_admin_server=False, log_level="ERROR"))
        logging.disable(logging.WARNING)
        DBOS.launch()
        if given.workload == "fanout":
            tasks = WIDTH + 2
            latencies, seconds = asyncio.run(fanouts(given.runs, given.at_once))
        else:
            tasks = LENGTH if given.workload == "chain" else 1
            latencies, seconds = chains(given.runs, given.at_once, tasks)
        DBOS.destroy()
    from figures import tell

    tell(latencies, seconds, tasks)


if __name__ == "__main__":
    main()
