"""`wfe serve` and a remote `wfe worker` on one directory, across all their deaths; and who belongs to whom.

Processes are told apart by what the kernel knows (parents, command lines, the environment variable CHAOS_EFFECTS), not
by what the server says about itself: it is often dead or stopped when somebody asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import psutil

HERE = Path(__file__).parent
WFE = (sys.executable, "-P", "-c", "from wfe.cli import main; main()")
APPS = ("--app", str(HERE / "chaos_tasks.py"), "--app", str(HERE / "chaos_bill.yaml"))
WORKERS = 2
LEASE_MS = 2_000
"""Shorter than the default, so that stops of several leases fit into a round."""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
GONE_TIMEOUT_S = 20.0


class NotServing(Exception):
    """A server that does not start, stop or end as it must: a finding."""


class Engine:
    """One server at a time on one data directory, and a remote worker beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.data = directory, directory / "data"
        self.effects = directory / "effects"
        self.effects.mkdir(parents=True)
        config = directory / "server.toml"
        config.write_text(f'[serve]\nlease = "{LEASE_MS}ms"\n')
        self._log = (directory / "log").open("ab")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WFE_")}
        self.environment = {
            **kept,
            "CHAOS_EFFECTS": str(self.effects),
            "XDG_STATE_HOME": str(directory / "state"),
            "WFE_CONFIG": str(config),
        }
        self.address = "tcp://127.0.0.1:0"
        self.shards = 2
        self.starts = 0
        self._server: subprocess.Popen[str] | None = None
        self._remote: subprocess.Popen[bytes] | None = None

    # ---- the server -------------------------------------------------------------------------------------------------

    @property
    def server(self) -> subprocess.Popen[str]:
        assert self._server is not None, "start() comes first"
        return self._server

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    async def start(self, shards: int = 0) -> None:
        """Starts the server and waits until it says that it serves."""
        self.shards = shards or self.shards
        command = [*WFE, "serve", "--data", str(self.data), "--listen", self.address, "--log-level", "warning", *APPS]
        command += ["--shards", str(self.shards), "--workers", str(WORKERS)]
        server = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self._server = server
        self.starts += 1
        assert server.stdout is not None
        ready = await line_of(server.stdout)
        if not ready.startswith("wfe: serving on "):
            server.kill()
            raise NotServing(f"`wfe serve` did not start: {ready!r}, exit code {server.wait()}")
        where = json.loads((self.data / "server.json").read_text())
        self.address = where["address"]

    async def stop(self) -> None:
        """SIGTERM, as a service manager does; it must end by itself, with 0, and leave nobody behind."""
        before = family(self.server.pid)
        self.server.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self.server.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise NotServing(f"`wfe serve` did not end within {STOP_TIMEOUT_S:g} s after SIGTERM") from None
        if code != 0:
            raise NotServing(f"`wfe serve` ended with {code} after SIGTERM")
        await gone(before)

    async def kill(self) -> None:
        """SIGKILL for the coordinator; everybody below it must end, too."""
        below = family(self.server.pid)
        self.server.kill()
        await asyncio.to_thread(self.server.wait)
        # A stopped process gets the signal that its parent died, but somebody has to let it go on in order to end.
        for process in below:
            send(process, signal.SIGCONT)
        await gone(below)

    def children(self, role: str) -> list[psutil.Process]:
        """The server's processes of a role: ``shard`` or ``worker``."""
        try:
            below = psutil.Process(self.server.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if role_of(process) == role]

    # ---- the remote worker ------------------------------------------------------------------------------------------

    async def start_remote(self, address: str) -> None:
        """`wfe worker` at an address that leads to the server, perhaps by a detour."""
        command = [*WFE, "worker", "--connect", address, "--slots", "4", "--log-level", "warning", *APPS[:2]]
        environment = {**self.environment, "WFE_TOKEN": self.token}
        self._remote = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=self._log)

    @property
    def remote(self) -> list[psutil.Process]:
        """The remote worker's processes; empty when there is none."""
        return [] if self._remote is None else family(self._remote.pid)

    async def stop_remote(self) -> None:
        """The remote worker leaves as if its machine had gone down."""
        if self._remote is None:
            return
        before = self.remote
        for process in before:
            send(process, signal.SIGKILL)
        await asyncio.to_thread(self._remote.wait)
        await gone(before)
        self._remote = None

    # ---- everybody --------------------------------------------------------------------------------------------------

    def strays(self) -> list[psutil.Process]:
        """Processes of this engine that belong neither to the present server nor to the present remote worker."""
        ours = {process.pid for process in [*family(self.server.pid), *self.remote]}
        return [p for p in marked(str(self.effects)) if p.pid not in ours]

    async def end(self) -> None:
        """Ends whatever is left, whatever state it is in."""
        for process in marked(str(self.effects)):
            send(process, signal.SIGKILL)
        for ours in (self._server, self._remote):
            if ours is not None:
                await asyncio.to_thread(ours.wait)
        self._log.close()


async def line_of(stream: IO[str]) -> str:
    """The next line of a process, or what there is of it when START_TIMEOUT_S are over."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            return await asyncio.to_thread(stream.readline)
    except TimeoutError:
        raise NotServing(f"`wfe serve` was silent for {START_TIMEOUT_S:g} s after its start") from None


# ---- processes ------------------------------------------------------------------------------------------------------


def role_of(process: psutil.Process) -> str:
    """``shard``, ``worker`` ... of a child process of the server; "" of any other."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return ""
    return command[-1] if "wfe.bootstrap" in command else ""


def family(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def marked(effects: str) -> list[psutil.Process]:
    """Living processes that were started for the engine of this directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CHAOS_EFFECTS") == effects and alive([process]):
                found.append(process)
        except psutil.Error:
            continue
    return found


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


def send(process: psutil.Process, signal_number: int) -> bool:
    """Whether the process was there to be signalled."""
    try:
        process.send_signal(signal_number)
    except psutil.NoSuchProcess:
        return False
    return True


async def gone(processes: Iterable[psutil.Process]) -> None:
    """Waits until none of them runs."""
    processes = list(processes)
    try:
        async with asyncio.timeout(GONE_TIMEOUT_S):
            while alive(processes):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise NotServing(f"these outlive their parent: {[p.cmdline() for p in alive(processes)]}") from None
