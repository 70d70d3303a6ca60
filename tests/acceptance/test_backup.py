"""A backup of a server at work, restored elsewhere; and what a killed shard does to one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import wfe
from conftest import WFE, Server

APP = Path(__file__).parent / "backup_app.py"
IN_FLIGHT = 60
RESULT_TIMEOUT_S = 60.0


@pytest.fixture
def serve(start_server: Callable[..., Server]) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(shards: int, data: Path) -> Server:
        options = ("--shards", str(shards), "--workers", "1", "--app", str(APP), "--log-level", "error")
        started.append(start_server(*options, data=data))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def token(server: Server) -> str:
    return (server.data / "token").read_text().strip()


async def command(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(server.wfe, *arguments)


@dataclass
class Load:
    """Runs one after another, in many lines. ``acknowledged``: run id -> number, in order."""

    client: Any
    acknowledged: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)

    async def keep(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for line in range(IN_FLIGHT):
                group.create_task(self._line(line, stop))

    async def _line(self, line: int, stop: asyncio.Event) -> None:
        number = line
        while not stop.is_set():
            run = await self.client.start("top", number)
            self.acknowledged[run.id] = number
            self.results[run.id] = await run.result(RESULT_TIMEOUT_S)
            number += IN_FLIGHT

    async def more_than(self, runs: int) -> None:
        """Waits for results."""
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while len(self.results) < runs:
                await asyncio.sleep(0.01)


async def test_a_backup_under_load_becomes_a_server_that_finishes_every_run(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(2, tmp_path / "data")
    async with wfe.aconnect(server.address, token(server)) as client:
        load, stop = Load(client), asyncio.Event()
        keeping = asyncio.create_task(load.keep(stop))
        await load.more_than(IN_FLIGHT)
        before = dict(load.acknowledged)
        made = await command(server, "backup", str(tmp_path / "backup"), "--json")
        assert made.returncode == 0, made.stderr
        seen = len(load.results)
        await load.more_than(seen + IN_FLIGHT)
        stop.set()
        await keeping
    assert load.results == {run_id: number + 3 for run_id, number in load.acknowledged.items()}
    assert server.stop() == 0
    restored = await command(server, "restore", str(tmp_path / "backup"), "--data", str(tmp_path / "new"))
    assert restored.returncode == 0, restored.stderr
    report = server.json("verify", str(tmp_path / "new"))
    assert (report["ok"], report["findings"]) == (True, [])
    assert report["open_runs"] + report["log_events"] > 0, "runs were under way when the backup was made"

    again = serve(3, tmp_path / "new")
    assert token(again) != token(server)
    async with wfe.aconnect(again.address, token(again)) as client:
        for run_id, number in before.items():
            assert await client.handle(run_id).result(RESULT_TIMEOUT_S) == number + 3
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while open_runs := [run for run in await client.list(limit=10_000) if run.info.status != "completed"]:
                await asyncio.sleep(0.05)
        assert open_runs == []
        tops = [run.id for run in await client.list(workflow="top", limit=10_000)]
        middles = [run.id for run in await client.list(workflow="middle", limit=10_000)]
        leaves = [run.id for run in await client.list(workflow="leaf", limit=10_000)]
        assert set(before) <= set(tops)
        assert (len(middles), len(leaves)) == (len(tops), 2 * len(tops)), "each letter was taken once"
        status = await client.status()
        assert all(shard.epoch > 1_000_000 for shard in status.shards)
    assert again.stop() == 0
    assert server.json("verify", str(tmp_path / "new"))["ok"]


async def test_kill_dash_nine_of_a_shard_during_a_backup_ends_the_backup_and_nothing_else(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(2, tmp_path / "data")
    async with wfe.aconnect(server.address, token(server)) as client:
        load, stop = Load(client), asyncio.Event()
        keeping = asyncio.create_task(load.keep(stop))
        await load.more_than(10)
        victim = (await client.status()).shards[1].pid
        os.kill(victim, signal.SIGSTOP)  # so that the backup is sure to wait for it
        backing = asyncio.create_task(command(server, "backup", str(tmp_path / "first"), "--json"))
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while not (tmp_path / "first").exists():
                await asyncio.sleep(0.01)
        os.kill(victim, signal.SIGKILL)
        refused = await backing
        assert (refused.returncode, '"code":"backup"' in refused.stdout) == (1, True), refused.stdout + refused.stderr
        unfinished = await command(server, "restore", str(tmp_path / "first"), "--data", str(tmp_path / "nothing"))
        assert (unfinished.returncode, (tmp_path / "nothing").exists()) == (2, False)
        assert (await client.wait_until_serving(30)).state == "serving"
        await load.more_than(len(load.results) + IN_FLIGHT)
        made = await command(server, "backup", str(tmp_path / "second"))
        assert made.returncode == 0, made.stderr
        stop.set()
        await keeping
    assert load.results == {run_id: number + 3 for run_id, number in load.acknowledged.items()}


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [*WFE, "backup", str(tmp_path / "b"), "--address", "tcp://127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert not (tmp_path / "b").exists()
