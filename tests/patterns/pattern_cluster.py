"""The engine of `wfe.testing` with two shards, of which one crashes alone, before and after each of its commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from wfe.testing import Env
from wfe.testing.world import TestWorld

T = TypeVar("T")
LATE_S = 2.5
"""A shard that was started again waits for less than that for what workers still hold."""


class TwoShards(TestWorld):
    SHARDS = 2


class Cluster(Env):
    """Its calls return when nothing more happens but for a shard that waits for its workers."""

    _world_class = TwoShards

    def rest(self) -> None:
        """Lets such a shard go on, too."""
        self._drive(asyncio.sleep(LATE_S))

    def until(self, ready: Callable[[], bool], hint: Callable[[], str]) -> None:
        if not ready():
            self.rest()
        assert ready(), hint()


def crash_one_shard_everywhere(scenario: Callable[[Cluster], T], *apps: str) -> T:
    """The scenario without a crash, then once for each point: the same value must come out."""
    expected, points = _scene(scenario, apps, -1)
    assert points, "something is committed"
    for at in range(points):
        found, _ = _scene(scenario, apps, at)
        assert found == expected, f"a crash {'after' if at % 2 else 'before'} commit {at // 2 + 1}"
    return expected


def _scene(scenario: Callable[[Cluster], T], apps: tuple[str, ...], at: int) -> tuple[T, int]:
    with Cluster(*apps) as env:
        crashes = env._world.crashes
        crashes.at, crashes.seen, crashes.alone = at, 0, True
        return scenario(env), crashes.seen
