"""What the server answers, checked: an `ErrorReply` becomes the exception whose ``code`` it carries.

Decoders of frames that nobody awaits also raise what `model.malformed` lists: the session ignores such frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from wfe.errors import BY_CODE, Busy, DefinitionError, InvalidInput, ProtocolError, RequestError, RetryAfter, WfeError
from wfe.limits import PARTITIONS_MAX
from wfe.model.ids import is_run_id
from wfe.model.malformed import MALFORMED
from wfe.wire.messages import ErrorReply, RunOutcome, StartOutcome, Welcome

decode_error = msgspec.msgpack.Decoder(ErrorReply).decode
decode_outcomes = msgspec.msgpack.Decoder(list[RunOutcome]).decode
_decode_started = msgspec.msgpack.Decoder(list[StartOutcome]).decode
_decode_welcome = msgspec.msgpack.Decoder(Welcome).decode

_Body = TypeVar("_Body")


def decoder_of(kind: type[_Body]) -> Callable[[bytes], _Body]:
    """A decoder of answers to questions. ProtocolError when a server answers something else."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def checked(body: bytes) -> _Body:
        try:
            return decode(body)
        except MALFORMED as error:
            raise ProtocolError(f"the server's answer is malformed: {error}") from error

    return checked


def started_of(body: bytes) -> list[StartOutcome]:
    """The answers to starts; their run ids are ids, for frames go where an id says."""
    outcomes = _decode_started(body)
    for outcome in outcomes:
        if outcome.error is None and not is_run_id(outcome.run_id):
            raise ProtocolError(f"the server names a run {outcome.run_id[:100]!r}")
    return outcomes


def welcome_of(body: bytes) -> Welcome:
    """A WELCOME that a client can spread its starts by."""
    welcome = _decode_welcome(body)
    if not 1 <= welcome.partitions <= PARTITIONS_MAX:
        raise ProtocolError(f"the server says that it has {welcome.partitions} partitions")
    return welcome


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
