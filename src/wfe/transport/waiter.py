"""Waiting for several sockets on a plain thread, and being woken by others: what a loop without asyncio needs."""

from __future__ import annotations

import os

import zmq

from wfe.transport.sockets import _Socket


class Waiter:
    """Waits until a socket is readable or somebody calls `wake`. ``wake`` may be called from any thread."""

    def __init__(self, *sockets: _Socket) -> None:
        self._poller = zmq.Poller()
        for socket in sockets:
            self._poller.register(socket._socket, zmq.POLLIN)
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._poller.register(self._read, zmq.POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Returns when there is something to take, or the time is over."""
        for source, _ in self._poller.poll(timeout_ms):
            if source == self._read:
                try:
                    os.read(self._read, 4096)
                except BlockingIOError:
                    continue

    def wake(self) -> None:
        """End the current or the next `wait`."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wakes already

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
