"""All that a run may be in the middle of while its partition moves between two shards of an engine in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

import wfe
from wfe.testing import Env
from wfe.testing.world import PARTITIONS, TestWorld


class TwoShards(TestWorld):
    SHARDS = 2


class Cluster(Env):
    """Its partitions go to one shard or the other as a test says."""

    _world_class = TwoShards

    def move(self, shard: int) -> None:
        """Every partition that is not there goes there."""
        report = self._drive(self.client.rebalance((number, shard) for number in range(PARTITIONS)))
        assert {move.state for move in report.moves} == {"moved"}
        owned = [self.partitions(index) for index in range(2)]
        assert owned[shard] == list(range(PARTITIONS)), owned

    def partitions(self, shard: int) -> list[int]:
        node = self._world.engine.children[f"shard-{shard}"]
        return sorted(node.shard.core.partitions)  # type: ignore[union-attr]


@pytest.fixture
def env() -> Iterator[Cluster]:
    with Cluster() as made:
        yield made


@wfe.task
async def double(number: int) -> int:
    return 2 * number


@wfe.task
async def slow(number: int) -> int:
    await asyncio.sleep(60)
    return number


@wfe.workflow
def waits_and_sleeps(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    first = wf.wait_signal("first", int)
    wf.sleep("1h")
    second = wf.wait_signal("second", int)
    return double(number + first + second)


@wfe.workflow
def one_slow_task(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return slow(number)


@wfe.workflow
def goes_twice(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    first = wf.wait_signal("go", int)
    return first + wf.wait_signal("go", int) + number


@wfe.workflow
def alone(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    with wf.lock("only_one"):
        given = wf.wait_signal("go", int)
    return given


@wfe.workflow
def child(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return double(wf.wait_signal("go", int) + number)


@wfe.workflow
def parent(wf: wfe.Graph, numbers: wfe.Ref[list[int]]) -> wfe.Ref[list[int]]:
    return wf.map(child, numbers)


@wfe.workflow
def asks(wf: wfe.Graph) -> wfe.Ref[bool]:
    return wf.approval("manager").approved


@wfe.workflow
async def plain(wf: wfe.Durable, number: int) -> int:
    first = await double(number)
    second: int = await wf.wait_signal("more", int)
    await wf.sleep("1h")
    return await double(first + second)


def test_signals_and_timers_meet_their_run_wherever_it_is(env: Cluster) -> None:
    run = env.start(waits_and_sleeps, 1)
    env.move(1)
    run.signal("first", 2)
    env.move(0)
    env.skip("1h")
    env.move(1)
    run.signal("second", 3)
    assert run.result() == 12


def test_a_key_names_the_same_run_wherever_it_is(env: Cluster) -> None:
    run = env.start(waits_and_sleeps, 1, key="k")
    env.move(1)
    assert env.start(waits_and_sleeps, 1, key="k").id == run.id
    env.signal(waits_and_sleeps, "k", "first", 1)
    env.move(0)
    assert env.find(waits_and_sleeps, "k").id == run.id


def test_a_task_that_runs_is_run_once_and_its_result_counts(env: Cluster) -> None:
    env.mock(slow).does(sleeper := Sleeper())
    runs = env.start_many(one_slow_task, range(8))
    env.move(1)
    env.move(0)
    assert [run.result() for run in runs] == list(range(8))
    assert sorted(sleeper.began) == list(range(8)), "no task began twice"


class Sleeper:
    def __init__(self) -> None:
        self.began: list[int] = []

    async def __call__(self, number: int) -> int:
        self.began.append(number)
        await asyncio.sleep(60)
        return number


def test_a_lock_is_kept_and_passed_on(env: Cluster) -> None:
    runs = [env.start(alone, number) for number in range(3)]
    for moved, run in enumerate(runs):
        env.move((moved + 1) % 2)
        run.signal("go", moved)
        assert run.result() == moved


def test_sub_workflows_and_those_who_await_them_find_each_other(env: Cluster) -> None:
    run = env.start(parent, [1, 2, 3])
    env.move(1)
    children = env.list(workflow=child)
    for number, each in enumerate(children):
        each.signal("go", 10)
        if number == 1:
            env.move(0)
    assert run.result() == [22, 24, 26]


def test_approvals_are_listed_and_decided(env: Cluster) -> None:
    run = env.start(asks)
    env.move(1)
    assert [each.run_id for each in env.approvals()] == [run.id]
    run.approve("manager")
    assert run.result() is True


def test_durable_functions_go_on(env: Cluster) -> None:
    run = env.start(plain, 1)
    env.move(1)
    run.signal("more", 5)
    env.move(0)
    env.skip("1h")
    assert run.result() == 14


def test_a_paused_run_stays_so(env: Cluster) -> None:
    run = env.start(waits_and_sleeps, 1)
    run.pause()
    env.move(1)
    assert run.status() == "paused"
    run.resume()
    env.move(0)
    run.signal("first", 1)
    assert run.status() == "waiting"


@pytest.mark.parametrize("kept", [1, 0])
def test_who_watches_all_runs_misses_nothing_unless_he_is_told(env: Cluster, kept: int) -> None:
    """``kept``: partitions that stay where they are; a shard without any cannot be asked."""
    seen: list[tuple[str, int]] = []
    missed = 0

    async def watch() -> None:
        nonlocal missed
        async with aclosing(env.client.feed()) as items:
            async for item in items:
                missed += item.missed
                if item.event is not None:
                    seen.append((item.run_id, item.event.seq))

    async def scene() -> Any:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(1)
        run = await env.client.start(goes_twice, 1)
        for shard in (1, 0):
            await env.client.rebalance((n, shard) for n in range(PARTITIONS) if not kept or n != 1 - shard)
            await run.signal("go", 1)
            await asyncio.sleep(5)
        watching.cancel()
        return run

    env.deploy(goes_twice)
    run = env._drive(scene())
    history = [event.seq for event in env.get(run.id).history()]
    followed = sorted(seq for run_id, seq in seen if run_id == run.id)
    assert len(followed) == len(set(followed))
    assert followed == history or missed
    assert not (kept and missed)


def test_after_a_crash_of_everything_partitions_are_where_they_were(env: Cluster) -> None:
    run = env.start(waits_and_sleeps, 1)
    env.move(1)
    run.signal("first", 2)
    env.crash()
    assert env.partitions(0) == []
    env.skip("1h")
    run.signal("second", 3)
    assert run.result() == 12
