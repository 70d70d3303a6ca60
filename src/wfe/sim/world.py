"""The simulated world: one engine with its shards and workers, remote workers, clients, and the faults that meet them.

Everything happens in one thread, in the order of one queue, from one seed. `run_safety` lets faults happen; `run_live`
ends them and waits until every run has ended. Invariant: no clock, no thread and no chance but those of this world.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from wfe import observe
from wfe.config import ServeOptions, WorkerOptions
from wfe.core.canonical import canonical
from wfe.errors import DataError, DataFull, WfeError
from wfe.limits import RETENTION_MS_MIN
from wfe.model.definition import Definition
from wfe.sim.auditor import Auditor
from wfe.sim.backups import Operator
from wfe.sim.catalogue import CatalogueBook
from wfe.sim.chance import SeededRandom
from wfe.sim.clients import ClientNode
from wfe.sim.disk import SimDisk
from wfe.sim.durable import NAME, definition
from wfe.sim.engine import TOKEN, EngineNode
from wfe.sim.expiry import AFTERWARDS_MS, Expiry
from wfe.sim.faults import Faults
from wfe.sim.generator import Generator
from wfe.sim.lines import Speech
from wfe.sim.messages import answer
from wfe.sim.moves import Mover
from wfe.sim.network import Network
from wfe.sim.node import Node, Violation
from wfe.sim.pools import ALL_LABELS, ALL_RESOURCES, equipment
from wfe.sim.schedule import Schedule
from wfe.sim.shards import ShardNode
from wfe.sim.swarm import choose
from wfe.sim.trace import Trace
from wfe.sim.workers import Behaviour, WorkerNode

if TYPE_CHECKING:
    from wfe.sim.aftermath import Restored
    from wfe.sim.swarm import Swarm

BEGIN_MS = 1_700_000_000_000
LIVE_US = 400_000_000
"""Simulated time within which everything must end once faults have ceased."""
LIVE_STEPS = 2_000_000
JANITOR_US = 3_000_000
KEPT_MS = (None, None, RETENTION_MS_MIN, 3 * RETENTION_MS_MIN)
"""How long definitions keep their runs, in worlds where some expire."""
PLENTY_BYTES = 1 << 40
INTERVENTIONS = (0.0, 0.3, 1.0)
"""Of what clients do, how much is to retry, skip or fork."""
CATALOGUED = (0.0, 0.0, 0.3)
"""Of what clients do, how much is about versions of workflows."""
HELPED = 5
"""Signals that one run gets at a time."""
DRIFTS = (0.0, 0.0, 0.0005, -0.0005, 0.01, -0.01)
"""Clocks drift by less than 0.05 %; by one in a hundred only broken ones do."""


class Programs:
    """The definitions of this world: a few that name each other downwards, and new versions of them."""

    def __init__(self, random: Random, swarm: Swarm) -> None:
        self._random, self._swarm = random, swarm
        self._kept_ms = KEPT_MS if swarm.expiry else (None,)
        self.names = [f"program{number}" for number in range(random.randint(1, 3))]
        self._first = [canonical(self._make(name)) for name in self.names]
        self._graphs = tuple(self.names)
        self.names.append(NAME)
        self._first.append(canonical(definition()))
        self.started = (*self._graphs * swarm.graphs, *(NAME,) * swarm.functions)
        """What clients start."""

    def _make(self, name: str) -> Definition:
        below = self.names[: self.names.index(name)]
        swarm = self._swarm
        depth = self._random.choice((1, 2, 2, 3) if swarm.kinds else (0, 1, 2, 2, 3))
        made = Generator(
            self._random, tasks=swarm.tasks, children=below, endless=True, outside=True,
            only=swarm.kinds, asking=swarm.asking,
        )  # fmt: skip
        return replace(made.definition(name, depth), retention_ms=self._random.choice(self._kept_ms))

    def first_definitions(self) -> list[bytes]:
        return self._first

    def another(self) -> bytes:
        """A new version of one of them."""
        return canonical(self._make(self._random.choice(self._graphs)))


class World:
    """See the module. ``steps`` taken so far are in ``trace``."""

    def __init__(
        self, seed: int, *, keep_trace: bool = False, swarm: Swarm | None = None, restored: Restored | None = None
    ) -> None:
        self.seed = seed
        self.schedule = Schedule()
        self.trace = Trace(keep=keep_trace)
        self._chances: dict[str, Random] = {}
        self.swarm = swarm or choose(self.chance("swarm"))
        self.partitions = self.swarm.partitions
        self.front_address, self.back_address = "front", "back"
        self.wall_offset_ms = BEGIN_MS if restored is None else restored.wall_ms
        self.shard_settings = self.swarm.shard_settings
        self.network = Network(self.schedule, self.trace, self.chance("network"))
        self.network.weather = self.swarm.weather
        self.network.late_address = self.front_address
        self.disk = SimDisk(SeededRandom(self.chance("disk").getrandbits(64))) if restored is None else restored.disk
        self.disk_max_us = self.disk_worst_us = 2_000
        self.program = Programs(self.chance("programs"), self.swarm)
        self.catalogue = CatalogueBook(self)
        if restored is not None:
            self.catalogue.ever_deprecated.update(self.program.names)
        self.catalogued = self.chance("catalogued").choice(CATALOGUED)
        self.interventions = self.chance("interventions").choice(INTERVENTIONS)
        self.behaviour = Behaviour(self.chance("tasks"), poison=self.swarm.poison)
        self.expiry = Expiry(self)
        self.auditor = Auditor(self)
        self.speech = Speech(self.chance("speech") if self.swarm.talks else None)
        if restored is not None:
            self.auditor.resume(restored.cuts)
        self.faults = Faults(self)
        self.calm = False
        """Faults have ceased, nothing new is started."""
        self._numbers = 0
        self.engine = EngineNode(self, self._options(self.swarm.shards))
        self.remotes: list[WorkerNode] = []
        self.clients: list[ClientNode] = []
        for number in range(self.swarm.remote_workers):
            self._start_remote(number)
        for _ in range(self.swarm.clients):
            self._start_client()
        self.operator = Operator(self)
        if self.swarm.backups:
            self.operator.start()
        self.faults.start()
        self.mover = Mover(self)
        if self.swarm.moves:
            self.mover.start()

    def chance(self, name: str) -> Random:
        """A generator of its own per purpose, so that more of one thing leaves the others as they were."""
        found = self._chances.get(name)
        if found is None:
            found = self._chances[name] = Random(f"{self.seed}/{name}")
        return found

    def disk_delay_us(self) -> int:
        return 50 + int(self.chance("disk delays").random() * self.disk_max_us)

    def drift(self) -> float:
        """How much faster than the world's a new process's clock goes."""
        return self.chance("drift").choice(DRIFTS) if "drift" in self.swarm.faults and not self.calm else 0.0

    def fresh_identity(self, name: str) -> bytes:
        self._numbers += 1
        return f"{name}-{self._numbers}".encode()

    # ---- processes that start and end -------------------------------------------------------------------------------

    def _options(self, shards: int) -> ServeOptions:
        return ServeOptions(
            shards=shards,
            workers=self.swarm.local_workers,
            slots=self.swarm.slots,
            partitions=self.partitions,
            labels=ALL_LABELS,
            resources=ALL_RESOURCES,
        )

    def _start_remote(self, number: int) -> None:
        worker = f"remote-{number}-{self.fresh_identity('w').decode()}"
        labels, resources = ALL_LABELS, ALL_RESOURCES
        if number or self.swarm.local_workers:
            labels, resources = equipment(self.chance("pools"))
        options = WorkerOptions(
            token=TOKEN, slots=self.swarm.slots, index=number, worker=worker, labels=labels, resources=resources
        )
        self.remotes.append(WorkerNode(self, f"remote-{number}", options, slots=self.swarm.slots))

    def _start_client(self) -> None:
        self._numbers += 1
        client = ClientNode(self, f"client-{self._numbers}")
        client.busy = not self.calm
        self.clients.append(client)

    def ended(self, node: Node, code: int) -> None:
        """A process has ended: whoever looks after it acts."""
        random = self.chance("restarts")
        if isinstance(node, EngineNode):
            shards = node.options.shards
            if not self.calm and "reshard" in self.swarm.faults:
                shards = random.randint(1, min(4, self.partitions))
            self.schedule.after(random.randint(10_000, 500_000), self._start_engine, shards)
        elif node in self.remotes:
            self.remotes.remove(node)
            number = int(node.name.rpartition("-")[2])
            self.schedule.after(random.randint(10_000, 2_000_000), self._start_remote, number)
        elif isinstance(node, ClientNode):
            self.clients.remove(node)
            self.schedule.after(random.randint(10_000, 500_000), self._start_client)
        elif isinstance(node, (ShardNode, WorkerNode)):
            self.engine.child_ended(node, code)

    def _start_engine(self, shards: int) -> None:
        self.engine = EngineNode(self, self._options(shards))

    def shards(self) -> list[ShardNode]:
        """Shard processes that are alive."""
        return [child for child in self.engine.children.values() if isinstance(child, ShardNode) and child.alive]

    def workers(self) -> list[WorkerNode]:
        local = [child for child in self.engine.children.values() if isinstance(child, WorkerNode) and child.alive]
        return local + self.remotes

    def explains(self, node: Node, error: WfeError) -> bool:
        """Whether an injected fault explains an error of a process."""
        return isinstance(error, (DataError, DataFull)) and "simulated" in str(error)

    # ---- phases -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        action, arguments = self.schedule.take()
        action(*arguments)

    def run_safety(self, steps: int) -> None:
        """Faults happen, until so many steps were taken."""
        trace, take = self.trace, self.schedule.take
        while trace.steps < steps:
            action, arguments = take()
            action(*arguments)

    def run_live(self, live_steps: int = LIVE_STEPS) -> None:
        """Faults have ceased: every run ends, everything that was promised is kept."""
        self.calm = True
        self.faults.cease()
        for client in self.clients:
            client.busy = False
        until_us = self.schedule.now_us + LIVE_US
        steps = self.trace.steps + live_steps
        self.schedule.after(JANITOR_US, self._tidy)
        next_look_us = self.schedule.now_us
        while self.schedule.now_us < until_us and self.trace.steps < steps:
            self.step()
            if self.schedule.now_us >= next_look_us:
                next_look_us = self.schedule.now_us + 500_000
                if self._settled():
                    if not (self.swarm.expiry and self.expiry.is_due):
                        self.expiry.check()
                        self.auditor.final(self.shards())
                        return
                    self.expiry.begin()
                    until_us += 2 * AFTERWARDS_MS * 1_000
                elif self.expiry.is_over:
                    self.expiry.end()
        raise Violation(f"not everything ends: {self._unsettled()}")

    def _settled(self) -> bool:
        if self.auditor.unfinished() or any(client.busy for client in self.clients):
            return False
        self._raise_budget()
        return (
            all(not client.watching and not client.open for client in self.clients)
            and len(self.shards()) == self.engine.options.shards
            and all(shard.shard is not None and self._idle(shard) for shard in self.shards())
        )

    def _raise_budget(self) -> None:
        """Whatever had begun has ended, however little room there was. Now what is new gets some."""
        if "disk_budget_bytes" in self.shard_settings:
            self.shard_settings = {**self.shard_settings, "disk_budget_bytes": PLENTY_BYTES}
            for shard in self.shards():
                if shard.shard is not None:
                    shard.shard.core.settings.disk_budget_bytes = PLENTY_BYTES

    def _idle(self, node: ShardNode) -> bool:
        shard = node.shard
        assert shard is not None
        core = shard.core
        letters = any(box.letters for p in core.partitions.values() for box in p.record.outboxes.values())
        waits = shard.has_work or not shard.handovers.idle or shard.recovery.pending or shard.loader.waiting
        held = any(link.held or link.unconfirmed for link in shard.workers.links.values())
        return shard.checkpoints.clean and not letters and not waits and not held

    def _unsettled(self) -> str:
        runs = [(book.id, book.status, book.events[-1]) for book in self.auditor.unfinished()[:5]]
        asking = [(client.name, client.open, len(client.watching)) for client in self.clients]
        idle = [(node.name, node.shard is not None and self._idle(node)) for node in self.shards()]
        return f"runs {runs}, clients {asking}, shards {idle}"

    def _tidy(self) -> None:
        """What people would do: resume what is paused, and send the signals that runs wait for."""
        if self.engine.alive and self.engine.broken:
            self.engine.die(0)
        for client in self.clients[:1]:
            if client.alive and client.session.welcome is not None:
                for book in self.auditor.unfinished()[:200]:
                    if book.status == "paused":
                        client.control(book.id, "resume")
                    else:
                        for name, correlation in list(dict.fromkeys(book.awaited.values()))[:HELPED]:
                            self._numbers += 1
                            payload = answer(name, self._numbers)
                            client.signal(book.id, name, f"tidy-{self._numbers}", payload, correlation)
        self.schedule.after(JANITOR_US, self._tidy)


def quiet() -> None:
    """No log lines: a simulation produces warnings by the thousand."""
    observe.configure("critical")
