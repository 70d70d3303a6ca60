"""A worker process: the loop, sockets, signals and timers around `actor.WorkerActor` and `runner.Runner`.

Thin on purpose: what to say to whom is the actor's, what to execute is the runner's. Sockets come in through
``connect``, since rooms beside this one are not imported. Exit codes: 0 left as asked, or to be replaced because
something that was given up still runs in here; 2 refused by the server; 3 the server cannot be reached.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from wfe import observe
from wfe.config import WorkerOptions
from wfe.limits import DRAIN_MS
from wfe.model.needs import read_labels, read_resources
from wfe.model.registered import RegisteredTask
from wfe.secrets import mask_secrets
from wfe.wire.messages import ShardEndpoint, TaskBeat, TaskResult
from wfe.worker import capture
from wfe.worker.actor import COORDINATOR, WorkerActor
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.identity import Identity
from wfe.worker.job import current_fields
from wfe.worker.resources import close_async_resources, close_resources
from wfe.worker.runner import Runner
from wfe.worker.task_logs import LineBuffer
from wfe.worker.tracing import AttemptTracing

EXIT_OK, EXIT_REFUSED, EXIT_UNREACHABLE = 0, 2, 3
TICK_S = 0.1
CONNECTING_TICK_S = 0.02
"""Until every shard has welcomed this worker: a start should not wait for a slow tick."""
CONNECT_PATIENCE_MS = 30_000
CONNECT_SILENCE_MS = 1_500
"""Without a server for this long a worker says so, and goes on trying."""
LEAVE_S = 5.0
"""Resources get this long to close, and the interpreter to end."""
SWITCH_INTERVAL_S = 0.001
"""Five times shorter than Python's: a thread that computes must not hold up the loop for long."""
_GC_THRESHOLD = 50_000

Frames = list[tuple[bytes, list[bytes]]]
_logger = observe.get_logger("wfe.worker")


class Connection(Protocol):
    """A connected socket on the loop (`transport.aio.Attached` over a `Dealer`)."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool: ...

    def close(self) -> None: ...


Connect = Callable[[asyncio.AbstractEventLoop, str, Callable[[Frames], None]], Connection]
"""``connect(loop, endpoint, on_frames)``: frames are (peer, parts), peer is always b""."""


class Connections:
    """`actor.Network` over real sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connect: Connect, *, local: bool) -> None:
        self._loop, self._connect, self._local = loop, connect, local
        self._open: dict[int, Connection] = {}
        self._refused: dict[int, str] = {}
        """Addresses for which the system had no descriptors: the next send tries again."""
        self.on_frame: Callable[[int, list[bytes], int], None] = _ignore

    def open_address(self, link: int, address: str) -> None:
        """Connects; an earlier connection of the link is closed."""
        refused_before = link in self._refused
        self.close(link)

        def on_frames(frames: Frames) -> None:
            now_ms = monotonic_ms()
            for _, parts in frames:
                self.on_frame(link, parts, now_ms)

        try:
            self._open[link] = self._connect(self._loop, address, on_frames)
        except OSError as error:
            self._refused[link] = address
            if not refused_before:
                _logger.warning("no connection can be opened", address=address, reason=str(error))

    def open(self, link: int, endpoint: ShardEndpoint) -> None:
        self.open_address(link, endpoint.ipc if self._local and endpoint.ipc else endpoint.tcp)

    def close(self, link: int) -> None:
        self._refused.pop(link, None)
        connection = self._open.pop(link, None)
        if connection is not None:
            connection.close()

    def send(self, link: int, parts: list[bytes]) -> bool:
        if link in self._refused:
            self.open_address(link, self._refused[link])
        connection = self._open.get(link)
        return connection is not None and connection.send(b"", parts)

    def close_all(self) -> None:
        for link in list(self._open):
            self.close(link)


