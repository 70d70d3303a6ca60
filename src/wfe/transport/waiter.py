"""Waiting for several sockets at once in a plain loop (a shard's), with a wake-up that other threads may call.

An eventless socket is looked at through ZeroMQ's own poll, which knows about the edge-triggered descriptors: frames
that a bounded turn left behind end the next wait at once.
"""

from __future__ import annotations

import os
import threading
import time

import zmq

from wfe.limits import DESCRIPTORS_LOOK_MS
from wfe.transport.sockets import Dealer, Router


class Waiter:
    """`wait` belongs to the loop's thread, `wake` to any. A wake-up before a wait ends that wait at once; one after
    `close` does nothing (the numbers of the pipe may be another file's by then).
    """

    def __init__(self, *sockets: Router | Dealer) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._closing = threading.Lock()
        self._closed = False
        self._poller = zmq.Poller()
        self._poller.register(self._read_fd, zmq.POLLIN)
        self._sockets = {socket.register(self._poller): socket for socket in sockets}
        self._look_s = 0.0

    def wait(self, timeout_ms: int) -> list[Router | Dealer]:
        """Until a frame waits, somebody calls `wake`, or the time is over (below zero counts as zero).

        Gives the sockets with frames: to find out by receiving that there are none costs as much as a few frames.
        """
        if (now_s := time.monotonic()) >= self._look_s:
            self._look_s = now_s + DESCRIPTORS_LOOK_MS / 1_000
            for socket in self._sockets.values():
                socket.mind_descriptors()
        ready = []
        for source, _ in self._poller.poll(max(0, timeout_ms)):
            if source == self._read_fd:
                os.read(self._read_fd, 4_096)
            else:
                ready.append(self._sockets[source])
        return ready

    def wake(self) -> None:
        """Ends the present wait, or the next one."""
        with self._closing:
            if self._closed:
                return
            try:
                os.write(self._write_fd, b"\0")
            except BlockingIOError:
                return  # the pipe is full of wake-ups already

    def close(self) -> None:
        """Idempotent."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._read_fd)
                os.close(self._write_fd)
