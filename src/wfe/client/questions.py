"""Questions under way: what is sent, sent again after growing pauses, and given up at its deadline.

Sans-IO. A question is repeated byte for byte under its number, but for starts, which say ``resent``.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import structs

from wfe.client.starts import StartBatch
from wfe.errors import Disconnected, InvalidInput, WfeError
from wfe.limits import REQUEST_RESEND_MS
from wfe.wire.frames import decode_header, encode_header
from wfe.wire.messages import Welcome

NEVER = 1 << 62
PAUSE_MAX_MS = 8_000

Served = tuple[int, int, int]
"""A shard, its epoch, and a partition that it serves, or -1 for the shard itself."""
Done = Callable[[bytes | None, WfeError | None], None]

_encode = msgspec.msgpack.Encoder().encode
_UNENCODABLE = (TypeError, ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError)


def resend_ms(attempt: int) -> int:
    """The pause after the n-th send without any answer."""
    return min(REQUEST_RESEND_MS << min(attempt - 1, 4), PAUSE_MAX_MS)


def pause_ms(retry_after_ms: int, attempt: int) -> int:
    """The pause after the server said "not now" to the n-th send: what it asked for, doubled each time."""
    return min(max(retry_after_ms, 10) << min(max(attempt - 1, 0), 4), PAUSE_MAX_MS)


def _ignore(body: bytes | None, error: WfeError | None) -> None:
    """Starts are answered through their batch."""


class Request:
    """A question under way. ``timeout_ms`` None: no deadline; it counts from the first send."""

    __slots__ = (
        "attempt",
        "body",
        "deadline_ms",
        "done",
        "due_ms",
        "head",
        "id",
        "last_error",
        "patient",
        "timeout_ms",
    )

    def __init__(self, id: int, head: bytes, body: bytes, done: Done, timeout_ms: int | None, patient: bool) -> None:
        self.id, self.head, self.body, self.done = id, head, body, done
        self.timeout_ms, self.patient = timeout_ms, patient
        self.deadline_ms = NEVER
        self.due_ms = 0
        self.attempt = 0
        self.last_error: WfeError | None = None

    def encoded(self) -> bytes:
        """The body as it leaves now."""
        return self.body

    def overdue(self, refused: WfeError | None) -> WfeError:
        """The answer once the deadline is over: why the server put it off, or refuses to speak with us, if it does."""
        seconds = (self.timeout_ms or 0) / 1000
        return self.last_error or refused or Disconnected(f"no answer from the server within {seconds:g} s")


class StartRequest(Request):
    """One START frame for a partition: ``indices`` of a batch that are still open."""

    __slots__ = ("batch", "indices", "partition")

    def __init__(
        self, id: int, partition: int, head: bytes, batch: StartBatch, indices: list[int], timeout_ms: int | None
    ) -> None:
        super().__init__(id, head, b"", _ignore, timeout_ms, True)
        self.batch, self.indices, self.partition = batch, indices, partition

    def encoded(self) -> bytes:
        runs = [self.batch.runs[index] for index in self.indices]
        if self.attempt > 1:
            for run in runs:
                run.resent = True
        try:
            return _encode(runs)
        except _UNENCODABLE:
            self._refuse_unencodable()
            return _encode([self.batch.runs[index] for index in self.indices])

    def _refuse_unencodable(self) -> None:
        """Ends the starts that have no encoding, so that the others of the frame go on."""
        indices, self.indices = self.indices, []
        for index in indices:
            try:
                _encode(self.batch.runs[index])
            except _UNENCODABLE as error:
                self.batch.answered(index, InvalidInput(f"this start has no encoding: {error}"))
            else:
                self.indices.append(index)

    def narrow(self, number: int, indices: list[int]) -> None:
        """Only these are to be tried again: under another number, for the larger frame may be answered once more."""
        self.id, self.indices = number, indices
        self.head = encode_header(structs.replace(decode_header(self.head), request=number))


def served_by(welcome: Welcome) -> set[Served]:
    """Who serves what: a question to a partition for which this has something new may have been lost."""
    return {(each.index, each.epoch, p) for each in welcome.shards if each.up for p in (-1, *each.partitions)}
