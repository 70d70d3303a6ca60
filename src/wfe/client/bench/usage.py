"""What a server costs: processor time, memory and bytes written of its processes, and its shards' own counters.

Reads the operating system's accounts through psutil, so it sees a server only on its own host.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil

from wfe.client.aclient import AsyncClient
from wfe.limits import MIB
from wfe.wire.messages import Latency, ServerStatus

STATS_WAIT_S = 2.5
STATS_POLL_S = 0.05


@dataclass
class Use:
    """Of one moment, or the difference of two. ``cpu_s`` by role, the measuring client included as ``client``."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    written_bytes: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    def __sub__(self, other: Use) -> Use:
        return Use(
            {role: spent - other.cpu_s.get(role, 0.0) for role, spent in self.cpu_s.items()},
            self.written_bytes - other.written_bytes,
            {name: count - other.counters.get(name, 0) for name, count in self.counters.items()},
        )

    def __add__(self, other: Use) -> Use:
        return Use(
            {role: self.cpu_s.get(role, 0.0) + other.cpu_s.get(role, 0.0) for role in {*self.cpu_s, *other.cpu_s}},
            self.written_bytes + other.written_bytes,
            {
                name: self.counters.get(name, 0) + other.counters.get(name, 0)
                for name in {*self.counters, *other.counters}
            },
        )


@dataclass(frozen=True)
class Memory:
    """In MiB: what is resident (pages of files and shared ones count for every process), and what is a process's own
    by role."""

    resident: float
    own: dict[str, float]


class Processes:
    """A server's processes on this host, by role; empty when it runs on another one."""

    def __init__(self, roles: dict[psutil.Process, str]) -> None:
        self._roles = roles

    @classmethod
    def of(cls, status: ServerStatus) -> Processes:
        """From the process ids that the server gives: shards, local workers, their parent and their children."""
        roles: dict[psutil.Process, str] = {}
        shards = [shard.pid for shard in status.shards if shard.pid]
        workers = [worker.pid for worker in status.workers if worker.local and worker.pid]
        for role, pids in (("shard", shards), ("worker", workers)):
            for process in _processes(pids):
                roles[process] = role
                parent = process.parent()
                if parent is not None and parent.pid != os.getpid():
                    roles.setdefault(parent, "coordinator")
                for child in process.children(recursive=True):
                    roles[child] = role
        return cls(roles)

    def cpu_s(self) -> dict[str, float]:
        """Processor time so far, user and system, by role."""
        own = psutil.Process().cpu_times()
        spent = {"client": own.user + own.system}
        for process, role in self._roles.items():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            spent[role] = spent.get(role, 0.0) + times.user + times.system
        return spent

    def written_bytes(self) -> int:
        """Bytes that were written to files; 0 where the system does not count them.

        Linux's count of dirtied pages is no measure: on file systems with large folios one page dirties up to 2 MiB.
        """
        total = 0
        for process in self._roles:
            try:
                found = process.io_counters()
            except (psutil.Error, AttributeError):
                continue
            total += getattr(found, "write_chars", found.write_bytes)
        return total

    def memory(self) -> Memory:
        """What all of them hold now."""
        resident = 0
        own: Counter[str] = Counter()
        for process, role in self._roles.items():
            try:
                info = process.memory_info()
            except psutil.Error:
                continue
            resident += info.rss
            own[role] += info.rss - getattr(info, "shared", 0)
        return Memory(round(resident / MIB, 1), {role: round(size / MIB, 1) for role, size in own.items()})


def _processes(pids: Iterable[int]) -> Iterable[psutil.Process]:
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.Error:
            continue


class Meter:
    """Adds up what a server spends between each `begin` and the `end` after it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._processes = Processes({})
        self._before = Use()
        self.spent = Use()
        self.status: ServerStatus | None = None

    async def begin(self) -> None:
        """From now on."""
        self.status = status = await fresh_status(self._client)
        self._processes = Processes.of(status)
        self._before = self._now(status)

    async def end(self) -> None:
        """Until now. Processor time is read at once; counters once the shards have reported them."""
        cpu, written = self._processes.cpu_s(), self._processes.written_bytes()
        self.status = status = await fresh_status(self._client)
        self.spent += Use(cpu, written, _counters(status)) - self._before

    def memory(self) -> Memory:
        return self._processes.memory()

    def _now(self, status: ServerStatus) -> Use:
        return Use(self._processes.cpu_s(), self._processes.written_bytes(), _counters(status))


async def fresh_status(client: AsyncClient) -> ServerStatus:
    """The server's status with figures that its shards sent after this was called (they do so every second)."""
    first = await client.status()
    seen = {shard.index: shard.stats.time_ms for shard in first.shards if shard.stats is not None}
    deadline = asyncio.get_running_loop().time() + STATS_WAIT_S
    while True:
        status = await client.status()
        fresh = all(
            shard.stats is not None and shard.stats.time_ms != seen.get(shard.index)
            for shard in status.shards
            if shard.state == "serving"
        )
        if fresh or asyncio.get_running_loop().time() > deadline:
            return status
        await asyncio.sleep(STATS_POLL_S)


def _counters(status: ServerStatus) -> dict[str, int]:
    total: Counter[str] = Counter()
    for shard in status.shards:
        if shard.stats is not None:
            total.update(shard.stats.counters)
    return dict(total)


def stages_ms(status: ServerStatus) -> dict[str, dict[str, float]]:
    """Latencies by stage, in ms: of the shard that is slowest there, over the last ten seconds."""
    found: dict[str, Latency] = {}
    for shard in status.shards:
        for name, latency in (shard.stats.latencies if shard.stats is not None else {}).items():
            if latency.count and (name not in found or latency.p50_us > found[name].p50_us):
                found[name] = latency
    return {
        name: {"p50_ms": round(latency.p50_us / 1000, 3), "p99_ms": round(latency.p99_us / 1000, 3)}
        for name, latency in found.items()
    }
