"""Who a worker is, and how it says so to the coordinator. Knows no clock: time is an argument."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from wfe.limits import HEARTBEAT_MS
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Hello

PING_MS = 2 * HEARTBEAT_MS
HELLO_RETRY_MAX_MS = 5_000


class Identity(Struct, kw_only=True):
    """``tasks``: (name, version) pairs that it runs; ``index`` chooses its home shard. ``labels`` by name, and
    ``resources`` in thousandths: see `model.needs`."""

    worker: str
    tasks: list[tuple[str, int]]
    slots: int
    token: str = ""
    index: int = 0
    local: bool = False
    pid: int = 0
    labels: dict[str, str] = {}
    resources: dict[str, int] = {}
    software: str = ""


class Greeting:
    """The hello to the coordinator: said until it is answered, ever more rarely; from then on pings."""

    def __init__(self, identity: Identity, send: Callable[[list[bytes]], bool]) -> None:
        self._identity, self._send = identity, send
        self._hello_at_ms: int | None = None
        self._wait_ms = HEARTBEAT_MS
        self._ping_at_ms = 0

    def on_tick(self, now_ms: int, *, connected: bool) -> None:
        """Says what is due."""
        if connected:
            if now_ms - self._ping_at_ms >= PING_MS:
                self._ping_at_ms = now_ms
                self._send([header(Kind.PING), b""])
        elif self._hello_at_ms is None or now_ms - self._hello_at_ms >= self._wait_ms:
            if self._hello_at_ms is not None:
                self._wait_ms = min(2 * self._wait_ms, HELLO_RETRY_MAX_MS)
            me = self._identity
            message = Hello(me.token, "worker", me.software, me.worker)
            sent = self._send([header(Kind.HELLO), msgspec.msgpack.encode(message)])
            self._hello_at_ms = now_ms if sent else None  # not connected yet: try at the next tick

    def answered(self) -> None:
        """The coordinator knows this worker."""
        self._wait_ms = HEARTBEAT_MS

    def again(self) -> None:
        """It does not know it any more: the next tick says hello."""
        self._hello_at_ms = None
