"""Typed errors from the wire: an `ErrorReply` becomes the exception whose ``code`` it carries."""

from __future__ import annotations

from wfe.errors import BY_CODE, Busy, DefinitionError, InvalidInput, RequestError, RetryAfter, WfeError
from wfe.wire.messages import ErrorReply


def error_of(reply: ErrorReply) -> WfeError:
    """The exception for an error from the server; an unknown code (a newer server's) is a `RequestError` naming it."""
    kind = BY_CODE.get(reply.code)
    if kind is None or issubclass(kind, RetryAfter):
        return RequestError(f"{reply.code}: {reply.message}")
    if issubclass(kind, InvalidInput):
        return InvalidInput(reply.message, reply.path or "$")
    if issubclass(kind, Busy):
        return Busy(reply.message, (reply.retry_after_ms or 100) / 1000)
    if issubclass(kind, DefinitionError):
        return DefinitionError(reply.message.split("\n"))
    return kind(reply.message)
