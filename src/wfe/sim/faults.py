"""Faults: what happens to processes, disks, connections and clocks, and when.

Each fault is one step. How often and which is the swarm's choice; after `cease` the world is calm. Faults come in
bursts: so they meet each other, and in between there is time for runs to get anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.sim.disk import Fault
from wfe.sim.network import Connection, Weather
from wfe.sim.shards import log_name, store_name

if TYPE_CHECKING:
    from wfe.sim.world import World

HOUR_MS = 3_600_000
BACK_MAX_MS = 200_000
BURST, BURST_US = 0.4, 20_000
"""How often the next fault follows soon, and how soon."""
CRASHES: tuple[Fault, ...] = ("crash_before", "crash_after")
ERRORS: tuple[Fault, ...] = ("error_before", "error_after", "no_space")


class Faults:
    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.chance("faults")
        self._on = True
        self._latest_ms = 0
        self.happened: dict[str, int] = {}

    def start(self) -> None:
        if self._world.swarm.faults:
            self._later()

    def cease(self) -> None:
        """From now on nothing bad happens. What was planned is dropped."""
        self._on = False
        world = self._world
        world.network.weather = Weather()
        world.network.cut.clear()
        for connection in world.network.connections(tame=True):
            connection.full.clear()
        world.disk.calm()
        world.disk.capacity_bytes = None
        world.disk_max_us = 2_000
        world.behaviour.poison = 0.0
        world.behaviour.hurry = True

    def _later(self) -> None:
        mean_us = BURST_US if self._random.random() < BURST else self._world.swarm.mean_fault_us
        delay_us = int(self._random.expovariate(1 / mean_us)) + 1
        self._world.schedule.after(delay_us, self._happen)

    def _happen(self) -> None:
        if not self._on:
            return
        name = self._random.choice(self._world.swarm.faults)
        self._world.trace.step(self._world.schedule.now_us, f"fault {name}")
        self.happened[name] = self.happened.get(name, 0) + 1
        getattr(self, f"_{name}")()
        if self._world.engine.alive and self._world.engine.broken:
            self._world.engine.die(0)  # an operator starts it again
        self._later()

    # ---- processes --------------------------------------------------------------------------------------------------

    def _shard_crash(self) -> None:
        if shards := self._world.shards():
            self._random.choice(shards).die(-9)

    def _worker_crash(self) -> None:
        if workers := self._world.workers():
            self._random.choice(workers).die(-9)

    def _engine_crash(self) -> None:
        if self._world.engine.alive and self._random.random() < 0.3:
            self._world.engine.die(-9)

    def _reshard(self) -> None:
        """An operator starts the engine again with another number of shards (`World.ended`)."""
        if self._world.engine.alive:
            self._world.engine.die(0)

    def _client_crash(self) -> None:
        if self._world.clients:
            self._random.choice(self._world.clients).die(-9)

    def _worker_stop(self) -> None:
        if workers := self._world.workers():
            self._random.choice(workers).stop_for(self._random.choice((200, 1_000, 5_000, 12_000, 30_000)) * 1_000)

    def _shard_stop(self) -> None:
        if shards := self._world.shards():
            self._random.choice(shards).stop_for(self._random.choice((200, 1_000, 5_000, 12_000)) * 1_000)

    # ---- disks ------------------------------------------------------------------------------------------------------

    def _commit_crash(self) -> None:
        """The next commit of a log is the last thing that its shard does."""
        if shards := self._world.shards():
            shard = self._random.choice(shards)
            self._world.disk.plan(log_name(shard.options.index), self._random.choice(CRASHES))

    def _write_crash(self) -> None:
        number = self._random.randrange(self._world.partitions)
        self._world.disk.plan(store_name(number), self._random.choice(CRASHES))

    def _disk_error(self) -> None:
        names = sorted(n for n in self._world.disk.names() if n.startswith(("log-", "store-")))
        if names:
            self._world.disk.plan(self._random.choice(names), self._random.choice(ERRORS))

    def _slow_disk(self) -> None:
        world = self._world
        world.disk_max_us = self._random.choice((500, 2_000, 50_000, 2_000_000))
        world.disk_worst_us = max(world.disk_worst_us, world.disk_max_us)

    def _full_disk(self) -> None:
        """There is hardly any room left, for a while."""
        disk = self._world.disk
        disk.capacity_bytes = disk.used_bytes() + self._random.choice((0, 1_000, 10_000))
        self._world.schedule.after(self._random.choice((50_000, 1_000_000, 5_000_000)), self._room)

    def _room(self) -> None:
        self._world.disk.capacity_bytes = None

    # ---- network and clocks -----------------------------------------------------------------------------------------

    def _reconnect(self) -> None:
        if connections := self._world.network.connections():
            self._world.network.break_connection(self._random.choice(connections))

    def _cut(self) -> None:
        """Nothing passes one way between two processes, for a while."""
        if connections := self._world.network.connections():
            pair = self._one_way(self._random.choice(connections))
            self._world.network.cut.add(pair)
            span_us = self._random.choice((3_000, 30_000, 300_000, 3_000_000, 15_000_000))
            self._world.schedule.after(span_us, self._world.network.cut.discard, pair)

    def _queue_full(self) -> None:
        """One way between two processes takes no more frames, for a while: a reader that does not keep up. Often it is
        between coordinator and shard, where nothing else is ever lost.
        """
        connections = self._world.network.connections(tame=True)
        if self._random.random() < 0.5:
            connections = [each for each in connections if each.dealer.tame] or connections
        if connections:
            connection, outward = self._random.choice(connections), self._random.random() < 0.5
            connection.full.add(outward)
            span_us = self._random.choice((1_000, 20_000, 300_000))
            self._world.schedule.after(span_us, connection.full.discard, outward)

    def _one_way(self, connection: Connection) -> tuple[str, str]:
        pair = (connection.dealer.host, connection.router.host)
        return pair if self._random.random() < 0.5 else (pair[1], pair[0])

    def _drift(self) -> None:
        """The clock of one process gets another speed; it does not step."""
        nodes = [*self._world.shards(), *self._world.workers(), *self._world.clients]
        if nodes:
            node = self._random.choice(nodes)
            node.offset_ms, node.born_us = (
                node.now_ms() - self._world.schedule.now_us // 1_000,
                self._world.schedule.now_us,
            )
            node.drift = self._world.drift()

    def _wall_step(self) -> None:
        """The wall clock of the host steps: processes that start from now on see it. Not too far back, or timers that
        were set before would outlast the liveness phase.
        """
        world = self._world
        self._latest_ms = max(self._latest_ms, world.wall_offset_ms)
        step_ms = self._random.choice((-120_000, -1_000, 1_000, HOUR_MS))
        world.wall_offset_ms = max(world.wall_offset_ms + step_ms, self._latest_ms - BACK_MAX_MS)
