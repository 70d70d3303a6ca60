"""Durable functions on a real server: killed workers and shards, evicted and waiting ones, several at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wfe
from conftest import WFE, Server

sys.path.insert(0, str(Path(__file__).parent))
import durable_app

APP = str(Path(__file__).parent / "durable_app.py")
TIMEOUT_S = 90.0


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Server:
    return start_server("--shards", "2", "--workers", "2", "--log-level", "warning", "--app", APP)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        yield client


def expected(first: int, steps: int) -> list[str]:
    return [
        *(f"<{(first + step) ** 2}-{(first - step) ** 2}>" for step in range(steps)),
        str(first * first),
    ]


def pids(server: Server, kind: str) -> list[int]:
    return [entry["pid"] for entry in server.json("status")[kind] if entry["pid"]]


def test_many_functions_give_what_they_should(client: Any) -> None:
    runs = client.start_many(durable_app.parcel, [wfe.args(number, 4) for number in range(50)])
    for number, run in enumerate(runs):
        assert run.result(timeout_s=TIMEOUT_S) == expected(number, 4)


@pytest.mark.parametrize("kind", ["workers", "shards"])
def test_killed_half_way_the_result_is_the_same(server: Server, client: Any, kind: str) -> None:
    runs = [client.start(durable_app.parcel, number, 25) for number in range(20)]
    for _ in range(2):
        seen = max(len(run.history()) for run in runs)
        deadline_s = time.monotonic() + TIMEOUT_S
        while max(len(run.history()) for run in runs[:3]) < seen + 20 and runs[0].status() == "running":
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        for pid in pids(server, kind):
            os.kill(pid, signal.SIGKILL)
    for number, run in enumerate(runs):
        assert run.result(timeout_s=TIMEOUT_S) == expected(number, 25)
        published = [event.data["value"] for event in run.history() if event.type == "Published"]
        assert [value["step"] for value in published] == [0, 5, 10, 15, 20]
        assert len({value["dice"] for value in published}) == 5


def test_a_function_that_waits_goes_on_after_everything_was_killed(server: Server, client: Any) -> None:
    run = client.start(durable_app.asks, "why?")
    while run.status() != "waiting":
        time.sleep(0.02)
    for kind in ("workers", "shards"):
        for pid in pids(server, kind):
            os.kill(pid, signal.SIGKILL)
    run.signal("answer", "because")
    assert run.result(timeout_s=TIMEOUT_S) == "<why? because>"


def test_a_function_that_blocks_its_worker_ends_all_the_same(client: Any) -> None:
    assert client.start(durable_app.blocks).result(timeout_s=TIMEOUT_S) == "<late>"


def test_one_is_run_in_one_shot_from_the_command_line_and_from_python(server: Server) -> None:
    run = server.json("run", f"{APP}:parcel", "-i", '{"first": 3, "steps": 2}')
    assert (run["status"], run["output"]) == ("completed", expected(3, 2))
    assert wfe.run(durable_app.parcel, 4, 1) == expected(4, 1)


CHANGED = """
import wfe
from durable_app import label, weigh


@wfe.workflow
async def asks(wf: wfe.Durable, question: str) -> str:
    await wf.call(label, "first another")
    return await wf.wait_signal("answer", str)


@wfe.workflow
async def parcel(wf: wfe.Durable, first: int, steps: int) -> list[str]:
    return []
"""


def test_changed_code_is_judged_by_runs_before_it_is_deployed(server: Server, client: Any, tmp_path: Path) -> None:
    ended = client.start(durable_app.parcel, 2, 2)
    ended.result(timeout_s=TIMEOUT_S)
    waits = client.start(durable_app.asks, "what?")
    while waits.status() != "waiting":
        time.sleep(0.02)
    (same,) = server.json("replay", waits.id, "--app", APP)
    assert (same["outcome"], same["reason"], same["status"]) == ("same", "", "waiting")
    assert server.wfe("replay", ended.id, "--app", APP).stdout == "1 of 1 runs are re-run as they are recorded\n"

    changed = tmp_path / "changed_app.py"
    changed.write_text(CHANGED)
    server.environment["PYTHONPATH"] = str(Path(APP).parent)
    (differs,) = server.json("replay", waits.id, "--app", str(changed), code=1)
    assert differs["outcome"] == "differs"
    assert "call 0 is task label (changed_app.py:8), recorded is signal answer (durable_app.py:" in differs["reason"]
    assert "it does not make call 0, task weigh" in server.wfe("replay", ended.id, "--app", str(changed)).stdout
    found = server.json("deploy", "--check", str(changed), code=1)
    assert waits.id in {one["run_id"] for each in found for one in each["reruns"] if one["outcome"] == "differs"}
    waits.signal("answer", "that")
    assert waits.result(timeout_s=TIMEOUT_S) == "<what? that>"


OTHER_WAY = """
import wfe
from durable_app import label


@wfe.workflow
async def asks(wf: wfe.Durable, question: str) -> str:
    return await wf.call(label, question)
"""


def test_a_worker_with_other_code_pauses_the_run_and_one_with_its_own_goes_on(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("--shards", "1", "--workers", "0", "--log-level", "error", "--app", APP)
    other = tmp_path / "other_way.py"
    other.write_text(OTHER_WAY)
    server.environment["PYTHONPATH"] = str(Path(APP).parent)

    def worker(app: str) -> subprocess.Popen[bytes]:
        options = ("worker", "--app", app, "--connect", server.address)
        return subprocess.Popen([*WFE, *options], env=server.environment, stderr=subprocess.DEVNULL)

    def leave(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait()

    def status_is(run: Any, wanted: str) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while run.status() != wanted:
            assert time.monotonic() < deadline_s, f"{run.status()}, not {wanted}"
            time.sleep(0.05)

    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        run = client.start("asks", "why?")
        workers = [worker(APP)]
        try:
            status_is(run, "waiting")
            leave(workers.pop())
            workers.append(worker(str(other)))
            run.signal("answer", "because")
            status_is(run, "paused")
            (incident,) = (wait for wait in run.describe().waiting_for if wait.kind == "incident")
            assert (
                "call 0 is task label (other_way.py:8), recorded is signal answer (durable_app.py:" in incident.detail
            )
            leave(workers.pop())
            workers.append(worker(APP))
            run.resume()
            assert run.result(timeout_s=TIMEOUT_S) == "<why? because>"
        finally:
            for process in workers:
                leave(process)
