"""The worker's sockets when the system has none to give."""

from __future__ import annotations

import asyncio
import errno

from wfe.wire.messages import ShardEndpoint
from wfe.worker.process import Connections

SHARD = ShardEndpoint(0, 1, "ipc://shard", "tcp://shard", up=True)


class Link:
    """A connection that takes everything."""

    def __init__(self, address: str) -> None:
        self.address, self.sent, self.closed = address, list[list[bytes]](), False

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        self.sent.append(parts)
        return True

    def close(self) -> None:
        self.closed = True


class System:
    """Gives connections, or refuses them for want of descriptors."""

    def __init__(self) -> None:
        self.refuses = False
        self.links: list[Link] = []

    def connect(self, loop: object, address: str, on_frames: object) -> Link:
        if self.refuses:
            raise OSError(errno.EMFILE, "Too many open files")
        self.links.append(Link(address))
        return self.links[-1]


async def test_a_connection_for_which_there_are_no_descriptors_is_opened_once_there_are_some() -> None:
    system = System()
    connections = Connections(asyncio.get_running_loop(), system.connect, local=True)
    system.refuses = True
    connections.open(0, SHARD)
    assert not connections.send(0, [b"hello"])
    system.refuses = False
    assert connections.send(0, [b"hello"])
    assert [(link.address, link.sent) for link in system.links] == [("ipc://shard", [[b"hello"]])]


async def test_a_connection_that_was_closed_stays_closed() -> None:
    system = System()
    connections = Connections(asyncio.get_running_loop(), system.connect, local=False)
    system.refuses = True
    connections.open(0, SHARD)
    connections.close(0)
    system.refuses = False
    assert not connections.send(0, [b"hello"])
    assert system.links == []
