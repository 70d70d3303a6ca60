"""A simulated engine: the production coordinator, and the children that it starts.

Plays `coordinator.process` and `bootstrap.server`. When the coordinator dies, everything that it started dies with it;
an operator starts the engine again, perhaps with another number of shards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.config import ServeOptions, ShardOptions, WorkerOptions
from wfe.coordinator.actor import Coordinator
from wfe.coordinator.child_options import ChildOptions
from wfe.coordinator.effects import Site
from wfe.coordinator.moves import settle_owners
from wfe.coordinator.supervision import ChildState
from wfe.errors import DataError, DataFull, WfeError
from wfe.journal.catalogue import Catalogue
from wfe.sim.backups import SimArchive
from wfe.sim.chance import SeededRandom
from wfe.sim.node import Node, Violation
from wfe.sim.shards import DrainNode, ShardNode, log_name
from wfe.sim.workers import WorkerNode
from wfe.wire.messages import Deploy

if TYPE_CHECKING:
    from wfe.sim.world import World

TICK_US = 100_000
TOKEN = "token"


class Clock:
    """The `Clock` port of a simulated process."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def wall_ms(self) -> int:
        return self._node.now_ms()


class EngineNode(Node):
    """The coordinator's process, and its children by name."""

    def __init__(self, world: World, options: ServeOptions) -> None:
        super().__init__(world, "engine")
        self.options = options
        self.children: dict[str, ShardNode | WorkerNode] = {}
        self._pids = 0
        self.after(20_000, "boot engine", self._boot)

    def _boot(self) -> None:
        world = self.world
        random = SeededRandom(world.chance("engine").getrandbits(64))
        self._files = world.disk.store("catalogue", independent=True)
        self.catalogue = Catalogue(self._files, partitions=self.options.partitions, server_id="simulated")
        logs = [i for i in range(64) if log_name(i) in world.disk.names()]
        try:
            settle_owners(self.catalogue, self.options, logs, self._drain)
        except (DataError, DataFull):
            self.die(1)
            return
        site = Site("simulated", TOKEN, world.front_address, world.front_address, world.back_address, "")
        self.actor = Coordinator(
            options=self.options,
            site=site,
            catalogue=self.catalogue,
            effects=self,
            clock=Clock(self),
            random=random,
            archive=SimArchive(self),
        )
        self._front = world.network.bind(self.name, world.front_address, self.incoming(self._on_front))
        self._back = world.network.bind(self.name, world.back_address, self.incoming(self._on_back))
        deploy = Deploy(world.program.first_definitions())
        self.actor.deploys.deploy(deploy, self.now_ms(), again=True)
        world.catalogue.restarted(deploy.definitions)
        self.actor.start(self.now_ms())
        self._tick()

    def _drain(self, options: ShardOptions) -> int:
        return DrainNode(self.world, f"drain-{options.index}", options).drain()

    def _tick(self) -> None:
        self.actor.on_tick(self.now_ms())
        self.after(TICK_US, "tick engine", self._tick)

    def _on_front(self, peer: bytes, parts: list[bytes]) -> None:
        self.actor.on_front(peer, parts, self.now_ms())

    def _on_back(self, peer: bytes, parts: list[bytes]) -> None:
        self.actor.on_back(peer, parts, self.now_ms())

    # ---- effects ----------------------------------------------------------------------------------------------------

    def send_front(self, peer: bytes, parts: list[bytes]) -> bool:
        return self._front.send(peer, parts)

    def send_back(self, peer: bytes, parts: list[bytes]) -> bool:
        return self._back.send(peer, parts)

    def spawn(self, name: str, options: ChildOptions) -> int:
        assert isinstance(options, ShardOptions | WorkerOptions), "no simulated engine has a gateway"
        assert name not in self.children, f"{name} runs already"
        self._pids += 1
        if isinstance(options, ShardOptions):
            self.children[name] = ShardNode(self.world, name, options)
        else:
            self.children[name] = WorkerNode(self.world, name, options, slots=self.options.slots)
        return self._pids

    def terminate(self, name: str) -> None:
        child = self.children[name]
        assert isinstance(child, WorkerNode)
        child.drain()

    def kill(self, name: str) -> None:
        self.children[name].die(-9)

    # ---- ends -------------------------------------------------------------------------------------------------------

    def child_ended(self, child: ShardNode | WorkerNode, code: int) -> None:
        """A child died: its parent hears of it a little later."""
        if self.alive and self.children.get(child.name) is child:
            self.after(3_000, f"wait for {child.name}", self._reap, child, code)

    def _reap(self, child: ShardNode | WorkerNode, code: int) -> None:
        del self.children[child.name]
        self.actor.on_child_exit(child.name, code, self.now_ms())

    def failed(self, error: WfeError) -> None:
        if isinstance(error, (DataError, DataFull)) and self.world.explains(self, error):
            self.die(1)
        else:
            raise Violation(f"the coordinator stops: {error!r}") from error

    def die(self, code: int) -> None:
        if not self.alive:
            return
        super().die(code)
        for router in ("_front", "_back"):
            if hasattr(self, router):
                getattr(self, router).close()
        for child in list(self.children.values()):
            child.die(-9)
        if "catalogue" in self.world.disk.names():
            self.world.disk.crash("catalogue")
        self.world.ended(self, code)

    @property
    def broken(self) -> bool:
        """Whether a child is down for good or the catalogue takes no more, so that an operator has to act."""
        if not hasattr(self, "actor"):
            return False
        down = any(child.state is ChildState.DOWN for child in self.actor.supervisor.children.values())
        return down or self._files.failed
