"""A run in memory: its state, its plan, and what the journal has not taken over yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
from msgspec import Raw

from wfe.core.evolve import replay
from wfe.core.plan import Plan
from wfe.errors import DataCorrupt
from wfe.model.blob import names_needed
from wfe.model.event import EventChunk, RunEvent
from wfe.model.malformed import MALFORMED
from wfe.model.state import ENDED, RunState
from wfe.model.tables import NOTHING, share_empties

_encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(RunState).decode
encode_events: Callable[[tuple[int, list[RunEvent]]], bytes] = msgspec.msgpack.Encoder().encode
"""One chunk of a run's history, of its time in ms and its events, as an `EventChunk` is encoded (which would have to be
made first): the bytes in the log are the bytes of the history."""
_decode_chunk = msgspec.msgpack.Decoder(EventChunk).decode

_NONE: Mapping[int, int] = MappingProxyType({})
_NO_BLOBS: frozenset[bytes] = frozenset()


class Lease(msgspec.Struct, eq=False):
    """An attempt in a worker's hands. Memory only: after a crash workers present what they hold."""

    entry: Entry
    key: int
    attempt: int
    worker: str
    dispatched_ms: int
    followed_us: int = 0
    """When it was dispatched, if it is one of those whose stages are measured."""
    previous: msgspec.Raw | None = None
    """What the task's last heartbeat left."""


class Entry:
    """``events``: of the batch that is being made. ``chunks``: committed, not checkpointed yet, as (first_seq, bytes).

    ``dirty_at``: the log position of the oldest of them (0: none); ``stored``: an open row is in the store.
    ``writing``: chunks that a checkpoint step in flight takes over.
    """

    __slots__ = (
        "chunks", "dirty_at", "events", "home", "leases", "partition", "plan", "reopened", "run", "stored",
        "stored_blobs", "unclaimed", "writing",
    )  # fmt: skip

    def __init__(self, partition: int, run: RunState, plan: Plan, *, stored: bool = False) -> None:
        self.partition = partition
        self.run = run
        self.plan = plan
        self.events: list[RunEvent] = []
        self.chunks: list[tuple[int, bytes]] = []
        self.dirty_at = 0
        self.stored = stored
        self.writing = 0
        self.stored_blobs = frozenset(run.blobs) if stored else _NO_BLOBS
        """Names of the blobs that the store holds."""
        self.reopened = False
        """It had ended, and its store has a row that says so."""
        self.home = ""
        """The worker that has the coroutine of a durable function, as far as is known."""
        self.leases: dict[int, Lease] = {}
        self.unclaimed: Mapping[int, int] = _NONE
        """Open attempts by place as of recovery, while workers may still claim them: nobody else gets them."""

    @property
    def ended(self) -> bool:
        return self.run.status in ENDED

    def snapshot(self) -> bytes:
        """The state, encoded but for its blobs, which have rows of their own."""
        run = self.run
        if not run.blobs:
            return _encode_state(run)
        blobs, run.blobs = run.blobs, NOTHING
        try:
            return _encode_state(run)
        finally:
            run.blobs = blobs

    def settle_blobs(self, snapshot: bytes) -> tuple[list[bytes], list[bytes]]:
        """Forgets blobs that the state refers to no more: names of those to be stored, and of those to be removed."""
        run, known = self.run, self.stored_blobs
        live = names_needed(snapshot, run.blobs)
        run.blobs = {name: run.blobs[name] for name in live} or NOTHING
        self.stored_blobs = frozenset(live)
        return [name for name in live if name not in known], [name for name in known if name not in live]


def reopened(partition: int, run: RunState, plan: Plan, chunks: list[tuple[int, bytes]], *, spilled: bool) -> Entry:
    """A run that had ended, as its store has it, and that goes on.

    ``chunks``: its history, which the row of an ended run holds unless it is ``spilled``: that row is going to be
    removed, so whatever is not in rows of its own must be written again.
    """
    entry = Entry(partition, run, plan, stored=spilled)
    entry.reopened = True
    entry.stored_blobs = frozenset(run.blobs)
    if not spilled:
        entry.chunks = list(chunks)
    return entry


def decode_events(data: bytes) -> EventChunk:
    """A chunk from the log or the history. DataCorrupt when it is none."""
    try:
        return _decode_chunk(data)
    except MALFORMED as error:
        raise DataCorrupt(f"a chunk of events does not decode: {error}") from error


def decode_state(snapshot: bytes, blobs: Mapping[bytes, bytes] = {}) -> RunState:
    """A run from its snapshot and its blobs. DataCorrupt when it is none."""
    try:
        run = _decode_state(snapshot)
    except MALFORMED as error:
        raise DataCorrupt(f"the snapshot of a run does not decode: {error}") from error
    share_empties(run)
    if blobs:
        run.blobs = {name: Raw(data) for name, data in blobs.items()}
    return run


def rebuild(
    plan: Plan,
    snapshot: bytes | None,
    chunks: list[tuple[int, bytes]],
    extra: list[RunEvent],
    blobs: Mapping[bytes, bytes] = {},
) -> RunState:
    """The state from a snapshot (None: from the start) and its blobs, the chunks after it, and further events."""
    run = None if snapshot is None else decode_state(snapshot, blobs)
    for first_seq, data in chunks:
        if run is None or first_seq > run.seq:
            run = replay(run, plan, decode_events(data).events)
    if extra:
        run = replay(run, plan, extra)
    assert run is not None, "a run without any event"
    return run
