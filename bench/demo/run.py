"""`make demo`: a census of the standard library and hundreds of orders, through the kill -9 of a shard and a worker.

Starts ``wfe serve --shards 2 --workers 2``, uses nothing but the command line and the client, compares every result
with a direct computation, and exits with 0 only if all of them are right.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import census as census_app  # noqa: E402
from checks import check_census, check_orders, make_orders  # noqa: E402
from display import Display  # noqa: E402
from server import Server  # noqa: E402
from service import FlakyService  # noqa: E402

import wfe  # noqa: E402

ORDERS = 400
TIMEOUT_S = 120.0


@dataclass
class Outcome:
    """What the engine gave back, and how it went."""

    census: census_app.Census
    orders: list[dict[str, object]]
    seconds: float
    recoveries: dict[str, float] = field(default_factory=dict)


async def drive(server: Server, service: FlakyService, orders: list[dict[str, object]], report: Path) -> Outcome:
    """Starts everything at the same time, kills in the middle, waits for all of it."""
    crashes = {"shard": ("/reserve", len(orders) // 2), "worker": ("/charge", len(orders) // 4)}
    for path, enough in crashes.values():
        service.hold(path, enough)  # or a quick machine would be done before the blow falls
    async with wfe.aconnect(server.address) as client:
        with Display() as display:
            started = time.monotonic()
            stdlib = sysconfig.get_path("stdlib")
            census_run = await client.start(census_app.census, stdlib, str(report))
            order_runs = await client.start_many("order", orders)
            display.say(f"started the census of {stdlib} and {len(order_runs)} orders")
            ends = [asyncio.ensure_future(run.result(TIMEOUT_S)) for run in order_runs]
            census_end = asyncio.ensure_future(census_run.result(TIMEOUT_S))
            counted = asyncio.ensure_future(count_modules(census_run, display))
            everything = asyncio.gather(census_end, *ends)
            crashing = asyncio.ensure_future(crash_twice(client, server, service, crashes, everything, display))
            try:
                while not everything.done():
                    display.update("orders", sum(end.done() for end in ends), len(ends))
                    await asyncio.wait([everything], timeout=0.1)
                census, *results = await everything
                seconds = time.monotonic() - started
                display.update("orders", len(ends), len(ends))
                recoveries = await crashing
            finally:
                counted.cancel()
                crashing.cancel()
    return Outcome(census, results, seconds, recoveries)


async def count_modules(run: Any, display: Display) -> None:
    """Follows the census's history for the display only: what fails here does not matter to the results."""
    modules: set[int] = set()
    total = len(census_app.list_modules(sysconfig.get_path("stdlib")))
    while True:
        try:
            async for event in run.history(follow=True):
                if event.node == "count_module" and event.type in ("TaskDone", "task_done"):
                    modules.add(event.activation)
                    display.update("modules", len(modules), total)
            return
        except wfe.WfeError:
            continue


async def crash_twice(
    client: Any,
    server: Server,
    service: FlakyService,
    crashes: dict[str, tuple[str, int]],
    everything: asyncio.Future[object],
    display: Display,
) -> dict[str, float]:
    """SIGKILL for a shard and a worker when their path was applied often enough: what comes later is held till then."""
    recoveries: dict[str, float] = {}
    for what, (path, enough) in crashes.items():
        while service.applied(path) < enough and not everything.done():
            await asyncio.sleep(0.02)
        if everything.done():
            return recoveries
        victims = server.status()[f"{what}s"]
        victim = random.choice([v for v in victims if v["pid"]])
        os.kill(victim["pid"], signal.SIGKILL)
        service.release(path)
        killed = time.monotonic()
        display.say(f"kill -9 {victim['pid']}: {what} {victim.get('index', victim.get('id'))} is dead, work goes on")
        await replaced(client, what, {v["pid"] for v in victims})
        recoveries[what] = time.monotonic() - killed
        display.say(f"a new {what} serves after {recoveries[what]:.2f} s")
    return recoveries


async def replaced(client: Any, what: str, before: set[int]) -> None:
    """Returns once as many shards or workers serve as before, one of them a new process."""
    while True:
        status = await client.status()
        found = status.shards if what == "shard" else status.workers
        serving = {each.pid for each in found if each.state in ("serving", "connected")}
        if len(serving) == len(before) and serving - before:
            return
        await asyncio.sleep(0.02)


def summary(outcome: Outcome, orders: list[dict[str, object]], service: FlakyService) -> str:
    tasks = outcome.census.total.modules + 5
    tasks += sum(3 + len(order["items"]) for order in orders)
    tasks += sum(1 for result in outcome.orders if str(result["review"]).startswith("order"))
    runs, rate = len(orders) + 1, tasks / outcome.seconds
    lines = [
        "",
        Path(outcome.census.report).read_text(encoding="utf-8"),
        f"throughput  {runs} runs and {tasks:,} tasks in {outcome.seconds:.1f} s: {rate:,.0f} tasks/s",
        f"service     {service.calls:,} calls, {service.refused} refused, {service.hung_up} answered by hanging up",
    ]
    lines += [f"recovery    {what}: {seconds:.2f} s after kill -9" for what, seconds in outcome.recoveries.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=ORDERS, help="how many orders run at the same time")
    parser.add_argument("--keep", action="store_true", help="keep the data directory and the server's log")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="wfe-demo-"))
    service = FlakyService()
    orders = make_orders(options.orders)
    ok = False
    try:
        apps = [HERE / "census.py", HERE / "orders.py", HERE / "orders.yaml"]
        with Server(scratch, apps, {"DEMO_SERVICE": service.address}) as server:
            print(server.ready, flush=True)
            outcome = asyncio.run(drive(server, service, orders, scratch / "report.txt"))
        print(summary(outcome, orders, service), flush=True)
        wrong = check_orders(orders, outcome.orders, service) + check_census(outcome.census)
        wrong += [
            f"no {what} was killed: all was done before"
            for what in ("shard", "worker")
            if what not in outcome.recoveries
        ]
        for line in wrong[:20]:
            print(f"WRONG: {line}")
        ok = not wrong
        if ok:
            print(f"check       all {len(orders) + 1} results equal a direct computation; every order was charged once")
    finally:
        service.close()
        if ok and not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            print(f"data and log are kept in {scratch}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
