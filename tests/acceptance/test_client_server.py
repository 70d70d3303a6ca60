"""The Python client against a real server: typed values, many runs, restarts of the server and of its shards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wfe
from conftest import Server
from wfe.client import Client

STOP_S = 30


@pytest.fixture
def environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process finds the server and its token as any other of the same user does."""
    monkeypatch.setenv("XDG_STATE_HOME", server.environment["XDG_STATE_HOME"])
    monkeypatch.setenv("WFE_ADDRESS", server.address)
    monkeypatch.delenv("WFE_TOKEN", raising=False)


def until_waiting(run: Any) -> None:
    """Asks until the run waits for something outside."""
    while run.status() != "waiting":
        continue


@pytest.mark.usefixtures("environment")
def test_many_runs_give_their_results_in_order() -> None:
    with wfe.connect() as client:
        runs = client.start_many("hello", [f"n{number}" for number in range(500)])
        assert [run.result(timeout_s=60) for run in runs] == [f"hello n{number}" for number in range(500)]
        assert len({run.id[:2] for run in runs}) == 32


@pytest.mark.usefixtures("environment")
async def test_the_async_client_does_the_same() -> None:
    async with wfe.aconnect() as client:
        runs = await asyncio.gather(*(client.start("hello", str(number)) for number in range(100)))
        results = await asyncio.gather(*(run.result(timeout_s=60) for run in runs))
        assert results == [f"hello {number}" for number in range(100)]


@pytest.mark.usefixtures("environment")
def test_failures_and_cancels_raise() -> None:
    with wfe.connect() as client:
        with pytest.raises(wfe.RunFailed) as caught:
            client.start("doomed", "no luck").result(timeout_s=30)
        assert caught.value.caused_by(ValueError)
        assert caught.value.caused_by("Exception")
        run = client.start("patient")
        run.cancel()
        with pytest.raises(wfe.RunCancelled):
            run.result(timeout_s=30)
        with pytest.raises(wfe.RunClosed):
            run.signal("go")


@pytest.mark.usefixtures("environment")
def test_a_key_names_one_run() -> None:
    with wfe.connect() as client:
        run = client.start("hello", "x", key="order-1")
        assert client.start("hello", "x", key="order-1").id == run.id
        assert client.find("hello", "order-1").id == run.id
        with pytest.raises(wfe.KeyConflict):
            client.start("hello", "y", key="order-1")
        with pytest.raises(wfe.UnknownRun):
            client.find("hello", "order-2")


@pytest.mark.usefixtures("environment")
def test_a_signal_by_key_starts_the_run_and_ends_it() -> None:
    with wfe.connect() as client:
        run = client.signal("patient", "p-1", "go", {"n": 1}, event_id="e", start=wfe.args())
        assert run.result(timeout_s=30) == {"n": 1}


@pytest.mark.usefixtures("environment")
def test_a_result_can_be_asked_for_again_and_by_others() -> None:
    with wfe.connect() as client:
        run = client.start("hello", "x")
        assert run.result(timeout_s=30) == run.result() == "hello x"
    with wfe.connect() as other:
        assert other.get(run.id).result(timeout_s=30) == "hello x"


def client_of(server: Server) -> Client:
    return wfe.connect(server.address, (server.data / "token").read_text().strip())


def test_results_survive_a_kill_of_every_shard(start_server: Callable[..., Server], app: Path) -> None:
    server = start_server("--shards", "2", "--workers", "1", "--app", str(app))
    with client_of(server) as client:
        waiting = client.start_many("patient", [wfe.args()] * 50)
        runs = client.start_many("hello", [str(number) for number in range(200)])
        for shard in client.status().shards:
            os.kill(shard.pid, signal.SIGKILL)
        assert [run.result(timeout_s=60) for run in runs] == [f"hello {number}" for number in range(200)]
        for run in waiting:
            run.signal("go", {"id": run.id})
        assert [run.result(timeout_s=60) for run in waiting] == [{"id": run.id} for run in waiting]
        assert sum(shard.restarts for shard in client.status().shards) == 2


def test_a_client_outlives_its_server(start_server: Callable[..., Server], app: Path) -> None:
    server = start_server("--workers", "1", "--app", str(app))
    with client_of(server) as client:
        run = client.start("patient")
        until_waiting(run)
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(STOP_S)
        again = start_server("--workers", "1", "--app", str(app), "--listen", server.address, data=server.data)
        run.signal("go", {"n": 2})
        assert run.result(timeout_s=60) == {"n": 2}
        assert again.stop() == 0


def test_wfe_run_of_a_workflow_object_gives_its_typed_result(app: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(app.parent)!r})
import wfe
from acceptance_app import doubled

if __name__ == "__main__":
    print(wfe.run(doubled, [1, 2, 3]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[2, 4, 6]\n", done.stderr
