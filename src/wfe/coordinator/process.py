"""The parent process around `actor.Coordinator`: loop, sockets, children, deadline boards, signals.

Thin on purpose: whatever decides is in the actor. Sockets, boards and the commands of child processes come in through
`World`, since this room may not know their rooms. One thread, the loop's, runs everything but the waiting for children.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from wfe.config import GatewayOptions, ServeOptions, ShardOptions, TracerOptions
from wfe.coordinator.actor import Coordinator
from wfe.coordinator.child_options import AlerterOptions, ChildOptions
from wfe.coordinator.children import Children
from wfe.coordinator.effects import Site
from wfe.errors import WfeError
from wfe.journal.backup import Archive, ArchiveDone, Manifest
from wfe.journal.catalogue import Catalogue
from wfe.observe import get_logger
from wfe.ports import Clock, Random, Transport
from wfe.wire.messages import Deploy, DeployOutcome

TICK_S = 0.1
BOARD_S = 0.25
_log = get_logger("coordinator")

OnFrames = Callable[[list[tuple[bytes, list[bytes]]]], None]


class Board(Protocol):
    """A worker's deadline board, as its parent reads it (`worker.deadlines.DeadlineBoard`)."""

    def stuck(self, now_ns: int) -> bool: ...

    def close(self) -> None: ...


