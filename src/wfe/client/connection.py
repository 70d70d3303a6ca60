"""The session on an asyncio loop: a link to the server, one timer, and awaitable answers.

Knows no transport: whoever wires the client passes a `LinkFactory`. All methods belong to the loop that the connection
was opened on. Invariant: whenever the session has something due, the timer is armed for it or earlier.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from wfe.client.session import Session
from wfe.client.starts import StartBatch
from wfe.client.watches import Watch
from wfe.errors import Disconnected, WfeError
from wfe.wire.frames import Kind
from wfe.wire.messages import RunOutcome, StartRun, Welcome

CONNECT_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 30.0
RELINK_MS = 10_000
"""After this long a silence the link is replaced: a half-dead connection may still hold its identity at the server."""

OnFrames = Callable[[list[tuple[bytes, list[bytes]]]], None]


class Link(Protocol):
    """A connected socket on the running loop (`transport.aio.Attached` over a `Dealer` is one)."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool: ...

    def close(self) -> None: ...


class LinkFactory(Protocol):
    """Connects to an address, within a running loop; frames go to ``on_frames`` from then on."""

    def __call__(self, address: str, on_frames: OnFrames) -> Link: ...


class _Dice:
    """`ports.Random`, seeded by the operating system."""

    def __init__(self) -> None:
        self.bits = random.Random(os.urandom(16)).getrandbits


_encode = msgspec.msgpack.Encoder().encode


class Connection:
    """One client's connection. ``request_timeout_s`` also bounds how long a silent server is waited for."""

    def __init__(
        self,
        open_link: LinkFactory,
        address: str,
        token: Callable[[], str],
        *,
        fixed_token: bool,
        software: str,
        peer: str = "",
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self.address, self._open_link = address, open_link
        self._timeout_ms = int(request_timeout_s * 1000)
        self._loop = asyncio.get_running_loop()
        self.dice = _Dice()
        self.session = Session(
            self._send,
            self.dice,
            token,
            fixed_token=fixed_token,
            who=(software, peer),
            on_welcome=self._welcomed,
        )
        self._ready = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._relinked_ms = self._now_ms()
        self._link: Link = open_link(address, self._on_frames)
        self.session.open(self._now_ms())
        self._arm()

    @property
    def welcome(self) -> Welcome:
        """What the server said at the last hello; only after `opened`."""
        assert self.session.welcome is not None
        return self.session.welcome

    async def opened(self, timeout_s: float) -> None:
        """Waits for the first WELCOME. Disconnected when there is none in time; Unauthorized, ProtocolError."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise self.session.refused or Disconnected(
                f"no server answers at {self.address} (waited {timeout_s:g} s): start one with `wfe serve`, "
                "or name another address with WFE_ADDRESS"
            ) from None
        if self.session.failed is not None:
            raise self.session.failed

    async def ask(
        self,
        kind: Kind,
        body: Any = None,
        *,
        partition: int = -1,
        timeout_s: float | None = None,
        forever: bool = False,
        patient: bool = True,
    ) -> bytes:
        """One question, asked until it is answered. ``timeout_s`` None: the client's; ``forever``: no deadline."""
        if self.session.failed is not None:
            raise self.session.failed
        future: asyncio.Future[bytes] = self._loop.create_future()

        def done(reply: bytes | None, error: WfeError | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(reply or b"")

        timeout_ms = None if forever else self._timeout_ms if timeout_s is None else int(timeout_s * 1000)
        encoded = b"" if body is None else _encode(body)
        number = self.session.request(
            kind, encoded, done, self._now_ms(), partition=partition, timeout_ms=timeout_ms, patient=patient
        )
        self._arm()
        try:
            return await future
        finally:
            self.session.forget(number)

    async def start(self, workflow: str, version: int, runs: list[StartRun]) -> StartBatch:
        """Starts runs and waits until every one is acknowledged or refused, however long, while some of them move."""
        future: asyncio.Future[StartBatch] = self._loop.create_future()

        def done(batch: StartBatch) -> None:
            if not future.done():
                future.set_result(batch)

        self.submit(workflow, version, StartBatch(runs, done, bulk=True))
        return await future

    def submit(self, workflow: str, version: int, batch: StartBatch) -> None:
        """Starts runs without waiting; the batch is answered through its callbacks."""
        if self.session.failed is not None:
            raise self.session.failed
        self.session.start(workflow, version, batch, self._now_ms(), timeout_ms=self._timeout_ms)
        self._arm()

    def watch(self, run_id: str) -> Watch:
        watch = self.session.watch(run_id, self._now_ms())
        self._arm()
        return watch

    async def ended(self, watch: Watch, timeout_s: float | None) -> RunOutcome:
        """A run's end. TimeoutError when it takes longer; Disconnected when the server stays silent meanwhile."""
        if not watch.settled:
            await self._until_settled(watch, timeout_s)
        if watch.error is not None:
            raise watch.error
        assert watch.outcome is not None
        return watch.outcome

    async def _until_settled(self, watch: Watch, timeout_s: float | None) -> None:
        if self.session.failed is not None:
            raise self.session.failed
        future: asyncio.Future[None] = self._loop.create_future()

        def settled() -> None:
            if not future.done():
                future.set_result(None)

        watch.when_settled(settled)
        self._waiting.add(future)
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, _overdue, future, watch, timeout_s)
        try:
            await future
        finally:
            self._waiting.discard(future)
            watch.forget(settled)
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Closes the link; whatever is open fails as Disconnected. Idempotent."""
        self.session.close(Disconnected("this client is closed"))
        self._fail_waiting(Disconnected("this client is closed"))
        if self._timer is not None:
            self._timer.cancel()
        self._link.close()

    # ---- the loop's side ----

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def _send(self, parts: list[bytes]) -> bool:
        return self._link.send(b"", parts)

    def _on_frames(self, frames: list[tuple[bytes, list[bytes]]]) -> None:
        now_ms = self._now_ms()
        for _, parts in frames:
            self.session.on_frame(parts, now_ms)
        if self.session.failed is not None:
            self._ready.set()
            self._fail_waiting(self.session.failed)
        self._arm()

    def _welcomed(self) -> None:
        self._ready.set()

    def _arm(self) -> None:
        due_ms = self.session.due_ms
        if self._timer is not None:
            if self._timer_ms <= due_ms:
                return
            self._timer.cancel()
        if self.session.failed is not None or due_ms >= 1 << 61:
            self._timer = None
            return
        self._timer_ms = due_ms
        # One millisecond late rather than early: the loop's clock is finer than ours.
        self._timer = self._loop.call_at(due_ms / 1000 + 0.001, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_ms = self._now_ms()
        self.session.on_tick(now_ms)
        silent_ms = self.session.silent_ms(now_ms)
        if silent_ms > RELINK_MS and now_ms - self._relinked_ms > RELINK_MS:
            self._relinked_ms = now_ms
            with suppress(OSError):  # the system has no descriptors for another link: the next time, then
                fresh = self._open_link(self.address, self._on_frames)
                self._link.close()
                self._link = fresh
                self.session.reopened(now_ms)
        if silent_ms > self._timeout_ms and self._waiting:
            self._fail_waiting(Disconnected(f"the server at {self.address} has been silent for {silent_ms // 1000} s"))
        self._arm()

    def _fail_waiting(self, error: WfeError) -> None:
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(error)


def _overdue(future: asyncio.Future[None], watch: Watch, timeout_s: float) -> None:
    if not future.done():
        future.set_exception(TimeoutError(f"run {watch.run_id} has not ended within {timeout_s:g} s; it goes on"))
