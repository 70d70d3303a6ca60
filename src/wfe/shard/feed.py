"""The events of all runs of this shard as they are committed, for whoever watches right now.

Nothing is kept while nobody watches, and then the latest chunks only, as the bytes that the log got: a bounded ring in
memory, which a reader that is too slow falls out of (``missed``), as does everybody when the shard restarts. Every
`FEED_PAUSE_MS` a few readers, in turn, get a page of bounded length, and a chunk is decoded once for all of them: so
watchers cost a busy shard a small, fixed share, however many there are. Invariant: what is in the ring is durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, structs

from wfe.core.plan import Plan
from wfe.errors import Busy
from wfe.limits import (
    FEED_ANSWERS,
    FEED_BYTES_MAX,
    FEED_DATA_BYTES_MAX,
    FEED_DECODED_BYTES_MAX,
    FEED_IDLE_MS,
    FEED_PAGE_CHUNKS,
    FEED_PAGE_EVENTS,
    FEED_PAUSE_MS,
    FEED_READERS_MAX,
)
from wfe.model.event import EventChunk
from wfe.partition.entry import Entry, decode_events
from wfe.partition.partition import Partition
from wfe.partition.views import history_event
from wfe.shard.core import ShardCore
from wfe.wire.feed import FeedEvent, FeedPage, FeedQuery
from wfe.wire.frames import Header, Kind
from wfe.wire.messages import NULL

FEED_RETRY_S = 1.0


class _Chunk(Struct, gc=False):
    number: int
    run_id: str
    workflow: str
    plan: Plan
    first_seq: int
    data: bytes
    decoded: EventChunk | None = None


class Feed:
    """Handlers by kind, see `Requests`. ``number``: of the last chunk that was committed while somebody watched."""

    def __init__(self, core: ShardCore) -> None:
        self._core = core
        self._ring: deque[_Chunk] = deque()
        self._size = 0
        self._decoded: deque[_Chunk] = deque()
        self._decoded_size = 0
        self._number = 0
        self._asked_ms = 0
        self.watched = False
        """Somebody asked not long ago: what is committed is kept."""
        self._told_ms = 0
        self._readers: dict[tuple[bytes, int], tuple[FeedQuery, int]] = {}
        """Who waits for a page: clients and the numbers of their questions, with the time of the question."""

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {Kind.FEED: (msgspec.msgpack.Decoder(FeedQuery).decode, self._ask)}

    def _ask(self, client: bytes, header: Header, partition: Partition, query: FeedQuery, now_ms: int) -> None:
        if not self.watched:
            self._begin_anew()
        self._asked_ms, self.watched = now_ms, True
        who = (client, header.request)
        self._readers.pop(who, None)
        if query.cursor < 0 or self._missed(query):
            self._core.answer(client, header.request, self._page([], missed=query.cursor >= 0))
            return
        while len(self._readers) >= FEED_READERS_MAX:
            client_before, request = next(iter(self._readers))
            del self._readers[client_before, request]
            message = f"{FEED_READERS_MAX} others watch this shard: ask again"
            self._core.refuse(client_before, request, Busy(message, retry_after_s=FEED_RETRY_S))
        self._readers[who] = (query, now_ms)

    def committed(self, touched: Iterable[Entry]) -> None:
        """These runs have events that are durable now."""
        append, drop = self._ring.append, self._ring.popleft
        number, size = self._number, self._size
        for entry in touched:
            run = entry.run
            first_seq, data = entry.chunks[-1]
            number += 1
            size += len(data)
            append(_Chunk(number, run.id, run.workflow, entry.plan, first_seq, data))
        while size > FEED_BYTES_MAX:
            size -= len(drop().data)
        self._number, self._size = number, size

    def tick(self, now_ms: int) -> None:
        """Answers whoever waits for something that is here; lets go of everything when nobody asks any more."""
        if now_ms - self._asked_ms >= FEED_IDLE_MS:
            self._readers.clear()
            self._begin_anew()
            self.watched = False
            return
        if now_ms - self._told_ms < FEED_PAUSE_MS:
            return
        self._told_ms = now_ms
        told = 0
        for who, (query, _) in list(self._readers.items()):
            if told >= FEED_ANSWERS:
                return
            if self._missed(query):
                page = self._page([], missed=True)
            elif query.cursor < self._number:
                page = self._read(query)
            else:
                continue
            told += 1
            del self._readers[who]
            self._core.answer(who[0], who[1], page)

    def _begin_anew(self) -> None:
        """A number is skipped, so that cursors of before do not seem to go on."""
        self._ring.clear()
        self._decoded.clear()
        self._size = self._decoded_size = 0
        self._number += 1

    def _missed(self, query: FeedQuery) -> bool:
        first = self._ring[0].number if self._ring else self._number + 1
        return query.epoch != self._core.settings.epoch or not first - 1 <= query.cursor <= self._number

    def _page(self, events: list[FeedEvent], *, missed: bool = False, cursor: int | None = None) -> FeedPage:
        settings = self._core.settings
        return FeedPage(settings.index, settings.epoch, self._number if cursor is None else cursor, events, missed)

    def _read(self, query: FeedQuery) -> FeedPage:
        events: list[FeedEvent] = []
        cursor = query.cursor
        offset = cursor + 1 - self._ring[0].number
        types = frozenset(query.types)
        missed = False
        for index in range(offset, min(len(self._ring), offset + FEED_PAGE_CHUNKS)):
            chunk = self._ring[index]
            if not query.workflow or chunk.workflow == query.workflow:
                found = _events_of(chunk, self._decode(chunk), types)
                missed = missed or len(found) > FEED_PAGE_EVENTS
                events += found[:FEED_PAGE_EVENTS]
            cursor = chunk.number
            if len(events) >= FEED_PAGE_EVENTS:
                break
        return self._page(events, missed=missed, cursor=cursor)

    def _decode(self, chunk: _Chunk) -> EventChunk:
        """Once for all readers, unless they are far apart: decoded events are large."""
        if chunk.decoded is None:
            chunk.decoded = decode_events(chunk.data)
            self._decoded.append(chunk)
            self._decoded_size += len(chunk.data)
            while self._decoded_size > FEED_DECODED_BYTES_MAX and len(self._decoded) > 1:
                before = self._decoded.popleft()
                before.decoded = None
                self._decoded_size -= len(before.data)
        return chunk.decoded


def _events_of(chunk: _Chunk, decoded: EventChunk, types: frozenset[str]) -> list[FeedEvent]:
    found: list[FeedEvent] = []
    for place, event in enumerate(decoded.events):
        if len(found) > FEED_PAGE_EVENTS:
            break  # one turn of a net may have very many
        if not types or type(event).__name__ in types:
            words = history_event(chunk.plan, chunk.first_seq + place, decoded.time_ms, event)
            if len(words.data) > FEED_DATA_BYTES_MAX:
                words = structs.replace(words, data=NULL)
            found.append(FeedEvent(chunk.run_id, chunk.workflow, words))
    return found
