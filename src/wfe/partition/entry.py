"""A run in memory: its state, its plan, and what the journal has not taken over yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from wfe.core.evolve import replay
from wfe.core.plan import Plan
from wfe.errors import DataCorrupt
from wfe.model.event import EventChunk, RunEvent
from wfe.model.malformed import MALFORMED
from wfe.model.state import ENDED, RunState

_encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(RunState).decode
_encode_chunk = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(EventChunk).decode

_NONE: Mapping[int, int] = MappingProxyType({})


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
        "chunks", "dirty_at", "events", "leases", "partition", "plan", "reopened", "run", "stored", "unclaimed",
        "writing",
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
        self.reopened = False
        """It had ended, and its store has a row that says so."""
        self.leases: dict[int, Lease] = {}
        self.unclaimed: Mapping[int, int] = _NONE
        """Open attempts by place as of recovery, while workers may still claim them: nobody else gets them."""

    @property
    def ended(self) -> bool:
        return self.run.status in ENDED

    def snapshot(self) -> bytes:
        """The state, encoded."""
        return _encode_state(self.run)


def reopened(partition: int, run: RunState, plan: Plan, chunks: list[tuple[int, bytes]], *, spilled: bool) -> Entry:
    """A run that had ended, as its store has it, and that goes on.

    ``chunks``: its history, which the row of an ended run holds unless it is ``spilled``: that row is going to be
    removed, so whatever is not in rows of its own must be written again.
    """
    entry = Entry(partition, run, plan, stored=spilled)
    entry.reopened = True
    if not spilled:
        entry.chunks = list(chunks)
    return entry


def encode_events(time_ms: int, events: list[RunEvent]) -> bytes:
    """One chunk of a run's history: the bytes in the log are the bytes of the history."""
    return _encode_chunk(EventChunk(time_ms, events))


def decode_events(data: bytes) -> EventChunk:
    """A chunk from the log or the history. DataCorrupt when it is none."""
    try:
        return _decode_chunk(data)
    except MALFORMED as error:
        raise DataCorrupt(f"a chunk of events does not decode: {error}") from error


def decode_state(snapshot: bytes) -> RunState:
    """A run from its snapshot. DataCorrupt when it is none."""
    try:
        return _decode_state(snapshot)
    except MALFORMED as error:
        raise DataCorrupt(f"the snapshot of a run does not decode: {error}") from error


def rebuild(plan: Plan, snapshot: bytes | None, chunks: list[tuple[int, bytes]], extra: list[RunEvent]) -> RunState:
    """The state from a snapshot (None: from the start), the chunks after it, and further events."""
    run = None if snapshot is None else decode_state(snapshot)
    for first_seq, data in chunks:
        if run is None or first_seq > run.seq:
            run = replay(run, plan, decode_events(data).events)
    if extra:
        run = replay(run, plan, extra)
    assert run is not None, "a run without any event"
    return run
