"""Messages between a worker and its child processes: length-prefixed msgpack over one socket pair.

Both ends are of one version and one user, so there is neither a version nor a token; a frame is bounded nevertheless.
"""

from __future__ import annotations

import socket
import struct
import threading

import msgspec
from msgspec import Raw, Struct

from wfe.limits import FRAME_BYTES_MAX
from wfe.wire.messages import NULL, TaskResult, TaskSpec
from wfe.wire.task_logs import LogBatch

_LENGTH = struct.Struct(">I")


class Prepare(Struct, tag="prepare"):
    """First message to a child: where modules are found, and how it logs."""

    sys_path: list[str]
    log_level: str = "info"
    log_format: str = "auto"


class Run(Struct, tag="run"):
    """One attempt; the function is found by name in a module that the child imports (once).

    ``otel``: where spans of its code go (`otel.endpoint_of`).
    """

    module: str
    qualname: str
    file: str
    spec: TaskSpec
    otel: str = ""


class Cancel(Struct, tag="cancel"):
    """The attempt that runs shall stop."""


class Stop(Struct, tag="stop"):
    """Close what is open and exit."""


class Beat(Struct, tag="beat"):
    """A heartbeat of the attempt that runs."""

    details: Raw = NULL
    progress: float = -1.0


class Said(Struct, tag="said"):
    """What the attempt that runs has printed and logged."""

    batches: list[LogBatch]


class Ended(Struct, tag="ended"):
    """The end of the attempt."""

    result: TaskResult


ToChild = Prepare | Run | Cancel | Stop
FromChild = Beat | Said | Ended
_encode = msgspec.msgpack.Encoder().encode
decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode


class Pipe:
    """Whole messages over a connected stream socket. `send` may be called from any thread, `receive` from one."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = threading.Lock()

    def send(self, message: ToChild | FromChild) -> bool:
        """False when the other end is gone."""
        data = _encode(message)
        try:
            with self._sending:
                self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError:
            return False
        return True

    def receive(self) -> bytes | None:
        """The next message, still encoded; None when the other end is gone."""
        head = self._exactly(_LENGTH.size)
        if head is None:
            return None
        (size,) = _LENGTH.unpack(head)
        return self._exactly(size) if size <= 2 * FRAME_BYTES_MAX else None

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            try:
                part = self._socket.recv(min(size - len(data), 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            data += part
        return bytes(data)
