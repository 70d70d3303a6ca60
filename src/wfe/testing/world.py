"""The engine of a test: the simulated world without its faults, with the production's coordinator, shard and worker.

One shard (or several), one worker, a disk in memory. Everything happens in the thread that drives the loop. Invariant:
time only passes through `VirtualLoop` and `jump`; `jump` moves what the engine takes for wall time, as a suspended
machine would.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

from wfe.config import ServeOptions, WorkerOptions
from wfe.coordinator.child_options import ChildOptions
from wfe.model.registered import RegisteredTask
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimCrashed, SimDisk
from wfe.sim.engine import EngineNode
from wfe.sim.network import Network
from wfe.sim.node import Node
from wfe.sim.schedule import Schedule
from wfe.sim.shards import ShardNode
from wfe.sim.trace import Trace
from wfe.sim.workers import WorkerNode
from wfe.sim.world import BEGIN_MS, World
from wfe.testing.loop import VirtualLoop
from wfe.testing.mocks import Mock
from wfe.testing.worker import TaskNode
from wfe.worker.builtin import plugin_tasks

if TYPE_CHECKING:
    from wfe.sim.swarm import Swarm

PARTITIONS = 4
SLOTS = 64
RESTART_US = 1_000


class CrashPlan:
    """Plays the simulation's auditor, which sees every commit: counts them, and crashes the engine at one of them.

    ``at``: 2n is before the n-th commit of a run's events, 2n + 1 is right after it; -1: never. ``alone``: only the
    shard that commits crashes.
    """

    def __init__(self, world: TestWorld) -> None:
        self._world = world
        self.owners = self
        self.at = -1
        self.alone = False
        self.seen = 0
        self.crashed = False

    def committing(self, node: ShardNode, chunks: Any) -> None:
        self._point()

    def committed(self, node: ShardNode, chunks: Any) -> None:
        self._point()

    def _point(self) -> None:
        here, self.seen = self.seen, self.seen + 1
        if here == self.at:
            self.crashed = True
            if not self.alone:
                self._world.schedule.after(0, self._world.engine.die, -9)
            raise SimCrashed("a crash that the test asked for")

    def __getattr__(self, name: str) -> Any:
        """Whatever else the auditor is told is of no interest here."""
        return _ignored


def _ignored(*_: Any) -> None:
    return None


class _Settings:
    """What the simulation's nodes want to know of a swarm."""

    slots = SLOTS
    shards = 1
    local_workers = 1
    turn_us = 10
    faults: tuple[str, ...] = ()


class _Programs:
    """No definitions to begin with: they are deployed as tests start them."""

    def first_definitions(self) -> list[bytes]:
        return []


class TestEngine(EngineNode):
    """The coordinator's process; its worker runs real tasks."""

    __test__ = False
    world: TestWorld

    def spawn(self, name: str, options: ChildOptions) -> int:
        if not isinstance(options, WorkerOptions):
            return super().spawn(name, options)
        self._pids += 1
        self.children[name] = TaskNode(self.world, name, options, slots=SLOTS)
        return self._pids


class TestWorld(World):
    """``tasks``: what the worker offers, by (name, version). ``mocks``: by task name. ``rerun``: no durable function
    stays live between its turns."""

    __test__ = False
    SHARDS = 1
    engine: TestEngine

    def __init__(
        self, seed: int, *, rerun: bool = True
    ) -> None:  # the simulation's own __init__ starts faults, clients and an auditor
        self.seed, self.rerun = seed, rerun
        self.schedule = Schedule()
        self.loop = VirtualLoop(self.schedule)
        self.trace = Trace()
        self._chances: dict[str, Random] = {}
        self.swarm = cast("Swarm", _Settings())
        self.partitions = PARTITIONS
        self.front_address, self.back_address = "front", "back"
        self.wall_offset_ms = BEGIN_MS
        self.shard_settings = {}
        self.network = Network(self.schedule, self.trace, self.chance("network"))
        self.disk = SimDisk(SeededRandom(self.chance("disk").getrandbits(64)))
        self.disk_max_us = 200
        self.program = cast(Any, _Programs())
        self.crashes = CrashPlan(self)
        self.auditor = self.catalogue = cast(Any, self.crashes)
        self.calm = True
        self._numbers = 0
        self.remotes, self.clients = [], []
        self.tasks: dict[tuple[str, int], RegisteredTask] = {(t.name, t.version): t for t in plugin_tasks()}
        self.mocks: dict[str, Mock] = {}
        self.busy_tasks = 0
        """Attempts that are executing now."""
        self.engine = TestEngine(self, self._options(self.SHARDS))

    def _options(self, shards: int) -> ServeOptions:
        return ServeOptions(shards=shards, workers=1, slots=SLOTS, partitions=self.partitions)

    def ended(self, node: Node, code: int) -> None:
        """A process has ended: it is started again."""
        if node is self.engine:
            self.schedule.after(RESTART_US, self._start_again)
        elif isinstance(node, (ShardNode, WorkerNode)):
            self.engine.child_ended(node, code)

    def _start_again(self) -> None:
        self.engine = TestEngine(self, self._options(self.SHARDS))

    def let_go(self) -> None:
        """The test is over."""
        for worker in self.workers():
            if isinstance(worker, TaskNode):
                worker.let_go()

    def offer(self, tasks: dict[tuple[str, int], RegisteredTask]) -> None:
        """The worker offers these tasks as well; if any is new, it leaves and another one comes."""
        if all(self.tasks.get(key) is task for key, task in tasks.items()):
            return
        self.tasks.update(tasks)
        for worker in self.workers():
            worker.drain()

    # ---- time -------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The engine's wall clock."""
        return self.schedule.now_us // 1_000 + self.wall_offset_ms

    def jump(self, delta_ms: int) -> None:
        """The wall clock moves on, as if everything had been suspended meanwhile."""
        if delta_ms <= 0:
            return
        self.wall_offset_ms += delta_ms
        self.engine.offset_ms += delta_ms
        for shard in self.shards():
            shard.offset_ms += delta_ms
            shard.wake(0)

    def next_timer_ms(self) -> int | None:
        """When the next timer of any run is due."""
        due = [
            found
            for node in self.shards()
            if node.shard is not None and (found := node.shard.core.timers.next_due_ms()) is not None
        ]
        return min(due, default=None)

    def idle(self) -> bool:
        """Whether nothing happens any more until a timer is due or somebody asks for something."""
        if self.busy_tasks or not self.engine.alive or not hasattr(self.engine, "actor"):
            return False
        shards, workers = self.shards(), self.workers()
        if len(shards) < self.SHARDS or not workers or any(node.shard is None for node in shards):
            return False
        if any(not isinstance(node, TaskNode) or node.offers != len(self.tasks) for node in workers):
            return False
        due_ms = self.next_timer_ms()
        return (due_ms is None or due_ms > self.now_ms()) and all(self._idle_shard(node) for node in shards)

    def _idle_shard(self, node: ShardNode) -> bool:
        shard = node.shard
        assert shard is not None
        core = shard.core
        letters = any(box.letters for p in core.partitions.values() for box in p.record.outboxes.values())
        held = any(link.held or link.unconfirmed for link in shard.workers.links.values())
        open_links = bool(shard.workers.links)
        waits = shard.has_work or shard.recovery.pending or shard.loader.waiting
        return open_links and not letters and not waits and not held
