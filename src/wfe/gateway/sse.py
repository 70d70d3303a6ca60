"""Server-sent events: a response that is written as fast as its reader takes it, and no faster.

One event at a time is asked for, so a slow reader holds what it has in its socket and nothing here. Invariants: a
reader that takes nothing for `STREAM_STALL_S` is cut off; one that is gone ends the stream at once; a silent stream
sends a comment every `STREAM_BEAT_S`, so that proxies keep it and dead readers are noticed; all end as whole answers
when the gateway stops. The format is the HTML standard's (server-sent events, section 9.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from wfe.errors import WfeError
from wfe.gateway.problems import problem_of
from wfe.gateway.slots import Slots
from wfe.limits import STREAM_BEAT_S, STREAM_STALL_S
from wfe.observe import get_logger

MEDIA_TYPE = "text/event-stream"
_log = get_logger("gateway")
_BEAT = b": still here\n\n"
T = TypeVar("T")


def message(data: Any, *, id: str | None = None, event: str | None = None) -> bytes:
    """One event with a JSON document, which is one line: nothing in it can begin another field."""
    head = f"id: {id}\n" if id is not None else ""
    kind = f"event: {event}\n" if event is not None else ""
    return f"{head}{kind}data: ".encode() + msgspec.json.encode(data) + b"\n\n"


class EventStream(Response[Any]):
    """Writes the chunks of ``source``, in one of the places. Busy when there is none."""

    def __init__(self, source: Callable[[], AsyncGenerator[bytes, None]], slots: Slots) -> None:
        slots.check()
        super().__init__(None, media_type=MEDIA_TYPE, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._source, self._slots = source, slots

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **options: Any) -> ASGIResponse:
        """Litestar's way from a response to the wire."""
        headers = {**(options.get("headers") or {}), **self.headers}
        return _Streaming(self._source, self._slots, headers)


class _Streaming(ASGIResponse):
    _should_set_content_length = False

    def __init__(
        self, source: Callable[[], AsyncGenerator[bytes, None]], slots: Slots, headers: dict[str, str]
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers=headers)
        self._source, self._slots = source, slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._slots.unless_ending(_disconnected(receive)))
        chunks = self._source()
        try:
            with self._slots.one():
                await self.start_response(send)
                await _pump(chunks, send, gone)
                if self._slots.ending.is_set():
                    await _sent(send, b"")
        finally:
            gone.cancel()


async def _pump(chunks: AsyncGenerator[bytes, None], send: Send, gone: asyncio.Future[None]) -> None:
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while not gone.done():
            upcoming = upcoming or asyncio.ensure_future(_next(chunks))
            either: set[asyncio.Future[Any]] = {upcoming, gone}
            await asyncio.wait(either, timeout=STREAM_BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            chunk = _BEAT
            if upcoming.done():
                chunk, upcoming = _result(upcoming), None
            if not await _sent(send, chunk):
                return
            if not chunk:
                return
    finally:
        if upcoming is not None:
            upcoming.cancel()
            with suppress(asyncio.CancelledError, WfeError):
                await upcoming
        await chunks.aclose()


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes:
    """The next chunk; empty at the end."""
    return await anext(chunks, b"")


def _result(done: asyncio.Future[bytes]) -> bytes:
    """An error in the midst of a stream is its last event: the status has been sent long ago."""
    error = done.exception()
    if isinstance(error, Exception):
        if not isinstance(error, WfeError):
            _log.error("a stream met a defect", exc_info=error)
        return message(problem_of(error), event="error")
    return done.result()


async def _sent(send: Send, chunk: bytes) -> bool:
    """False: the reader took nothing for too long."""
    try:
        async with asyncio.timeout(STREAM_STALL_S):
            await send({"type": "http.response.body", "body": chunk, "more_body": bool(chunk)})
    except TimeoutError:
        return False
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
