"""Restate, the same three workloads; runs in an environment of its own and prints one JSON document.

One `restate-server` (the binary of its npm package, with its own durable settings) and one process of a Python service
behind it. Steps are `ctx.run` blocks, each recorded before the next begins; with --calls they are calls of a handler,
which is an invocation of its own. A fan-out gathers its steps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import restate

LENGTH, WIDTH = 10, 100
READY_S = 30
SERVER = str(
    next(Path(sys.prefix).glob("node_modules/@restatedev/restate-server-*/bin/restate-server"), "restate-server")
)
steps = restate.Service("steps")


async def noop(value: int) -> int:
    return value


@steps.handler()
async def step(ctx: restate.Context, value: int) -> int:
    return value


@steps.handler()
async def chain(ctx: restate.Context, length: int) -> int:
    value = 0
    for place in range(length):
        value = await ctx.run_typed("noop", noop, value=place)
    return value


@steps.handler()
async def chain_of_calls(ctx: restate.Context, length: int) -> int:
    value = 0
    for place in range(length):
        value = await ctx.service_call(step, place)
    return value


@steps.handler()
async def fanout(ctx: restate.Context, width: int) -> int:
    await ctx.run_typed("noop", noop, value=0)
    await restate.gather(*(ctx.run_typed("noop", noop, value=number) for number in range(width)))
    return await ctx.run_typed("noop", noop, value=width)


@steps.handler()
async def fanout_of_calls(ctx: restate.Context, width: int) -> int:
    await ctx.service_call(step, 0)
    await restate.gather(*(ctx.service_call(step, number) for number in range(width)))
    return await ctx.service_call(step, width)


app = restate.app([steps])


class Connection:
    """HTTP/1.1, one request at a time: less work than the engine's own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: Any) -> Any:
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self.writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        status, *fields = answer.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in fields if line)}
        found = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if status.split()[1][0] != "2":
            raise RuntimeError(f"{path}: {status} {found[:300]!r}")
        return json.loads(found) if found else None


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


async def register(admin: int, service: int) -> None:
    """Waits until both processes are there."""
    until_s = time.monotonic() + READY_S
    while True:
        try:
            await Connection(admin).post("/deployments", {"uri": f"http://127.0.0.1:{service}"})
            return
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
            if time.monotonic() > until_s:
                raise RuntimeError(f"restate-server did not come up: {error}") from error
            await asyncio.sleep(0.2)  # a process that starts offers no event to wait for


async def measure(ingress: int, handler: str, argument: int, runs: int, at_once: int) -> tuple[list[float], float]:
    latencies: list[float] = []
    left = iter(range(runs))

    async def one(connection: Connection) -> None:
        begun = time.perf_counter()
        await connection.post(f"/steps/{handler}", argument)
        latencies.append((time.perf_counter() - begun) * 1000)

    async def go(connection: Connection) -> None:
        for _ in left:
            await one(connection)

    connections = [Connection(ingress) for _ in range(min(at_once, runs))]
    await asyncio.gather(*(one(connection) for connection in connections))
    latencies.clear()
    started = time.perf_counter()
    await asyncio.gather(*(go(connection) for connection in connections))
    return latencies, time.perf_counter() - started


async def benchmark(given: argparse.Namespace, directory: Path) -> tuple[list[float], float, int]:
    ingress, admin, node, service = free_ports(4)
    environ = os.environ | {
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_LOG_FILTER": "error",
    }
    with (directory / "log").open("wb") as log:
        serve = [sys.executable, "-m", "hypercorn", "restate_peer:app", "--bind", f"127.0.0.1:{service}", "-w", "1"]
        processes = [
            subprocess.Popen([SERVER, "--base-dir", directory / "data"], env=environ, stdout=log, stderr=log),
            subprocess.Popen(serve, cwd=Path(__file__).parent, stdout=log, stderr=log),
        ]
        try:
            await register(admin, service)
            argument = {"chain": LENGTH, "fanout": WIDTH, "latency": 1}[given.workload]
            handler = ("fanout" if given.workload == "fanout" else "chain") + ("_of_calls" if given.calls else "")
            latencies, seconds = await measure(ingress, handler, argument, given.runs, given.at_once)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return latencies, seconds, WIDTH + 2 if given.workload == "fanout" else argument


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=["chain", "fanout", "latency"])
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("--calls", action="store_true", help="steps are calls of a handler, not ctx.run")
    given = parser.parse_args()
    if shutil.which(SERVER) is None:
        raise SystemExit(f"there is no {SERVER}: npm install @restatedev/restate-server")
    with tempfile.TemporaryDirectory(prefix="restate-") as directory:
        latencies, seconds, tasks = asyncio.run(benchmark(given, Path(directory)))
    from figures import tell

    tell(latencies, seconds, tasks)


if __name__ == "__main__":
    main()
