"""What must be gone once all runs of a round have ended: processes, descriptors, leases, reader slots, memory.

Memory is what a process has allocated (without files that it maps: LMDB's pages are the kernel's to keep or to drop).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

import lmdb
import psutil
from chaos_server import WORKERS, Engine

QUIET_TIMEOUT_S = 60.0
QUIET_GAUGES = ("tasks_ready", "tasks_running", "runs_open", "mail_unacknowledged")
SPARE_DESCRIPTORS = 12
"""Clients, the proxy's connections and files that a thread has open for a moment come and go."""
READER_SLOTS = 4
"""Per environment: the shard's loop, its reader, its checkpointer, and one more."""
SPARE_BYTES = 48 << 20
FLAT = 1.5
ROUNDS_COMPARED = 3


class Leaks:
    """Looks at an engine between rounds; remembers what each process held when it was first seen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._descriptors: dict[tuple[int, float], int] = {}
        self.memory: dict[str, list[int]] = {"coordinator": [], "shard": [], "worker": []}
        """Per role the bytes of its largest process at the end of each round."""

    async def look(self, client: Any) -> list[str]:
        """Waits until the engine is quiet and gives what is left over."""
        wrong = await self._busy(client)
        wrong += self._processes()
        wrong += self._too_many_descriptors()
        wrong += await self._readers()
        self._weigh()
        return wrong

    async def _busy(self, client: Any) -> list[str]:
        """Leases, letters and open runs that do not go away."""
        left: list[str] = ["the server answers no status"]
        try:
            async with asyncio.timeout(QUIET_TIMEOUT_S):
                while left:
                    status = await client.status()
                    left = [
                        f"shard {shard.index} still has {gauge}={shard.stats.gauges.get(gauge)}"
                        for shard in status.shards
                        for gauge in QUIET_GAUGES
                        if shard.stats is not None and shard.stats.gauges.get(gauge)
                    ]
                    left += [f"shard {shard.index} reports nothing" for shard in status.shards if shard.stats is None]
                    if left:
                        await asyncio.sleep(0.1)
        except TimeoutError:
            return left
        return []

    def _processes(self) -> list[str]:
        engine = self._engine
        wrong = [f"nobody's process: {p.pid} {p.cmdline()}" for p in engine.strays()]
        counts = {role: len(engine.children(role)) for role in ("shard", "worker")}
        if counts != {"shard": engine.shards, "worker": WORKERS}:
            wrong.append(f"{counts} processes, not {engine.shards} shards and {WORKERS} workers")
        return wrong

    def _too_many_descriptors(self) -> list[str]:
        wrong = []
        for role, process in self._all():
            try:
                held, born = process.num_fds(), process.create_time()
            except psutil.Error:
                continue
            first = self._descriptors.setdefault((process.pid, born), held)
            if held > first + SPARE_DESCRIPTORS:
                wrong.append(f"{role} {process.pid} holds {held} descriptors, {first} when it was first quiet")
        return wrong

    async def _readers(self) -> list[str]:
        """Reader slots of processes that are gone, or of transactions that stay open."""
        for _ in range(20):  # a reader that is at work right now is none that was left
            wrong = [line for file in self._engine.data.rglob("data.mdb") for line in readers_left(file.parent)]
            if not wrong:
                return []
            await asyncio.sleep(0.1)
        return wrong

    def _weigh(self) -> None:
        sizes: dict[str, int] = dict.fromkeys(self.memory, 0)
        for role, process in self._all():
            try:
                info = process.memory_info()
            except psutil.Error:
                continue
            sizes[role] = max(sizes[role], info.rss - getattr(info, "shared", 0))
        for role, size in sizes.items():
            self.memory[role].append(size)

    def _all(self) -> list[tuple[str, psutil.Process]]:
        engine = self._engine
        here = [("coordinator", psutil.Process(engine.server.pid))]
        return here + [(role, process) for role in ("shard", "worker") for process in engine.children(role)]

    # ---- over all rounds --------------------------------------------------------------------------------------------

    def first_and_last(self) -> dict[str, tuple[int, int]]:
        """Bytes per role: the middle of the first rounds and of the last ones."""
        return {
            role: (int(median(sizes[:ROUNDS_COMPARED])), int(median(sizes[-ROUNDS_COMPARED:])))
            for role, sizes in self.memory.items()
            if sizes
        }

    def growth(self) -> list[str]:
        """Roles whose memory is not flat; says nothing before there are rounds to compare."""
        if len(self.memory["shard"]) < 2 * ROUNDS_COMPARED:
            return []
        return [
            f"memory of a {role}: {first >> 20} MiB in the first rounds, {last >> 20} MiB in the last"
            for role, (first, last) in self.first_and_last().items()
            if last > FLAT * first + SPARE_BYTES
        ]


def readers_left(directory: Path) -> list[str]:
    """What is wrong with an environment's reader table."""
    with lmdb.open(str(directory), readonly=True, max_dbs=0, map_size=1 << 40) as env:
        lines = env.readers().splitlines()[1:]
    rows = [line.split() for line in lines]
    wrong = [f"{directory.name}: a reader slot of {row[0]}, which is gone" for row in rows if gone(int(row[0]))]
    wrong += [f"{directory.name}: {row[0]} reads transaction {row[2]}" for row in rows if row[2:] and row[2] != "-"]
    if len(rows) > READER_SLOTS:
        wrong.append(f"{directory.name}: {len(rows)} reader slots")
    return wrong


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)
