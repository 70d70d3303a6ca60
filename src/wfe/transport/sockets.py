"""ZeroMQ sockets with whole frames: `Router` binds and knows its peers, `Dealer` connects to one router.

The only room that knows ZeroMQ. Rules: a send never blocks, and what cannot be sent is answered with False (a plain
ROUTER would drop it in silence); every queue, frame, handshake and shutdown is bounded (`limits`); a send is never a
delivery, so every protocol above numbers, acknowledges and repeats. Sockets belong to the thread that uses them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import zmq

from wfe.errors import ConfigError
from wfe.limits import (
    DESCRIPTORS_SPARE,
    DRAIN_FRAMES_MAX,
    FRAME_BYTES_MAX,
    FRAME_PARTS_MAX,
    SOCKET_HANDSHAKE_MS,
    SOCKET_HEARTBEAT_MS,
    SOCKET_LINGER_MS,
    SOCKET_QUEUE_FRAMES,
    SOCKET_RECONNECT_MAX_MS,
    SOCKET_RECONNECT_MS,
    SOCKET_SILENCE_MS,
    ZERO_COPY_BYTES,
)
from wfe.transport.descriptors import descriptors_left

# Plain numbers: pyzmq's own are flags of an enum, and looking at one costs more than the call that it is for.
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_ASKED_FRAMES = 3
"""After each of the first frames the socket is asked whether there are more: an exception that says that there are none
takes as long as a dozen frames, and mostly there are one or two.
"""

Frame = tuple[bytes, list[bytes]]
"""(peer, parts). Empty parts stand for a frame of too many parts: it was thrown away, and deserves an ERROR."""


class _Socket:
    """What both kinds share. ``dropped``: sends answered with False; ``refused``: frames of too many parts.

    OSError when the system has no descriptors for a socket.
    """

    def __init__(self, kind: int, context: zmq.Context[zmq.Socket[bytes]] | None) -> None:
        self.dropped = 0
        self.refused = 0
        self.closed = False
        try:
            self._socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(kind)
        except zmq.ZMQError as error:  # for want of descriptors
            raise OSError(error.errno, error.strerror) from error
        for option, value in (
            (zmq.LINGER, SOCKET_LINGER_MS),
            (zmq.SNDHWM, SOCKET_QUEUE_FRAMES),
            (zmq.RCVHWM, SOCKET_QUEUE_FRAMES),
            (zmq.MAXMSGSIZE, FRAME_BYTES_MAX),
            (zmq.HANDSHAKE_IVL, SOCKET_HANDSHAKE_MS),
            (zmq.HEARTBEAT_IVL, SOCKET_HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, SOCKET_SILENCE_MS),
            (zmq.HEARTBEAT_TTL, SOCKET_SILENCE_MS),
            (zmq.IMMEDIATE, 1),
        ):
            self._socket.setsockopt(option, value)
        self.fd = int(self._socket.getsockopt(zmq.FD))

    def readable(self) -> bool:
        """Whether a frame waits. The FD is edge-triggered: ask this after every send and receive, not the FD."""
        return bool(int(self._socket.getsockopt(_EVENTS)) & _POLLIN)

    def poll(self, timeout_ms: int) -> bool:
        """Waits until a frame is there; False when the time is over. For threads without a loop."""
        return bool(self._socket.poll(timeout_ms, zmq.POLLIN))

    def register(self, poller: zmq.Poller) -> object:
        """Lets a poller wait for frames of this socket, which it names by what this gives."""
        poller.register(self._socket, zmq.POLLIN)
        return self._socket

    def mind_descriptors(self) -> None:
        """Call it every DESCRIPTORS_LOOK_MS; see `Router`."""

    def close(self, linger_ms: int = SOCKET_LINGER_MS) -> None:
        """Closes; what is still queued is delivered in the background for at most ``linger_ms``. Idempotent."""
        self.closed = True
        self._socket.close(linger_ms)

    def _take(self, part: zmq.Frame) -> list[bytes] | None:
        """A frame by its first part; None when it has too many parts (then it is thrown away).

        Each part knows whether another one follows; to ask the socket after each takes three times as long as a part.
        """
        receive = self._socket.recv
        parts = [part.bytes]
        while part.more:
            part = receive(_NOBLOCK, False)
            parts.append(part.bytes)
            if len(parts) > FRAME_PARTS_MAX:
                while part.more:
                    part = receive(_NOBLOCK, False)
                self.refused += 1
                return None
        return parts

    def _put(self, parts: Sequence[bytes]) -> bool:
        """Sends all parts or none: ZeroMQ decides on the first part whether it takes a frame."""
        socket = self._socket
        last = len(parts) - 1
        try:
            for i, part in enumerate(parts):
                socket.send(part, _MORE if i < last else _NOBLOCK, copy=len(part) < ZERO_COPY_BYTES)
        except zmq.Again:
            self.dropped += 1
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH and not self.closed:
                raise
            self.dropped += 1
            return False
        return True


class Router(_Socket):
    """Binds to endpoints and exchanges frames with many peers, each named by its identity.

    ``endpoints`` become the bound addresses (a port 0 is replaced by the port that was chosen). ConfigError when an
    address is taken or cannot be bound.

    ZeroMQ ends its process when it has no descriptor for a local (ipc) connection that it accepts; over TCP it goes on.
    So local addresses are taken back while descriptors are few: whoever is connected stays, others try again.
    """

    def __init__(self, *endpoints: str, context: zmq.Context[zmq.Socket[bytes]] | None = None) -> None:
        super().__init__(zmq.ROUTER, context)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # Never hand an identity over: whoever guesses it would take over its owner's frames.
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
        self._socket.setsockopt(zmq.BACKLOG, 1024)
        self.endpoints: list[str] = []
        self._withdrawn: list[str] = []
        try:
            for endpoint in endpoints:
                self.endpoints.append(self._bind(endpoint))
        except BaseException:
            self.close(0)
            raise

    def _bind(self, endpoint: str) -> str:
        self._socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise ConfigError(
                    f"{endpoint} is in use: stop what listens there, or choose another address with --listen"
                ) from error
            raise ConfigError(f"cannot listen on {endpoint}: {error.strerror or error}") from error
        return bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    def mind_descriptors(self) -> None:
        """Takes local addresses back while descriptors are few, and offers them again when there are enough."""
        local = [endpoint for endpoint in self.endpoints if endpoint.startswith("ipc://")]
        if not local or self.closed:
            return
        left = descriptors_left()
        if left < DESCRIPTORS_SPARE and not self._withdrawn:
            for endpoint in local:
                self._socket.unbind(endpoint)
            self._withdrawn = local
        elif left >= 2 * DESCRIPTORS_SPARE and self._withdrawn:
            for endpoint in self._withdrawn:
                self._socket.bind(endpoint)
            self._withdrawn = []

    def recv_many(self, limit: int = DRAIN_FRAMES_MAX) -> list[Frame]:
        """At most ``limit`` frames that have arrived, each with its sender."""
        frames: list[Frame] = []
        receive = self._socket.recv
        try:
            for count in range(1, limit + 1):
                parts = self._take(first := receive(_NOBLOCK, False))
                frames.append((first.bytes, parts[1:] if parts else []))
                if count <= _ASKED_FRAMES and not self.readable():
                    break
        except zmq.Again:
            pass
        return frames

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        """False when the peer is unknown or gone, or its queue is full; nothing was sent then."""
        return self._put([peer, *parts])


class Dealer(_Socket):
    """Connects to one router under an identity, fresh and random unless given, and reconnects by itself.

    After long silence (a half-dead connection may still hold the identity at the router) make a new dealer.
    """

    def __init__(
        self, endpoint: str, identity: bytes = b"", *, context: zmq.Context[zmq.Socket[bytes]] | None = None
    ) -> None:
        super().__init__(zmq.DEALER, context)
        self.identity = identity or b"p" + os.urandom(9).hex().encode()
        self.endpoint = endpoint
        self._socket.setsockopt(zmq.ROUTING_ID, self.identity)
        self._socket.setsockopt(zmq.RECONNECT_IVL, SOCKET_RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, SOCKET_RECONNECT_MAX_MS)
        self._socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close(0)
            raise ConfigError(f"cannot connect to {endpoint!r}: {error.strerror or error}") from error

    def wait_connected(self, timeout_ms: int) -> bool:
        """Waits until the connection stands (before that, every send is answered with False)."""
        return bool(self._socket.poll(timeout_ms, zmq.POLLOUT))

    def recv_many(self, limit: int = DRAIN_FRAMES_MAX) -> list[Frame]:
        """At most ``limit`` frames that have arrived; the peer is always b""."""
        frames: list[Frame] = []
        receive = self._socket.recv
        try:
            for count in range(1, limit + 1):
                frames.append((b"", self._take(receive(_NOBLOCK, False)) or []))
                if count <= _ASKED_FRAMES and not self.readable():
                    break
        except zmq.Again:
            pass
        return frames

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        """False when there is no connection or its queue is full; nothing was sent then. ``peer`` is b""."""
        return self._put(parts)


def close_context() -> None:
    """Ends this process's ZeroMQ threads; waits for lingering frames. Call once, after all sockets are closed."""
    zmq.Context.instance().term()
