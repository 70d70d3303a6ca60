"""A connection of the HTTP server: uvicorn's, which also ends when its other side stands still.

uvicorn waits for ever for a request that is not sent to its end, and for a reader that takes nothing of an answer.
A thousand such connections would be all that there are. Invariants: a request has `HTTP_REQUEST_S` from its first byte
(the first one: from the connection) to its last; what a reader leaves untouched for `STREAM_STALL_S` is thrown away
with the connection; a slow answer of ours, or a reader that takes something, is cut off by neither.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from wfe.limits import HTTP_REQUEST_S, STREAM_STALL_S

CONNECTED_FACTOR = 2
"""Connections above what uvicorn serves hear 503 when they ask; above so many times that they hear nothing, so that
strangers who ask nothing do not use up this process's descriptors."""


class Connection(H11Protocol):
    """``request_s``, ``stall_s``: the two limits, in seconds."""

    request_s = HTTP_REQUEST_S
    stall_s = STREAM_STALL_S
    _overdue: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        served = self.config.limit_concurrency
        if served is not None and len(self.connections) > CONNECTED_FACTOR * served:
            transport.abort()
        else:
            self._watch_request()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._overdue)
        _cancel(self._stalled)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_request()
        self._watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._stalled)
        self._stalled = None

    def _watch_request(self) -> None:
        if not self._is_sending():
            _cancel(self._overdue)
            self._overdue = None
        elif self._overdue is None:
            self._overdue = self.loop.call_later(self.request_s, self.transport.abort)

    def _is_sending(self) -> bool:
        """Whether we wait for the rest of a request. Between two of them the keep-alive time counts."""
        state = self.conn.their_state
        if state is h11.IDLE:
            return self.cycle is None or bool(self.conn.trailing_data[0])
        return state is h11.SEND_BODY

    def _watch_reader(self) -> None:
        """A transport that closes waits for its buffer to be taken, so this goes on after the last answer, too."""
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes and self._stalled is None:
            self._stalled = self.loop.call_later(self.stall_s, self._look, left_bytes)

    def _look(self, before_bytes: int) -> None:
        self._stalled = None
        if self.transport.get_write_buffer_size() >= before_bytes:
            self.transport.abort()
        else:
            self._watch_reader()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
