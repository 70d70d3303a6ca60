"""A queue and a task per receiver: notices leave in order, are tried again, and are bounded by the hour.

Invariants: who hands a notice over never waits; a receiver that is dead costs its own queue alone, whose oldest notices
go when it is full; what was left out before it was ever said is not followed by its all-clear; no failure, foreseen or
not, ends a receiver.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from wfe.gateway.alerts.receivers import NotDelivered, deliver
from wfe.gateway.alerts.rules import Receiver
from wfe.gateway.alerts.states import Notice
from wfe.observe import get_logger
from wfe.wire.alerts import ReceiverView

QUEUE_MAX = 100
TRY_AGAIN_S = (1.0, 10.0, 60.0)
HOUR_MS = 3_600_000
_log = get_logger("alerts")
_About: TypeAlias = tuple[str, str, int]
Send = Callable[[Receiver, Notice, str], Awaitable[None]]


def _about(notice: Notice) -> _About:
    """What an announcement, its repeats and its all-clear have in common."""
    return notice.rule, notice.subject, notice.since_ms


class Mailbox:
    """One receiver. ``now_ms`` is asked for the time, ``pause`` waits for so many seconds."""

    def __init__(
        self,
        receiver: Receiver,
        now_ms: Callable[[], int],
        *,
        send: Send = deliver,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.view = ReceiverView(receiver.name, receiver.kind)
        self._receiver, self._now_ms, self._send, self._pause = receiver, now_ms, send, pause
        self._queue: deque[Notice] = deque()
        self._wake = asyncio.Event()
        self._sent_ms: deque[int] = deque()
        self._said: set[_About] = set()
        """Announced, or tried to, and not over yet: as many as the rules have subjects, at most."""
        self._left_out: set[_About] = set()
        """Of those nobody was told."""
        self.server = ""

    def put(self, notice: Notice) -> None:
        """To be delivered; the oldest goes when too many wait."""
        if len(self._queue) >= QUEUE_MAX:
            self._leave_out(self._queue.popleft())
        self._queue.append(notice)
        self.view.waiting = len(self._queue)
        self._wake.set()

    async def serve(self) -> None:
        """Delivers what comes, for ever."""
        while True:
            await self._wake.wait()
            while self._queue:
                notice = self._queue.popleft()
                self.view.waiting = len(self._queue)
                await self._deliver(notice)
            self._wake.clear()

    def _leave_out(self, notice: Notice) -> None:
        self.view.dropped += 1
        about = _about(notice)
        if notice.kind == "resolved":
            self._said.discard(about)
            self._left_out.discard(about)
        elif about not in self._said:
            self._left_out.add(about)

    async def _deliver(self, notice: Notice) -> None:
        about = _about(notice)
        if notice.kind == "resolved" and about in self._left_out:
            self._left_out.discard(about)
            return
        now_ms = self._now_ms()
        while self._sent_ms and self._sent_ms[0] <= now_ms - HOUR_MS:
            self._sent_ms.popleft()
        if len(self._sent_ms) >= self._receiver.per_hour:
            self._leave_out(notice)
            self.view.error = f"more than {self._receiver.per_hour} messages within an hour: some were left out"
            _log.warning("an alert is left out", receiver=self._receiver.name, rule=notice.rule, kind=notice.kind)
            return
        self._sent_ms.append(now_ms)
        self._left_out.discard(about)
        (self._said.discard if notice.kind == "resolved" else self._said.add)(about)
        for pause_s in (*TRY_AGAIN_S, None):
            try:
                await self._send(self._receiver, notice, self.server)
            except NotDelivered as error:
                self.view.error = str(error)
                if pause_s is None or error.is_final:
                    break
                await self._pause(pause_s)
            except Exception as error:  # noqa: BLE001  one message, not the receiver, is lost by it
                self.view.error = "a defect of wfe: see the log"
                _log.error("an alert met a defect", receiver=self._receiver.name, rule=notice.rule, exc_info=error)
                break
            else:
                self.view.sent += 1
                self.view.error = ""
                return
        self.view.failed += 1
        _log.warning(
            "an alert was not delivered", receiver=self._receiver.name, rule=notice.rule, reason=self.view.error
        )


class Delivery:
    """All receivers."""

    def __init__(self, receivers: Sequence[Receiver], now_ms: Callable[[], int], *, send: Send = deliver) -> None:
        self._boxes = {receiver.name: Mailbox(receiver, now_ms, send=send) for receiver in receivers}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(box.serve()) for box in self._boxes.values()]

    def say(self, notice: Notice, server: str) -> None:
        """Hands a notice to its receivers; to all when it names none."""
        for name in notice.to or tuple(self._boxes):
            box = self._boxes[name]
            box.server = server
            box.put(notice)

    def views(self) -> list[ReceiverView]:
        return [box.view for box in self._boxes.values()]

    async def close(self) -> None:
        """Whatever waits is left."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