class WorkerProcess:
    """One worker. `run` until it is told to leave, is refused, or should be replaced; gives the exit code."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: WorkerOptions,
        tasks: Mapping[tuple[str, int], RegisteredTask],
        connect: Connect,
        lines: LineBuffer | None = None,
    ) -> None:
        self._loop, self._options = loop, options
        self._board = DeadlineBoard.open(options.board) if options.board else None
        self._connections = Connections(loop, connect, local=options.local)
        worker = options.worker or f"worker-{os.urandom(8).hex()}"
        self._tracing = AttemptTracing(options.otel, worker)
        self.runner = Runner(
            loop,
            tasks,
            options.slots,
            self._on_results,
            tracing=self._tracing,
            board=self._board,
            log=(options.log_level, options.log_format),
            lines=lines,
        )
        identity = Identity(
            worker=worker,
            tasks=sorted(tasks),
            slots=options.slots,
            token=options.token,
            index=options.index,
            local=options.local,
            pid=os.getpid(),
            labels=read_labels(options.labels),
            resources=read_resources(options.resources),
        )
        self._task_names = sorted({name for name, _ in tasks})
        self.actor = WorkerActor(identity, self._connections, self.runner, lines)
        self._connections.on_frame = self.actor.on_frame
        self._exit: asyncio.Future[int] = loop.create_future()
        self._started_ms = monotonic_ms()
        self._announced = options.local  # the server reports its own
        self._unreached = False
        self._leaving = False
        self._leave_by_ms = 0
        self._tick_timer: asyncio.TimerHandle | None = None

    async def run(self) -> int:
        """Serves; SIGTERM or SIGINT once: finish what runs and leave, twice: leave at once."""
        self._connections.open_address(COORDINATOR, self._options.connect)
        for number in (signal.SIGTERM, signal.SIGINT):
            if threading.current_thread() is threading.main_thread():
                self._loop.add_signal_handler(number, self.drain)
        self._tick()
        try:
            code = await self._exit
        finally:
            await self._close()
        return code

    def drain(self) -> None:
        """Takes no new tasks, finishes what runs (at most DRAIN_MS), leaves. The second call leaves at once."""
        if self._leaving:
            self._finish(EXIT_OK)
        self._leaving = True

    def _on_results(self, results: list[TaskResult], beats: list[TaskBeat]) -> None:
        self.actor.on_results(results, monotonic_ms(), beats)

    def _tick(self) -> None:
        now_ms = monotonic_ms()
        if self._board is not None:
            self._board.beat(time.monotonic_ns())
        actor = self.actor
        actor.on_beats(self.runner.take_beats())
        actor.retire(self._leaving or self.runner.tainted)
        actor.on_tick(now_ms)
        self._judge(now_ms)
        if not self._exit.done():
            self._tick_timer = self._loop.call_later(CONNECTING_TICK_S if actor.connecting else TICK_S, self._tick)

    def _judge(self, now_ms: int) -> None:
        """Whether it is time to go."""
        actor = self.actor
        if actor.welcomed and not self._announced:
            self._announced = True
            _logger.info("the worker takes tasks", server=self._options.connect, tasks=self._task_names)
        if actor.refused is not None:
            _logger.error("the server refuses this worker", code=actor.refused.code, reason=actor.refused.message)
            self._finish(EXIT_REFUSED)
        elif not actor.welcomed and not self._unreached and now_ms - self._started_ms > CONNECT_SILENCE_MS:
            self._unreached = True
            _logger.warning(
                "no server answers there yet: is `wfe serve` running?",
                address=self._options.connect,
                trying_for_s=CONNECT_PATIENCE_MS // 1_000,
            )
        elif not actor.welcomed and now_ms - self._started_ms > CONNECT_PATIENCE_MS:
            _logger.error("the server cannot be reached: is `wfe serve` running there?", address=self._options.connect)
            self._finish(EXIT_UNREACHABLE)
        elif not actor.retiring:
            self._leave_by_ms = 0
        elif actor.settled:
            self._finish(EXIT_OK)
        elif self._leaving or not actor.held:
            # Asked to leave, or tainted with nothing left to finish: a shard that is away must not hold it for ever.
            self._leave_by_ms = self._leave_by_ms or now_ms + DRAIN_MS
            if now_ms >= self._leave_by_ms:
                self._finish(EXIT_OK)

    def _finish(self, code: int) -> None:
        if not self._exit.done():
            if self.runner.tainted:
                _logger.warning("something that was given up still runs: this process is to be replaced")
            self._exit.set_result(code)

    async def _close(self) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        self.actor.leave()
        self.runner.close()
        try:
            async with asyncio.timeout(LEAVE_S):
                await close_async_resources()
                await self._in_daemon_thread(close_resources)
                await self._in_daemon_thread(self._tracing.close)
        except TimeoutError:
            _logger.warning("resources did not close in time", seconds=LEAVE_S)
        self._connections.close_all()
        if self._board is not None:
            self._board.close()

    async def _in_daemon_thread(self, function: Callable[[], None]) -> None:
        """Waits without holding the process: a daemon thread that hangs does not keep the interpreter."""
        done = asyncio.Event()

        def work() -> None:
            function()
            with suppress(RuntimeError):  # too late: the loop has closed
                self._loop.call_soon_threadsafe(done.set)

        threading.Thread(target=work, name="wfe-close", daemon=True).start()
        await done.wait()


def main(
    options: WorkerOptions,
    tasks: Mapping[tuple[str, int], RegisteredTask],
    connect: Connect,
    *,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> int:
    """Runs a worker in this process until it leaves; the exit code."""
    observe.configure(
        options.log_level,
        options.log_format,
        stream=sys.stderr,
        mask=mask_secrets,
        context=current_fields,
        process="worker",
        index=options.index,
    )
    lines = LineBuffer(mask_secrets)
    observe.tap(lines.tap)
    capture.install()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_serve(options, tasks, connect, lines))


async def _serve(
    options: WorkerOptions, tasks: Mapping[tuple[str, int], RegisteredTask], connect: Connect, lines: LineBuffer
) -> int:
    code = await WorkerProcess(asyncio.get_running_loop(), options, tasks, connect, lines).run()
    _end_within(LEAVE_S, code)
    return code


def _end_within(seconds: float, code: int) -> None:
    """A coroutine that refuses to end, or a thread that a task has started, would keep the interpreter from ending."""

    def end() -> None:
        time.sleep(seconds)
        os._exit(code)

    threading.Thread(target=end, name="wfe-end", daemon=True).start()


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _ignore(link: int, parts: list[bytes], now_ms: int) -> None:
    """Before the actor is there, nothing is connected."""