class Link(Transport, Protocol):
    """A socket on the running loop (`transport.aio.Attached`)."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """What `bootstrap` gives: attach functions for the two bound sockets, boards, and how children are started."""

    attach_front: Callable[[OnFrames], Link]
    attach_back: Callable[[OnFrames], Link]
    make_board: Callable[[Path, int], Board]
    scratch: Path
    shard_command: Sequence[str]
    worker_command: Sequence[str]
    clock: Clock
    random: Random
    gateway_command: Sequence[str] = ()
    tracer_command: Sequence[str] = ()
    alerter_command: Sequence[str] = ()
    make_archive: Callable[[ArchiveDone], Archive] | None = None
    """None: this engine makes no backups."""


class Process:
    """Runs one engine. Implements `effects.Effects` for its actor."""

    def __init__(self, options: ServeOptions, site: Site, catalogue: Catalogue, world: World) -> None:
        self._options, self._world = options, world
        self._boards: dict[str, tuple[Path, Board]] = {}
        self._sockets_of: dict[str, Path] = {}
        self._stopped = asyncio.Event()
        self._ready = asyncio.Event()
        self._urgent = False
        self._loop = asyncio.get_running_loop()
        self._children = Children(self._loop.call_soon_threadsafe, self._on_exit)
        self.actor = Coordinator(
            options=options,
            site=site,
            catalogue=catalogue,
            effects=self,
            clock=world.clock,
            random=world.random,
            archive=world.make_archive(self._archived) if world.make_archive is not None else None,
        )
        self._front: Link | None = None
        self._back: Link | None = None

    async def run(self, definitions: Sequence[bytes], on_ready: Callable[[Coordinator], None]) -> int:
        """Deploys, serves until told to stop, drains; the exit code. A refused deploy is raised before any child."""
        self._loop.set_exception_handler(_log_exception)
        self._deploy(definitions)
        self._front = self._world.attach_front(self._on_front)
        self._back = self._world.attach_back(self._on_back)
        self._listen_to_signals()
        ticker = self._loop.create_task(self._tick())
        try:
            self.actor.start(_now_ms())
            await self._until_ready()
            if self._ready.is_set():
                on_ready(self.actor)
            await self._stopped.wait()
        finally:
            ticker.cancel()
            self._front.close()
            self._back.close()
            self.actor.backups.close()
        return 130 if self._urgent else 0

    def stop(self) -> None:
        """Drains; called again: ends everything at once."""
        if not self.actor.draining:
            _log.info("stopping: tasks that run may finish; a second signal ends them at once")
            self.actor.drain(_now_ms())
        else:
            self._urgent = True
            self.actor.stop_now()
        self._look()

    def stop_now(self) -> None:
        """Ends everything at once."""
        self._urgent = True
        self.actor.stop_now()
        self._look()

    # ---- effects ----------------------------------------------------------------------------------------------------

    def send_front(self, peer: bytes, parts: list[bytes]) -> bool:
        return self._front is not None and self._front.send(peer, parts)

    def send_back(self, peer: bytes, parts: list[bytes]) -> bool:
        return self._back is not None and self._back.send(peer, parts)

    def spawn(self, name: str, options: ChildOptions) -> int:
        if isinstance(options, GatewayOptions):
            return self._children.spawn(name, self._world.gateway_command, options)
        if isinstance(options, TracerOptions):
            return self._children.spawn(name, self._world.tracer_command, options)
        if isinstance(options, AlerterOptions):
            return self._children.spawn(name, self._world.alerter_command, options)
        if isinstance(options, ShardOptions):
            if options.ipc:
                self._sockets_of[name] = Path(options.ipc.removeprefix("ipc://"))
            return self._children.spawn(name, self._world.shard_command, options)
        path = self._world.scratch / f"board-{name}"
        self._boards[name] = (path, self._world.make_board(path, options.slots))
        return self._children.spawn(name, self._world.worker_command, msgspec.structs.replace(options, board=str(path)))

    def terminate(self, name: str) -> None:
        self._children.terminate(name)

    def kill(self, name: str) -> None:
        self._children.kill(name)

    # ---- events -----------------------------------------------------------------------------------------------------

    def _on_front(self, frames: list[tuple[bytes, list[bytes]]]) -> None:
        now_ms = _now_ms()
        for peer, parts in frames:
            self.actor.on_front(peer, parts, now_ms)
        if not self._ready.is_set():
            self._look()

    def _on_back(self, frames: list[tuple[bytes, list[bytes]]]) -> None:
        now_ms = _now_ms()
        for peer, parts in frames:
            self.actor.on_back(peer, parts, now_ms)
        if not self._ready.is_set():
            self._look()

    def _archived(self, number: int, manifest: Manifest | None, error: WfeError | None) -> None:
        """On the archive's thread."""
        self._loop.call_soon_threadsafe(self._on_archived, number, manifest, error)

    def _on_archived(self, number: int, manifest: Manifest | None, error: WfeError | None) -> None:
        self.actor.backups.on_archived(number, manifest, error, _now_ms())

    def _on_exit(self, name: str, code: int) -> None:
        if board := self._boards.pop(name, None):
            board[1].close()
            board[0].unlink(missing_ok=True)
        if socket := self._sockets_of.pop(name, None):
            socket.unlink(missing_ok=True)
        self.actor.on_child_exit(name, code, _now_ms())
        self._look()

    async def _tick(self) -> None:
        next_look_s = 0.0
        while True:
            self.actor.on_tick(_now_ms())
            if (now_s := self._loop.time()) >= next_look_s:
                next_look_s = now_s + BOARD_S
                for name in self._stuck():
                    self.actor.on_overrun(name)
            self._look()
            await asyncio.sleep(TICK_S)

    def _stuck(self) -> list[str]:
        now_ns = time.monotonic_ns()
        return [name for name, (_, board) in self._boards.items() if board.stuck(now_ns)]

    def _look(self) -> None:
        """Wakes whoever waits for the engine to be ready or gone."""
        if self.actor.ready():
            self._ready.set()
        if self.actor.done:
            self._stopped.set()

    async def _until_ready(self) -> None:
        waits = [self._loop.create_task(event.wait()) for event in (self._ready, self._stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    # ---- start ------------------------------------------------------------------------------------------------------

    def _deploy(self, definitions: Sequence[bytes]) -> None:
        if not definitions:
            return
        request = Deploy(list(definitions), replace=self._options.replace)
        outcome: DeployOutcome = self.actor.deploys.deploy(request, self._world.clock.wall_ms(), again=True)
        for deployed in outcome.deployed:
            if deployed.changed:
                _log.info("deployed", workflow=deployed.workflow, version=deployed.version)

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            if sys.platform == "win32":
                signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self.stop))
            else:
                self._loop.add_signal_handler(number, self.stop)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A bug while handling one frame or event: say so and go on with the next one."""
    error = context.get("exception")
    _log.error(
        str(context.get("message", "unexpected error")), exc_info=error if isinstance(error, Exception) else None
    )
