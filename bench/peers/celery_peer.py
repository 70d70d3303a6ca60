"""Celery on a Redis that syncs every write, the same three workloads; runs in an environment of its own.

Starts a redis-server (``appendfsync always``) and one worker on free ports of this host, prints one JSON document.
Tasks are acknowledged late, so that a worker's death loses none.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from celery import Celery, chain, chord, group

LENGTH, WIDTH = 10, 100
REDIS = "PEER_REDIS"
"""Environment variable with the address of the Redis, which the worker reads when it imports this module."""

app = Celery("celery_peer")
app.conf.update(
    broker_url=os.environ.get(REDIS),
    result_backend=os.environ.get(REDIS),
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task
def noop(*_: object) -> None:
    return None


def signature(workload: str):
    if workload == "chain":
        return chain(*(noop.si() for _ in range(LENGTH)))
    if workload == "fanout":
        return chain(noop.si(), chord(group(noop.si() for _ in range(WIDTH)), noop.si()))
    return noop.si()


def measure(workload: str, runs: int, at_once: int) -> tuple[list[float], float]:
    def one(_: int) -> float:
        begun = time.perf_counter()
        signature(workload).apply_async().get(timeout=300)
        return (time.perf_counter() - begun) * 1000

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(min(at_once, runs, 20))))
        started = time.perf_counter()
        latencies = list(pool.map(one, range(runs)))
        return latencies, time.perf_counter() - started


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as found:
            if found.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("redis-server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=["chain", "fanout", "latency"])
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("--pool", default="prefork")
    parser.add_argument("--concurrency", type=int, default=2)
    given = parser.parse_args()
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with tempfile.TemporaryDirectory(prefix="celery-") as directory:
        redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--dir", directory, "--save", "", "--bind", "127.0.0.1",
             "--appendonly", "yes", "--appendfsync", "always", "--logfile", str(Path(directory) / "log")]
        )  # fmt: skip
        environment = {**os.environ, REDIS: url}
        wait_for(port)
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "--pool", given.pool, "--concurrency",
             str(given.concurrency), "--loglevel", "ERROR", "--without-gossip", "--without-mingle"],
            cwd=Path(__file__).parent, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        app.conf.update(broker_url=url, result_backend=url)
        try:
            latencies, seconds = measure(given.workload, given.runs, given.at_once)
        finally:
            worker.terminate()
            worker.wait()
            redis.terminate()
            redis.wait()
    tasks = {"chain": LENGTH, "fanout": WIDTH + 2, "latency": 1}[given.workload]
    from figures import tell

    tell(latencies, seconds, tasks)


if __name__ == "__main__":
    main()
