"""A TCP proxy between a remote worker and its server that delays, starves, halves and breaks connections.

The server tells workers where its shards listen. So that these connections lead through here as well, the proxy opens
a port for each shard's and puts its number in place of the shard's into what passes: both have five digits, so frames
keep their lengths.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from contextlib import suppress

CHUNK_BYTES = 16_384
SHARD = re.compile(rb"tcp://127\.0\.0\.1:(\d{5})")
ADDRESS_BYTES = len(b"tcp://127.0.0.1:12345")
MOODS = ("fair", "slow", "mute", "half", "deaf")
"""fair: passes everything on. slow: every piece late, in order. mute, deaf: swallows what the server, or the worker,
says. half: half of a piece, then the connection is reset: the middle of a frame, most of the time."""


class Proxy:
    """Listens on ``address`` and leads to ``target``. ``mood`` holds for what passes from now on; `cut` ends all."""

    def __init__(self, target: str, dice: random.Random) -> None:
        self._target = int(target.rpartition(":")[2])
        self._dice = dice
        self._servers: dict[int, asyncio.Server] = {}
        self._ports: dict[int, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.mood = "fair"
        self.counts: Counter[str] = Counter()
        """``connections``, ``cuts``, and how many pieces passed in each mood."""

    async def open(self) -> None:
        await self._listen(self._target)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._ports[self._target]}"

    def cut(self) -> None:
        """Resets every connection."""
        for writer in self._writers:
            _reset(writer)
        self.counts["cuts"] += 1

    async def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, port: int) -> int:
        """The port here that leads to that one."""
        if port not in self._ports:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with suppress(asyncio.CancelledError):  # `close` ends it: nobody above wants to hear of that
                    await self._serve(port, reader, writer)

            server = await asyncio.start_server(serve, sock=_five_digits())
            self._servers[port] = server
            self._ports[port] = server.sockets[0].getsockname()[1]
        return self._ports[port]

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.counts["connections"] += 1
        try:
            there, onwards = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            _reset(writer)
            self._tasks.discard(task)
            return
        self._writers |= {writer, onwards}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, onwards, from_server=False))
                both.create_task(self._pass_on(there, writer, from_server=True))
        except* (OSError, EOFError):
            pass  # one side is gone: the other hears of it below
        finally:
            self._writers -= {writer, onwards}
            _reset(writer)
            _reset(onwards)
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        swallowing = False
        while data := await reader.read(CHUNK_BYTES):
            if from_server:
                data = await self._redirected(data, reader)
            mood = self.mood
            self.counts[mood] += 1
            # Bytes that were swallowed leave a gap, behind which nothing makes sense: this direction stays shut.
            swallowing = swallowing or mood == ("mute" if from_server else "deaf")
            if swallowing:
                continue
            if mood == "slow":
                await asyncio.sleep(self._dice.uniform(0.02, 0.3))
            if mood == "half" and self._dice.random() < 0.3:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                raise EOFError
            writer.write(data)
            await writer.drain()
        raise EOFError

    async def _redirected(self, data: bytes, reader: asyncio.StreamReader) -> bytes:
        """The same bytes with the shards' ports replaced by ports of this proxy."""
        tail = data.rfind(b"tcp://", max(0, len(data) - ADDRESS_BYTES + 1))
        if tail >= 0 and SHARD.match(data, tail) is None:
            with suppress(asyncio.IncompleteReadError):
                data += await reader.readexactly(ADDRESS_BYTES - (len(data) - tail))
        for match in SHARD.finditer(data):
            port = await self._listen(int(match[1]))
            data = data[: match.start(1)] + b"%d" % port + data[match.end(1) :]
        return data


def _five_digits() -> socket.socket:
    """A bound socket whose port has five digits."""
    while True:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        if listener.getsockname()[1] >= 10_000:
            return listener
        listener.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: what was not read is lost, as when a machine goes away."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
