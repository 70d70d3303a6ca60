"""Somebody who moves partitions between the shards of a simulated server, whatever else happens to it.

`Mover.start` is called by whoever wants that in a world. What becomes of it judges the auditor (`sim.owners`): one
owner at a time, which has all that is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.errors import WfeError
from wfe.sim.engine import EngineNode
from wfe.wire.rebalance import Rebalance, RebalanceReport

if TYPE_CHECKING:
    from wfe.sim.world import World

PAUSES_US = (50_000, 200_000, 1_000_000)
LOOK_US = 100_000
STOP_SHARE = 0.1
STOPS_US = (6_000_000, 20_000_000)
"""A shard is stopped for so long just when partitions are to be moved: long enough to be taken for stalled."""


class Mover:
    """Asks for one rebalance after the other; counts how partitions fare."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.chance("moves")
        self._pause_us = self._random.choice(PAUSES_US)
        self._asked = 0
        self.happened: dict[str, int] = {}

    def start(self) -> None:
        self._world.schedule.after(1 + self._random.randrange(self._pause_us), self._ask)

    def _ask(self) -> None:
        if self._world.calm:
            return
        self._asked += 1
        wanted = Rebalance(f"rebalance-{self._asked}")
        shards = self._world.engine.options.shards
        if self._random.random() < 0.8:
            count = self._random.choice((1, 1, 2, self._world.partitions))
            numbers = self._random.sample(range(self._world.partitions), count)
            wanted.moves = [(number, self._random.randrange(shards)) for number in numbers]
        self._look(wanted)
        if self._random.random() < STOP_SHARE and (nodes := self._world.shards()):
            self._random.choice(nodes).stop_for(self._random.choice(STOPS_US))

    def _look(self, wanted: Rebalance) -> None:
        """Begins the rebalance, or asks how it goes."""
        engine = self._world.engine
        self._world.trace.step(self._world.schedule.now_us, f"ask for {wanted.id}")
        if engine.alive and hasattr(engine, "actor"):
            engine.guarded(self._request, engine, wanted)
        else:
            self.start()

    def _request(self, engine: EngineNode, wanted: Rebalance) -> None:
        try:
            report = engine.actor.rebalancing.request(wanted, engine.now_ms())
        except WfeError as error:
            self._count(f"refused {error.code}")
            self.start()
            return
        if report.phase == "done":
            self._book(report)
            self.start()
        else:
            self._world.schedule.after(LOOK_US, self._look, wanted)

    def _book(self, report: RebalanceReport) -> None:
        for move in report.moves:
            self._count(move.state)

    def _count(self, name: str) -> None:
        self.happened[name] = self.happened.get(name, 0) + 1
