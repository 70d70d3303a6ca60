"""Sockets on an asyncio (or uvloop) loop: the socket's FD in ``add_reader``, and a draining loop of bounded turns.

The FD is edge-triggered and a *send* may swallow the edge of a frame that arrived: so after every send, and after a
drain that left frames behind, the socket is looked at again, once per loop turn. `zmq.asyncio` does the same per
message at a twentieth of the speed. Invariant: whenever frames wait and the loop is idle, a drain is scheduled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from wfe.limits import DESCRIPTORS_LOOK_MS, DRAIN_FRAMES_MAX

OnFrames = Callable[[list[tuple[bytes, list[bytes]]]], None]


class Pollable(Protocol):
    """What this module needs of a socket (`sockets.Router` and `sockets.Dealer` have it)."""

    fd: int

    def readable(self) -> bool: ...

    def recv_many(self, limit: int) -> list[tuple[bytes, list[bytes]]]: ...

    def send(self, peer: bytes, parts: list[bytes]) -> bool: ...

    def mind_descriptors(self) -> None: ...

    def close(self) -> None: ...


class Attached:
    """A socket whose frames go to ``on_frames``, at most ``limit`` per loop turn. All sends must pass through here.

    Owns the socket: `close` closes it. Implements `ports.Transport`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: Pollable,
        on_frames: OnFrames,
        *,
        limit: int = DRAIN_FRAMES_MAX,
    ) -> None:
        self._loop, self._socket, self._on_frames, self._limit = loop, socket, on_frames, limit
        self._scheduled = False
        self._closed = False
        loop.add_reader(socket.fd, self._drain)
        self._look_again()
        self._minding = loop.call_later(DESCRIPTORS_LOOK_MS / 1_000, self._mind)

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        """See the socket's own ``send``; False after `close`."""
        if self._closed:
            return False
        sent = self._socket.send(peer, parts)
        if not self._scheduled:
            self._look_again()
        return sent

    def close(self) -> None:
        """Detaches from the loop and closes the socket. Idempotent."""
        if not self._closed:
            self._closed = True
            self._minding.cancel()
            self._loop.remove_reader(self._socket.fd)
            self._socket.close()

    def _mind(self) -> None:
        self._minding = self._loop.call_later(DESCRIPTORS_LOOK_MS / 1_000, self._mind)
        self._socket.mind_descriptors()

    def _look_again(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if not self._closed and self._socket.readable():
            self._drain()

    def _drain(self) -> None:
        if self._closed:
            return
        frames = self._socket.recv_many(self._limit)
        if len(frames) >= self._limit:
            # Before the callback, so that an exception in it cannot leave frames behind. Fewer frames than the limit
            # were all that there were, and the edge of the next one is still to come.
            self._look_again()
        if frames:
            self._on_frames(frames)
