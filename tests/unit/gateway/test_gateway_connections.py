"""Connections whose other side stands still: they end, whatever was begun, and nobody else's does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from wfe.bootstrap.world import new_loop
from wfe.gateway.connections import Connection
from wfe.limits import STREAM_STALL_S

PATIENCE_S = 30
MIB = 1 << 20


class Hasty(Connection):
    request_s = 0.05
    stall_s = 0.05


class App:
    """Answers ``/`` at once, ``/late`` when it is let to, ``/large`` with more than any buffer takes."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        while (await receive()).get("more_body"):
            continue
        if scope["path"] == "/late":
            await self.go.wait()
        body = b"x" * (64 * MIB if scope["path"] == "/large" else 2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=[asyncio.new_event_loop, new_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[App, int, uvicorn.Server]]:
    app = App()
    config = uvicorn.Config(app, http=Hasty, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.ensure_future(server._serve([listener]))
        async with asyncio.timeout(PATIENCE_S):
            try:
                yield app, listener.getsockname()[1], server
            finally:
                app.go.set()
                server.should_exit = True
                await task


async def ends(port: int, sent: bytes) -> bytes:
    """What comes back until the other side ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: here\r\nx-endless: ",
        b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\nonly this",
        b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n5\r\nonly",
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk"],
)
def test_a_request_that_is_not_sent_to_its_end_ends_its_connection(sent: bytes, loop_factory: Any) -> None:
    async def scene() -> None:
        async with serving() as (_, port, _server):
            assert await ends(port, sent) == b""

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scene())


def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(loop_factory: Any) -> None:
    whole = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"

    async def scene() -> None:
        async with serving() as (_, port, _server):
            assert (await ends(port, whole + b"POST / HTTP/1.1\r\nhost: h")).endswith(b"\r\n\r\nxx")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scene())


def test_an_answer_may_take_as_long_as_it_takes(loop_factory: Any) -> None:
    async def scene() -> None:
        async with serving() as (app, port, _server):
            late = asyncio.ensure_future(ends(port, b"GET /late HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"))
            await app.asked.wait()
            assert await ends(port, b"half") == b""  # what counted for the one had time to count for the other
            app.go.set()
            assert (await late).endswith(b"\r\n\r\nxx")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scene())


@pytest.mark.parametrize("close", [b"", b"connection: close\r\n"])
def test_a_reader_that_takes_nothing_loses_its_connection(close: bytes, loop_factory: Any) -> None:
    async def scene() -> None:
        async with serving() as (app, port, server):
            with socket.create_connection(("127.0.0.1", port)) as still:
                still.sendall(b"GET /large HTTP/1.1\r\nhost: here\r\n" + close + b"\r\n")
                await app.asked.wait()
                while server.server_state.connections:
                    await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scene())


class Transport(asyncio.Transport):
    """A transport of which the test says what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.held_bytes = 0
        self.aborted_with: list[int] = []

    def get_write_buffer_size(self) -> int:
        return self.held_bytes

    def abort(self) -> None:
        self.aborted_with.append(self.held_bytes)


class Timers:
    """A loop that only notes what is to happen later."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Any]] = []

    def call_later(self, delay_s: float, callback: Any, *args: Any) -> Timers:
        self.due.append((delay_s, lambda: callback(*args)))
        return self

    def cancel(self) -> None:
        self.due.clear()


def test_strangers_who_connect_beyond_measure_are_not_kept() -> None:
    config = uvicorn.Config(App(), http=Connection, lifespan="off", log_config=None, limit_concurrency=2)
    state, transports = ServerState(), [Transport() for _ in range(6)]
    for transport in transports:
        made = Connection(config, state, {}, _loop=Timers())  # type: ignore[arg-type]
        made.connection_made(transport)
        if transport.aborted_with:
            made.connection_lost(ConnectionAbortedError())
    assert [len(transport.aborted_with) for transport in transports] == [0, 0, 0, 0, 1, 1]


def test_a_reader_that_takes_a_little_of_it_keeps_its_connection() -> None:
    config = uvicorn.Config(App(), http=Connection, lifespan="off", log_config=None)
    timers, transport = Timers(), Transport()
    connection = Connection(config, ServerState(), {}, _loop=timers)  # type: ignore[arg-type]
    connection.connection_made(transport)
    timers.due.clear()
    transport.held_bytes = 100_000
    connection.pause_writing()
    for held_bytes in (99_999, 70_000, 30_000):
        transport.held_bytes = held_bytes
        ((delay_s, look),) = timers.due
        assert delay_s == STREAM_STALL_S
        timers.due.clear()
        look()
    ((_, look),) = timers.due
    look()
    assert transport.aborted_with == [30_000], "once it took nothing, and not before"
    timers.due.clear()
    connection.pause_writing()
    connection.resume_writing()
    assert timers.due == []
