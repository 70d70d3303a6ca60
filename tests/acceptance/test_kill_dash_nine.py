"""500 runs in flight, and kill -9 for every kind of process: every result is right, every transition happened once.

``WFE_CHAOS_SEED`` repeats a run's choices; ``WFE_CHAOS_ROUNDS`` kills every kind that many times (`make chaos`).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from chaos_kills import Chaos, family, gone
from chaos_load import IN_FLIGHT, Load, executions_of, wrong_children, wrong_histories, wrong_lists, wrong_results

import wfe
from conftest import Server

HERE = Path(__file__).parent
KINDS = ("a shard", "a worker", "all workers", "all shards", "the coordinator", "everything")
SHOWN = 20


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "effects"
    file.touch()
    monkeypatch.setenv("CHAOS_EFFECTS", str(file))
    return file


@pytest.fixture
def chaos(start_server: Callable[..., Server], tmp_path: Path, effects: Path) -> Chaos:
    def serve(*options: str, data: Path) -> Server:
        apps = ("--app", str(HERE / "chaos_tasks.py"), "--app", str(HERE / "chaos_bill.yaml"))
        return start_server("--workers", "2", "--log-level", "error", *apps, *options, data=data)

    return Chaos(serve, tmp_path / "data")


async def kill_in_turn(chaos: Chaos, client: wfe.AsyncClient, load: Load, dice: random.Random, rounds: int) -> None:
    """Each kind of process ``rounds`` times, in random order and at random moments, while runs are in flight."""
    for _ in range(rounds):
        for kind in dice.sample(KINDS, len(KINDS)):
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            print(f"kill -9 {kind}, {len(load.runs)} runs were started")
            await chaos.kill(kind, client, dice.choice)


async def check(client: wfe.AsyncClient, load: Load, effects: Path) -> None:
    """Everything that was acknowledged against what is there."""
    executions = executions_of(effects)
    wrong = wrong_results(load.runs)
    wrong += await wrong_children(client, load)
    wrong += await wrong_histories(client, load, executions)
    wrong += await wrong_lists(client, load)
    assert not wrong, f"{len(wrong)} findings:\n" + "\n".join(wrong[:SHOWN])


async def test_what_was_acknowledged_survives_kill_dash_nine_of_everything(chaos: Chaos, effects: Path) -> None:
    seed = int(os.environ.get("WFE_CHAOS_SEED") or random.SystemRandom().getrandbits(32))
    rounds = int(os.environ.get("WFE_CHAOS_ROUNDS") or 1)
    print(f"WFE_CHAOS_SEED={seed} WFE_CHAOS_ROUNDS={rounds}")
    dice = random.Random(seed)
    async with wfe.aconnect(chaos.server.address, chaos.token) as client:
        load, stop = Load(client, random.Random(dice.random())), asyncio.Event()
        keeping = asyncio.create_task(load.keep(stop))
        try:
            await kill_in_turn(chaos, client, load, dice, rounds)
        finally:
            stop.set()
            await keeping
        assert load.in_flight_seen == IN_FLIGHT
        await check(client, load, effects)
        for shards in (3, 1):
            await chaos.restart(shards)
            await chaos.serves(client)
            assert not await wrong_lists(client, load)
        await check(client, load, effects)
    left = family(chaos.server.pid)
    assert chaos.server.stop() == 0
    await gone(left)
    report = chaos.server.json("verify", str(chaos.server.data))
    assert (report["ok"], report["findings"]) == (True, [])
