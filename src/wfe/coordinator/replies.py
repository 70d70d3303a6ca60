"""Answers as frames: a reply, or a typed error that the other side raises under the same name."""

from __future__ import annotations

from typing import Any

import msgspec

from wfe.errors import Busy, InvalidInput, WfeError
from wfe.wire.frames import Kind, header
from wfe.wire.messages import ErrorReply

_encode = msgspec.msgpack.Encoder().encode


def reply(request: int, body: Any) -> list[bytes]:
    """The answer to a request."""
    return [header(Kind.REPLY, request=request), _encode(body)]


def error_reply(request: int, error: WfeError, retry_after_ms: int = 0) -> list[bytes]:
    """A typed error as the answer to a request (0: to a frame whose header could not be read)."""
    if isinstance(error, Busy):
        retry_after_ms = retry_after_ms or int(error.retry_after_s * 1000)
    path = error.path if isinstance(error, InvalidInput) else ""
    return [header(Kind.ERROR, request=request), _encode(ErrorReply(error.code, str(error), path, retry_after_ms))]
