"""What is done to an engine: kill -9, SIGSTOP, too few descriptors, no room, another number of shards, a bad network,
partitions that move between shards.

Each fault is one coroutine that ends what it began, so that nothing of it is left when it returns: stopped processes go
on, limits are lifted. Dead processes are not waited for, other than a dead server's, which is started again.
"""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any

import psutil
from chaos_proxy import MOODS, Proxy
from chaos_server import LEASE_MS, Engine, NotServing, alive, family, send

import wfe
from wfe.errors import WfeError
from wfe.limits import DESCRIPTORS_LOOK_MS, RESTART_INTENSITY, RESTART_PERIOD_MS

KILLS = {"a worker": 8, "a shard": 4, "all workers": 2, "the coordinator": 3, "all shards": 1, "everything": 2}
KILLS |= {"the remote worker": 2}
FATAL = ("the coordinator", "everything")
"""They end the server, and with it limits that it is to live with for a while."""
STOPS = (0.5, 1.0, 3.0)
"""In leases."""
STRANGERS = 4
"""Clients that knock while a process has no descriptors left."""
SERVES_TIMEOUT_S = 90.0


class Faults:
    """The faults, drawn by ``dice``. ``counts``: what was really done."""

    def __init__(self, engine: Engine, dice: random.Random) -> None:
        self._engine, self._dice = engine, dice
        self.counts: Counter[str] = Counter()
        self.processes_killed = 0
        self.findings: list[str] = []
        self._shard_kills: deque[float] = deque()
        self._limits = {
            resource.RLIMIT_NOFILE: resource.getrlimit(resource.RLIMIT_NOFILE),
            resource.RLIMIT_FSIZE: resource.getrlimit(resource.RLIMIT_FSIZE),
        }
        self._restarting = asyncio.Lock()
        self._moving = random.Random(dice.random())
        self._limited = self._sudden = False

    @property
    def kills(self) -> int:
        """Faults that were a kill -9, each of one or more processes."""
        return sum(self.counts[f"kill {kind}"] for kind in (*KILLS, "a server that starts"))

    # ---- kill -9 ----------------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """SIGKILL for something; a server that died is started again, and sometimes dies while it starts."""
        kind = self._dice.choices([*KILLS], [*KILLS.values()])[0]
        if self._limited and kind in FATAL:
            kind = "a worker"
        async with self._restarting:
            engine = self._engine
            victims = self._victims(kind)
            if not victims:
                return
            struck = sum(send(process, signal.SIGKILL) for process in victims)
            if not struck:
                return
            self.counts[f"kill {kind}"] += 1
            self.processes_killed += struck
            if kind in FATAL:
                await engine.kill()
                await self._begin_again()

    def _victims(self, kind: str) -> list[psutil.Process]:
        engine, dice = self._engine, self._dice
        workers, shards = engine.children("worker"), engine.children("shard")
        if "shard" in kind:
            chosen = shards if kind == "all shards" else shards and [dice.choice(shards)]
            return list(chosen) if self._shards_may_die(len(chosen)) else []
        if kind == "a worker":
            return [dice.choice(workers)] if workers else []
        if kind == "all workers":
            return [*workers]
        if kind == "the remote worker":
            return engine.remote[1:2]  # its parent starts another one
        if kind == "the coordinator":
            return alive([psutil.Process(engine.server.pid)])
        everybody = family(engine.server.pid)
        dice.shuffle(everybody)
        return everybody

    def _shards_may_die(self, count: int) -> bool:
        """A shard that dies more often than the restart intensity allows stays down, as it should: not what is tested
        here, so all shards together die no more often than one may.
        """
        now_s = time.monotonic()
        while self._shard_kills and self._shard_kills[0] < now_s - RESTART_PERIOD_MS / 1_000:
            self._shard_kills.popleft()
        if not count or len(self._shard_kills) + count > RESTART_INTENSITY:
            return False
        self._shard_kills.extend([now_s] * count)
        return True

    async def _begin_again(self, shards: int = 0) -> None:
        self._shard_kills.clear()
        if self._dice.random() < 0.25:
            starting = asyncio.create_task(self._engine.start(shards))
            await asyncio.sleep(self._dice.uniform(0.05, 1.0))
            if not starting.done():
                self.counts["kill a server that starts"] += 1
                self.processes_killed += 1
                await self._engine.kill()
            with suppress(NotServing):  # it was killed before it was ready
                await starting
            if self._engine.server.poll() is None:
                return
        await self._engine.start(shards)

    def _one(self, role: str) -> psutil.Process | None:
        """One of the server's processes of that role, the coordinator included."""
        if role == "coordinator":
            return psutil.Process(self._engine.server.pid)
        there = self._engine.children(role)
        return self._dice.choice(there) if there else None

    # ---- SIGSTOP ----------------------------------------------------------------------------------------------------

    async def stop(self, role: str, leases: float) -> None:
        """SIGSTOP for a shard, a worker or the coordinator, for so many leases."""
        async with self._restarting:
            victim = self._one(role)
            if victim is None or not send(victim, signal.SIGSTOP):
                return
        self.counts[f"stop a {role} for {leases:g} leases"] += 1
        try:
            await asyncio.sleep(leases * LEASE_MS / 1_000)
        finally:
            send(victim, signal.SIGCONT)

    # ---- too few descriptors ----------------------------------------------------------------------------------------

    async def starve(self, role: str) -> None:
        """RLIMIT_NOFILE just above what a process holds: it gets hardly any more, while clients come and others die.

        It must go on with what it has, and be its old self once descriptors are back: nothing is lost, no run fails.
        """
        async with self._restarting:  # a server that cannot even start with its descriptors refuses to, as it should
            victim = self._one(role)
            held = 0 if victim is None else descriptors(victim)
            spare = self._dice.randint(0, 3)
            self._limited = self._sudden = True
            starved = victim is not None and held and self._limit(victim, resource.RLIMIT_NOFILE, held + spare)
            if starved:  # descriptors run out gradually, not from one moment to the next: whoever minds them may look
                await asyncio.sleep(2 * DESCRIPTORS_LOOK_MS / 1_000)
            self._sudden = False
        if starved:
            self.counts[f"starve a {role} of descriptors"] += 1
            try:
                await asyncio.gather(*(self._knock() for _ in range(STRANGERS)))
                await self.kill()
                await asyncio.sleep(self._dice.uniform(0.5, 2.0))
            finally:
                self._lift()

    async def _knock(self) -> None:
        """A client that has no luck may say so; the server must survive it."""
        with suppress(WfeError, TimeoutError):
            async with wfe.aconnect(self._engine.address, self._engine.token, connect_timeout_s=0.5) as client:
                await client.status()

    # ---- no room ----------------------------------------------------------------------------------------------------

    async def fill_disk(self, everybody: bool) -> None:
        """RLIMIT_FSIZE below the size of the log: the next commits fail as on a full disk.

        ``everybody``: processes that are started meanwhile find no room either. Once there is room again, a shard that
        was down needs a restart of the server: the operator's part.
        """
        size = self._dice.choice([16, 64, 256, 1_024]) * 1_024
        try:
            async with self._restarting:
                shards = self._engine.children("shard")
                victims = [*shards, psutil.Process(self._engine.server.pid)] if everybody else shards[:1]
                limited = sum(self._limit(victim, resource.RLIMIT_FSIZE, size) for victim in victims)
                self._limited = True
            self.counts["fill the disk for " + ("everybody" if everybody else "a shard")] += bool(limited)
            await asyncio.sleep(self._dice.uniform(0.5, 3.0))
        finally:
            self._lift()

    # ---- another number of shards -----------------------------------------------------------------------------------

    async def reshard(self, abruptly: bool) -> None:
        """Another ``--shards`` after a planned stop or a kill -9; sometimes the server dies as it moves partitions."""
        async with self._restarting:
            if abruptly:
                self.processes_killed += 1
                self.counts["kill the coordinator"] += 1
                await self._engine.kill()
            else:
                await self._engine.stop()
            shards = self._dice.choice([n for n in (1, 2, 3, 4) if n != self._engine.shards])
            self.counts["restart with another --shards"] += 1
            await self._begin_again(shards)

    # ---- other owners -----------------------------------------------------------------------------------------------

    async def move(self) -> None:
        """Some partitions go to other shards, or stay where they are when those die."""
        if self._sudden:
            return
        dice = self._moving
        with suppress(WfeError, TimeoutError):
            async with wfe.aconnect(self._engine.address, self._engine.token, connect_timeout_s=0.5) as client:
                status = await client.status()
                wanted = dice.sample(range(status.partitions), dice.randint(1, 6))
                moves = [(number, dice.randrange(len(status.shards))) for number in wanted]
                report = await client.rebalance(moves, timeout_s=10)
                for move in report.moves:
                    self.counts["move a partition" if move.state == "moved" else "move a partition in vain"] += 1

    # ---- a bad network ----------------------------------------------------------------------------------------------

    async def detour(self, seconds: float) -> None:
        """A remote worker behind a proxy that changes its mood again and again."""
        proxy = Proxy(self._engine.address, random.Random(self._dice.random()))
        await proxy.open()
        until_s = time.monotonic() + seconds
        try:
            await self._engine.start_remote(proxy.address)
            while time.monotonic() < until_s:
                await asyncio.sleep(self._dice.uniform(0.2, 1.5))
                proxy.mood = self._dice.choice(MOODS)
                if self._dice.random() < 0.5:
                    proxy.cut()
        finally:
            await self._engine.stop_remote()
            await proxy.close()
        self.counts["cut a remote worker's connections"] += proxy.counts["cuts"]
        self.counts["pieces halved, swallowed or late"] += sum(proxy.counts[mood] for mood in MOODS if mood != "fair")

    # ---- afterwards -------------------------------------------------------------------------------------------------

    async def settle(self, client: Any) -> None:
        """Waits until every shard serves and every worker is there; restarts a server with a shard that is down."""
        self._lift()
        try:
            async with asyncio.timeout(SERVES_TIMEOUT_S):
                while not await self._serves(client):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise NotServing(
                f"the engine does not serve {SERVES_TIMEOUT_S:g} s after the faults: {self.state}"
            ) from None

    state: str = ""

    async def _serves(self, client: Any) -> bool:
        if self._engine.server.poll() is not None:
            raise NotServing(f"`wfe serve` ended by itself with {self._engine.server.returncode}")
        try:
            status = await client.status()
        except WfeError as error:
            self.state = str(error)
            return False
        self.state = f"{status.state}, {[s.state for s in status.shards]}, {[w.state for w in status.workers]}"
        if any(shard.state == "down" for shard in status.shards):
            self.counts["restart because a shard was down"] += 1
            await self._engine.kill()
            await self._engine.start()
            return False
        connected = [worker for worker in status.workers if worker.local and worker.state == "connected"]
        return status.state == "serving" and len(connected) == len(self._engine.children("worker")) >= 2

    def _limit(self, process: psutil.Process, which: int, soft: int) -> bool:
        try:
            resource.prlimit(process.pid, which, (soft, self._limits[which][1]))
        except ProcessLookupError:
            return False
        return True

    def _lift(self) -> None:
        self._limited = False
        for process in [*family(self._engine.server.pid), *self._engine.remote]:
            for which, (soft, _) in self._limits.items():
                self._limit(process, which, soft)


def descriptors(process: psutil.Process) -> int:
    """How many it holds; 0 when it is gone."""
    try:
        return process.num_fds()
    except psutil.Error:
        return 0
