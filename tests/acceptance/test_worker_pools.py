"""Worker pools on a real server: labels, resources and --only decide which worker runs what."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wfe
from acceptance.conftest import WFE, Server

TIMEOUT_S = 40
APP = """
import os
import time

import wfe

FOLDER = os.environ["POOLS_FOLDER"]


def _enter(name):
    mine = os.path.join(FOLDER, f"{name}-{os.urandom(4).hex()}")
    open(mine, "w").close()
    together = sum(file.startswith(name) for file in os.listdir(FOLDER))
    time.sleep(0.05)
    os.unlink(mine)
    return together


@wfe.task
def anywhere() -> str:
    return os.environ["POOL"]


@wfe.task(labels=["gpu"])
def labelled() -> str:
    return os.environ["POOL"]


@wfe.task(resources={"gpu": 1, "memory": "2GB"})
def greedy(number: int) -> int:
    return _enter("gpu")


@wfe.workflow
def plain(wf: wfe.Graph) -> wfe.Ref[str]:
    return anywhere()


@wfe.workflow
def on_gpu(wf: wfe.Graph) -> wfe.Ref[str]:
    return labelled()


@wfe.workflow
def many(wf: wfe.Graph, numbers: wfe.Ref[list[int]]) -> wfe.Ref[list[int]]:
    return wf.map(greedy, numbers)


@wfe.workflow
async def durable(wf: wfe.Durable) -> str:
    return await wf.call(labelled)
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pools") / "pools_app.py"
    file.write_text(APP)
    return file


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server], app: Path) -> Server:
    """Two shards, and no worker but those that a test starts."""
    folder = app.parent / "running"
    folder.mkdir()
    server = start_server("--shards", "2")
    server.environment["POOLS_FOLDER"] = str(folder)
    server.environment["POOL"] = "nobody"
    assert server.wfe("deploy", str(app)).returncode == 0
    return server


@pytest.fixture
def worker(server: Server, app: Path) -> Iterator[Callable[..., Any]]:
    """``worker("pool", "--label", "gpu")``: a worker whose tasks say ``pool``; it leaves with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(pool: str, *options: str) -> None:
        command = [*WFE, "worker", "--app", str(app), "--connect", server.address, *options]
        started.append(subprocess.Popen(command, env={**server.environment, "POOL": pool}, stderr=subprocess.DEVNULL))

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait()


@pytest.fixture
def client(server: Server) -> Iterator[wfe.Client]:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        yield client


def until(server: Server, run_id: str, words: str) -> None:
    """Waits until `wfe why` says it."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while words not in (found := server.wfe("why", run_id).stdout):
        assert time.monotonic() < deadline_s, found
        time.sleep(0.05)


def test_labels_and_only_make_pools(server: Server, client: wfe.Client, worker: Callable[..., None]) -> None:
    worker("plain", "--only", "anywhere")
    run = client.start("on_gpu")
    until(server, run.id, "one that is connected does not offer task labelled")
    worker("cheap")
    until(server, run.id, "one worker offers task labelled (version 1), and none has the label gpu")
    assert {client.start("plain").result(TIMEOUT_S) for _ in range(5)} <= {"plain", "cheap"}
    function = client.start("durable")
    worker("dear", "--label", "gpu", "--only", "labelled")
    assert run.result(TIMEOUT_S) == "dear"
    assert function.result(TIMEOUT_S) == "dear", "the function runs where it is offered, its task where the label is"
    assert {client.start("on_gpu").result(TIMEOUT_S) for _ in range(5)} == {"dear"}


def test_resources_bound_what_runs_at_once_whichever_shards_ask(
    server: Server, client: wfe.Client, worker: Callable[..., None]
) -> None:
    worker("small", "--resource", "gpu=2", "--resource", "memory=1GB")
    first = client.start("many", [1])
    until(server, first.id, "none has as much as memory=2GB")
    worker("two", "--resource", "gpu=2,memory=64GB")
    runs = [first, *(client.start("many", list(range(8))) for _ in range(6))]
    together = [number for run in runs for number in run.result(TIMEOUT_S)]
    assert len(together) == 49
    assert max(together) == 2, "two GPUs: never three at once, and both are used"


def test_a_worker_that_is_told_nonsense_says_so_and_ends(server: Server, app: Path) -> None:
    for options, words in (
        (("--only", "gredy"), "--only gredy: the app has no such task; it has anywhere"),
        (("--resource", "gpu"), "--resource: 'gpu': write the amount, too, for example gpu=1"),
        (("--label", "a b"), "--label: 'a b' is no label"),
    ):
        done = server.wfe("worker", "--app", str(app), "--connect", server.address, *options)
        assert done.returncode == 2
        assert words in done.stderr
