"""The events of all runs, as the shards commit them: one long poll per shard, merged. A part of the client.

Invariants: a consumer that is slow is asked for nothing: the polls wait for it, and shards keep only so much; what it
missed is said (``missed``), never passed over. Events of a run come in order, but for a moment after its partition has
moved, when two shards tell of it. A cursor names a place in every shard, so that a stream can be resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from msgspec import structs

from wfe.client.connection import Connection
from wfe.client.polls import RETRY_S, NoPartition, ask_shard, merged, shards_of
from wfe.client.replies import decoder_of
from wfe.client.views import HistoryItem, history_item
from wfe.errors import Disconnected, InvalidInput, Unavailable
from wfe.limits import PARTITIONS_MAX
from wfe.wire.feed import FeedPage, FeedQuery
from wfe.wire.frames import Kind

_decode_page = decoder_of(FeedPage)


@dataclass(frozen=True, slots=True)
class FeedItem:
    """An event of some run. Without one it only moves the cursor; ``missed``: there were others, which are gone.

    ``cursor``: resumes behind this event, or a few before it: then some come twice, under the same numbers.
    """

    cursor: str
    run_id: str = ""
    workflow: str = ""
    event: HistoryItem | None = None
    missed: bool = False


class Places:
    """How far each shard was read, as text ``shard.epoch.number`` separated by commas."""

    def __init__(self, text: str = "") -> None:
        self.of: dict[int, tuple[int, int]] = {}
        for part in text.split(",") if text else ():
            numbers = part.split(".")
            if len(numbers) != 3 or not all(n.isascii() and n.isdecimal() and len(n) < 19 for n in numbers):
                raise InvalidInput("that is no place in the events: pass the id of one", "cursor")
            shard, epoch, number = map(int, numbers)
            self.of[shard] = (epoch, number)
        if len(self.of) > PARTITIONS_MAX:
            raise InvalidInput("there are not so many shards", "cursor")

    def text(self) -> str:
        return ",".join(f"{shard}.{epoch}.{number}" for shard, (epoch, number) in sorted(self.of.items()))


class Feeding:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def feed(
        self, *, after: str = "", types: Iterable[str] = (), workflow: str | None = None
    ) -> AsyncGenerator[FeedItem, None]:
        """Events of all runs from now on, or behind the cursor of an earlier item. Endless.

        ``types``: names of events (``RunEnded``). Large data is left out. InvalidInput for a cursor that is none.
        """
        async with aclosing(self.feed_pages(after=after, types=types, workflow=workflow)) as pages:
            async for page in pages:
                for item in page:
                    yield item

    async def feed_pages(
        self, *, after: str = "", types: Iterable[str] = (), workflow: str | None = None
    ) -> AsyncGenerator[list[FeedItem], None]:
        """`feed`, by the page of a shard: the last item of each moves the cursor on."""
        places = Places(after)
        shards = shards_of(self._open())
        places.of = {index: place for index, place in places.of.items() if index in shards}
        wanted = list(types)
        queries = {index: FeedQuery(-1, 0, wanted, workflow or "") for index in sorted(shards)}
        for index, (epoch, number) in places.of.items():
            queries[index] = FeedQuery(number, epoch, wanted, workflow or "")
        polls = [self._poll(index, shards, query) for index, query in queries.items()]
        async with aclosing(merged(polls, ahead=True)) as pages:
            async for page in pages:
                # A reader that is cut off within a page gets the page again.
                before = places.text()
                items = [
                    FeedItem(before, found.run_id, found.workflow, history_item(found.event)) for found in page.events
                ]
                places.of[page.shard] = (page.epoch, page.cursor)
                yield [*items, FeedItem(places.text(), missed=page.missed)]

    async def _poll(self, shard: int, shards: frozenset[int], query: FeedQuery) -> AsyncGenerator[FeedPage, None]:
        deaf = False
        """The shard had no partition to ask it by: what it did before, or in between, is not known."""
        while True:
            try:
                page = await ask_shard(self._open(), Kind.FEED, query, _decode_page, shard, shards)
            except NoPartition:
                if query.cursor >= 0 and not deaf:
                    yield FeedPage(shard, query.epoch, query.cursor, [], missed=True)
                deaf = True
                await asyncio.sleep(RETRY_S)
                continue
            except (Unavailable, Disconnected):
                await asyncio.sleep(RETRY_S)
                continue
            page.missed, deaf = page.missed or deaf, False
            query = structs.replace(query, cursor=page.cursor, epoch=page.epoch)
            yield page
