"""What watching costs: `python bench/watched.py [--rounds 8] [--runs 2000] [--sample 0] [--json]`.

Two servers, each with a shard and a worker: one alone, one with the HTTP gateway, whose metrics are scraped every
second while a reader, as a dashboard's live log is one, follows the events of all runs. W1 (chains of ten tasks) is
driven through one and the other in turns, so that both meet the same moods of the machine. With ``--sample`` the
second server exports traces of that share of its runs as well, to a collector that throws them away.

What counts is the ratio of the throughputs, round by round; the CPU time that a task costs shard, worker and
coordinator says the same with less noise. Reader and scraper are a process of their own and not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from engines import client_of, run, server
from wfe import bootstrap
from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions, workloads
from wfe.client.bench.definitions import Kind
from wfe.client.bench.workloads import Load

LENGTH, AT_ONCE = 10, 200
SCRAPE_S = 1.0
Figures = dict[str, Any]


# ---- who watches: a process of its own ------------------------------------------------------------------------------


def watch(url: str, token: str) -> None:
    """Scrapes and reads until it is killed; prints a line when it has begun, and what it has seen every second."""
    seen = {"events": 0, "missed": 0, "scrapes": 0}
    threading.Thread(target=_read, args=(url, token, seen), daemon=True).start()
    while True:
        _open(url + "/metrics", token).read()
        seen["scrapes"] += 1
        print(json.dumps(seen), flush=True)
        time.sleep(SCRAPE_S)


def _read(url: str, token: str, seen: dict[str, int]) -> None:
    for line in _open(url + "/api/v1/events", token):
        if line.startswith(b"data:"):
            seen["events"] += 1
        elif line.startswith(b"event: missed"):
            seen["missed"] += 1


def _open(url: str, token: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, headers={"authorization": f"Bearer {token}"}))


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def collect() -> None:
    """A collector that keeps nothing; prints its URL."""
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    print(f"http://127.0.0.1:{receiver.server_address[1]}", flush=True)
    receiver.serve_forever()


class Aside:
    """This script as another process, as a context manager. ``first``: its first line."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.first = self.last = self._process.stdout.readline().strip()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last = line

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


# ---- measuring ------------------------------------------------------------------------------------------------------


class Side:
    """One of the two servers. CPU seconds by role, of all its processes."""

    def __init__(self, found: bootstrap.LocalServer, client: AsyncClient) -> None:
        self.client = client
        self._processes = {"coordinator": psutil.Process(found.pid)}
        for child in self._processes["coordinator"].children():
            self._processes[child.cmdline()[-1]] = child

    def cpu_s(self) -> dict[str, float]:
        used = {role: process.cpu_times() for role, process in self._processes.items()}
        return {role: times.user + times.system for role, times in used.items()}


async def measure(alone: bootstrap.LocalServer, watched: bootstrap.LocalServer, rounds: int, runs: int) -> Figures:
    """Tasks per second and CPU microseconds per task of both, in turns."""
    definition = definitions.chain(LENGTH, Kind())
    load = Load("chain", definition.workflow, workloads.given(Kind()), [1] * LENGTH, AT_ONCE)
    rates: dict[str, list[float]] = {"alone": [], "watched": []}
    costs: dict[str, dict[str, float]] = {"alone": {}, "watched": {}}
    async with client_of(alone) as first, client_of(watched) as second:
        sides = {"alone": Side(alone, first), "watched": Side(watched, second)}
        for side in sides.values():
            await side.client.deploy(definition)
            await workloads.drive(side.client, load, max(AT_ONCE, runs // 4))
        for turn in range(rounds):
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                before = sides[name].cpu_s()
                part = await workloads.drive(sides[name].client, load, runs)
                rates[name].append(runs * LENGTH / part.seconds)
                for role, used in sides[name].cpu_s().items():
                    costs[name][role] = costs[name].get(role, 0.0) + used - before[role]
    tasks = rounds * runs * LENGTH
    per_task = {name: {role: round(s / tasks * 1e6, 2) for role, s in roles.items()} for name, roles in costs.items()}
    engine = {name: sum(us for role, us in roles.items() if role != "gateway") for name, roles in per_task.items()}
    ratios = [theirs / ours for theirs, ours in zip(rates["watched"], rates["alone"], strict=True)]
    return {
        "alone_tasks_per_s": round(statistics.median(rates["alone"])),
        "watched_tasks_per_s": round(statistics.median(rates["watched"])),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "cpu_us_per_task": per_task,
        "engine_cpu_ratio": round(engine["alone"] / engine["watched"], 3),
    }


def main(arguments: list[str] | None = None) -> Figures:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=2_000, help="of each server in each round")
    parser.add_argument("--sample", type=float, default=0.0, help="the share of runs that is traced as well")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wfe-watched-")))
        options: dict[str, Any] = {"http": "127.0.0.1:0"}
        if given.sample:
            options |= {"otel": stack.enter_context(Aside("--collect")).first, "otel_sample": given.sample}
        alone = stack.enter_context(server(directory / "alone"))
        watched = stack.enter_context(server(directory / "watched", **options))
        url = json.loads((directory / "watched" / "server.json").read_text())["http"]
        reader = stack.enter_context(Aside("--watch", url, watched.token))
        figures = run(measure(alone, watched, given.rounds, given.runs))
        figures["seen"] = json.loads(reader.last)
    if given.json:
        print(json.dumps(figures))
    else:
        print(*(f"{name}: {value}" for name, value in figures.items()), sep="\n")
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        watch(*sys.argv[2:])
    elif sys.argv[1:2] == ["--collect"]:
        collect()
    else:
        main()
