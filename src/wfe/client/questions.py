"""Questions under way: what is sent, sent again after growing pauses, and given up at its deadline.

Sans-IO. A question is repeated byte for byte under its number, but for starts, which say ``resent``.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import structs

from wfe.client.replies import error_of
from wfe.client.starts import StartBatch
from wfe.client.watches import Watches
from wfe.errors import Busy, Disconnected, InvalidInput, Unavailable, WfeError
from wfe.limits import BUSY_RETRY_MAX_MS, REQUEST_RESEND_MS
from wfe.wire.frames import decode_header, encode_header
from wfe.wire.messages import StartOutcome, Welcome

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
    """A question under way. ``timeout_ms`` None: no deadline; it counts from the first send.

    ``attempt`` counts sends, ``answers`` how often one of them was put off.
    """

    __slots__ = (
        "answers",
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
        self.attempt = self.answers = 0
        self.last_error: WfeError | None = None

    def encoded(self) -> bytes:
        """The body as it leaves now."""
        return self.body

    @property
    def timeout_s(self) -> float:
        return (self.timeout_ms or 0) / 1000

    def is_overdue(self, now_ms: int) -> bool:
        return self.deadline_ms <= now_ms

    def given_up(self, refused: WfeError | None, connected: bool) -> WfeError:
        """The answer once the deadline is over: why the server put it off, or refuses to speak with us, if it does."""
        return self.last_error or refused or Disconnected(f"no answer from the server within {self.timeout_s:g} s")


class StartRequest(Request):
    """One START frame for a partition: ``indices`` of a batch that are still open.

    The time of a single start counts from the call. That of a bulk one counts from when it was first sent, and anew
    whenever anything of its batch moves.
    """

    __slots__ = ("batch", "indices", "partition")

    def __init__(
        self, id: int, partition: int, head: bytes, batch: StartBatch, indices: list[int], timeout_ms: int | None
    ) -> None:
        super().__init__(id, head, b"", _ignore, timeout_ms, True)
        self.batch, self.indices, self.partition = batch, indices, partition
        if timeout_ms is not None and not batch.bulk:
            self.deadline_ms = batch.moved_ms + timeout_ms

    def encoded(self) -> bytes:
        runs = [self.batch.runs[index] for index in self.indices]
        if self.attempt > 1:  # also after a Busy: a late double of that frame may have been taken, and have ended
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

    def is_overdue(self, now_ms: int) -> bool:
        if self.deadline_ms <= now_ms and self.timeout_ms is not None and self.batch.bulk:
            self.deadline_ms = max(self.deadline_ms, self.batch.moved_ms + self.timeout_ms)
        return self.deadline_ms <= now_ms

    def given_up(self, refused: WfeError | None, connected: bool) -> WfeError:
        """As above; and what is known of the run: that it is not, or nothing, if a send was never answered."""
        if not self.attempt:
            never = f"this start was never sent within {self.timeout_s:g} s, so its run does not exist"
            if not connected:
                return refused or Disconnected(f"{never}: the server cannot be reached")
            return Busy(
                f"{never}: this client has more starts under way than the server takes; wait before the next, "
                "start fewer at a time, or give the client a longer request_timeout_s",
                BUSY_RETRY_MAX_MS / 1000,
            )
        error = super().given_up(refused, connected)
        if self.answers >= self.attempt:
            return error
        unsure = f"{error}; whether the run was started is not known (a start with a key may be repeated safely)"
        return Busy(unsure, error.retry_after_s) if isinstance(error, Busy) else type(error)(unsure)

    def book(self, outcomes: list[StartOutcome], watches: Watches) -> tuple[dict[int, WfeError], int]:
        """Books the answers. What is put off comes back by its index, and the pause that the server asks for in ms."""
        batch, retry_after_ms = self.batch, 1
        put_off: dict[int, WfeError] = {}
        for index, outcome in zip(self.indices, outcomes, strict=True):
            run = batch.runs[index]
            if outcome.error is None:
                if outcome.run_id != run.run_id:
                    if run.watch:
                        watches.rename(run.run_id, outcome.run_id)
                    run.run_id = outcome.run_id
                batch.created[index] = outcome.created
                batch.answered(index, None)
                continue
            error = error_of(outcome.error)
            if isinstance(error, (Busy, Unavailable)):
                put_off[index] = error
                retry_after_ms = max(retry_after_ms, outcome.error.retry_after_ms)
            else:
                batch.refused(index, error, watches)
        return put_off, retry_after_ms

    def narrow(self, number: int, indices: list[int]) -> None:
        """Only these are to be tried again: under another number, for the larger frame may be answered once more."""
        self.id, self.indices = number, indices
        self.head = encode_header(structs.replace(decode_header(self.head), request=number))


def served_by(welcome: Welcome) -> set[Served]:
    """Who serves what: a question to a partition for which this has something new may have been lost."""
    return {(each.index, each.epoch, p) for each in welcome.shards if each.up for p in (-1, *each.partitions)}
