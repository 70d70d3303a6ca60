"""Partitions move between the shards of a server at work, back and forth, and while shards are killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from test_backup import IN_FLIGHT, RESULT_TIMEOUT_S, Load

import wfe
from conftest import Server
from wfe.errors import RebalanceError

APP = Path(__file__).parent / "backup_app.py"
PARTITIONS = 8


def started(start_server: Callable[..., Server], data: Path) -> Server:
    options = ("--shards", "2", "--workers", "1", "--partitions", str(PARTITIONS), "--app", str(APP))
    return start_server(*options, "--log-level", "error", data=data)


async def each_letter_was_taken_once(client: wfe.AsyncClient, load: Load) -> None:
    """Every run that was acknowledged ended right, and started its sub-workflows once each."""
    assert load.results == {run_id: number + 3 for run_id, number in load.acknowledged.items()}
    lists = {name: await client.list(workflow=name, limit=10_000) for name in ("top", "middle", "leaf")}
    assert {run.info.status for runs in lists.values() for run in runs} == {"completed"}
    assert {run.id for run in lists["top"]} == set(load.acknowledged)
    assert (len(lists["middle"]), len(lists["leaf"])) == (len(load.acknowledged), 2 * len(load.acknowledged))


async def test_partitions_move_back_and_forth_under_load_and_nothing_is_lost_or_doubled(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = started(start_server, tmp_path / "data")
    async with wfe.aconnect(server.address, (server.data / "token").read_text().strip()) as client:
        load, stop = Load(client), asyncio.Event()
        keeping = asyncio.create_task(load.keep(stop))
        await load.more_than(IN_FLIGHT)
        for target in (1, 0, 1):
            report = await client.rebalance((number, target) for number in range(PARTITIONS))
            assert {move.state for move in report.moves} == {"moved"}
            status = await client.status()
            assert status.shards[target].partitions == list(range(PARTITIONS))
            await load.more_than(len(load.results) + IN_FLIGHT)
        report = await client.rebalance()
        assert report.phase == "done"
        assert all(move.state == "moved" for move in report.moves)
        await load.more_than(len(load.results) + IN_FLIGHT)
        stop.set()
        await keeping
        await each_letter_was_taken_once(client, load)
        owners = [shard.partitions for shard in (await client.status()).shards]
    assert server.stop() == 0
    assert server.json("verify", str(server.data))["findings"] == []

    again = started(start_server, tmp_path / "data")
    async with wfe.aconnect(again.address, (again.data / "token").read_text().strip()) as client:
        assert [shard.partitions for shard in (await client.status()).shards] == owners, "they stay where they are"
        assert await client.handle(next(iter(load.results))).result(RESULT_TIMEOUT_S) is not None


async def test_shards_are_killed_while_partitions_move_and_every_run_ends_right(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = started(start_server, tmp_path / "data")
    dice = random.Random(7)
    async with wfe.aconnect(server.address, (server.data / "token").read_text().strip()) as client:
        load, stop = Load(client), asyncio.Event()
        keeping = asyncio.create_task(load.keep(stop))
        await load.more_than(IN_FLIGHT)
        fates: set[str] = set()
        for victim in (0, 1, 1, 0):
            moves = [(number, dice.randrange(2)) for number in range(PARTITIONS)]
            moving = asyncio.create_task(client.rebalance(moves))
            await asyncio.sleep(dice.random() * 0.1)  # the blow may meet any step of any move
            pid = (await client.status()).shards[victim].pid
            os.kill(pid, signal.SIGKILL)
            fates |= {move.state for move in (await moving).moves}
            await client.wait_until_serving(RESULT_TIMEOUT_S)
            await load.more_than(len(load.results) + IN_FLIGHT)
        stop.set()
        await keeping
        assert "moved" in fates
        await each_letter_was_taken_once(client, load)
    assert server.stop() == 0
    assert server.json("verify", str(server.data))["findings"] == []


async def test_what_cannot_be_moved_is_said_in_words(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = started(start_server, tmp_path / "data")
    planned = await asyncio.to_thread(server.json, "rebalance", "--move", "0:1", "--dry-run")
    assert [(move["partition"], move["to"], move["state"]) for move in planned["moves"]] == [(0, 1, "planned")]
    refused = await asyncio.to_thread(server.wfe, "rebalance", "--move", "9:0")
    assert (refused.returncode, "no partition 9" in refused.stderr) == (2, True), refused.stderr
    async with wfe.aconnect(server.address, (server.data / "token").read_text().strip()) as client:
        assert (await client.rebalance()).moves == [], "it is as even as it gets"
        assert [move.state for move in (await client.rebalance([(0, 1)])).moves] == ["moved"]
        assert (await client.rebalance([(0, 1)])).moves == [], "it is there already"
        for moves, said in (([(0, 5)], "no shard 5"), ([(1, 0), (1, 1)], "several shards")):
            with pytest.raises(RebalanceError, match=said):
                await client.rebalance(moves)
