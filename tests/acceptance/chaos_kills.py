"""Killing: every kind of process of a server, what is left of it afterwards, and the server on the same data again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from conftest import Server

AGAIN_TIMEOUT_S = 30.0


def family(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run: psutil tells a pid that was given to somebody else apart; zombies are dead."""
    living = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
        except psutil.NoSuchProcess:
            continue
    return living


async def gone(processes: Iterable[psutil.Process], timeout_s: float = 10.0) -> None:
    """Waits until none of them runs."""
    processes = list(processes)
    async with asyncio.timeout(timeout_s):
        while alive(processes):
            await asyncio.sleep(0.02)


class Chaos:
    """One server at a time on one data directory, and the ways to kill parts of it."""

    def __init__(self, serve: Callable[..., Server], data: Path) -> None:
        self._serve, self._data = serve, data
        self._listen = "tcp://127.0.0.1:0"
        self.shards = 2
        self.server = self._start()

    def _start(self) -> Server:
        server = self._serve("--shards", str(self.shards), "--listen", self._listen, data=self._data)
        self._listen = server.address
        return server

    @property
    def token(self) -> str:
        return (self._data / "token").read_text().strip()

    async def restart(self, shards: int) -> None:
        """A planned stop, and another server with so many shards."""
        before = family(self.server.pid)
        code = await asyncio.to_thread(self.server.stop)
        assert code == 0, f"wfe serve ended with {code} after SIGTERM"
        await gone(before)
        self.shards = shards
        self.server = await asyncio.to_thread(self._start)

    async def kill(self, kind: str, client: Any, choose: Callable[[list[int]], int]) -> None:
        """Ends what ``kind`` names with SIGKILL, and waits until the whole serves again."""
        status = await client.status()
        shards = [shard.pid for shard in status.shards]
        workers = [worker.pid for worker in status.workers if worker.pid]
        everything = family(self.server.pid)
        victims = {
            "a shard": [choose(shards)],
            "a worker": [choose(workers)] if workers else [],
            "all workers": workers,
            "all shards": shards,
            "the coordinator": [self.server.pid],
            "everything": [process.pid for process in everything],
        }[kind]
        below = [process for pid in victims for process in family(pid)]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it died with one that was killed before
        if self.server.pid in victims:
            below = everything
            self.server.process.wait()
            await gone(below)
            self.server = await asyncio.to_thread(self._start)
        await gone(below)
        await self.serves(client)

    async def serves(self, client: Any) -> None:
        """Waits until every shard serves and every local worker is there."""
        async with asyncio.timeout(AGAIN_TIMEOUT_S):
            while True:
                status = await client.status()
                if status.state == "serving" and len(status.workers) >= 2:
                    return
                await asyncio.sleep(0.05)
