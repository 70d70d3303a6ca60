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

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.client.views import HistoryItem, history_item
from wfe.errors import Disconnected, InvalidInput, RequestError, Unavailable, WfeError
from wfe.limits import PARTITIONS_MAX
from wfe.wire.feed import FeedPage, FeedQuery
from wfe.wire.frames import Kind
from wfe.wire.messages import Welcome

RETRY_S = 0.5
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
        shards = frozenset(shard.index for shard in self._open().welcome.shards)
        places.of = {index: place for index, place in places.of.items() if index in shards}
        pages: asyncio.Queue[FeedPage | WfeError] = asyncio.Queue(1)
        wanted = list(types)
        polls = [
            asyncio.ensure_future(self._poll(index, shards, places.of.get(index), wanted, workflow or "", pages))
            for index in sorted(shards)
        ]
        try:
            while True:
                page = await pages.get()
                if isinstance(page, WfeError):
                    raise page
                # A reader that is cut off within a page gets the page again.
                before = places.text()
                items = [
                    FeedItem(before, found.run_id, found.workflow, history_item(found.event)) for found in page.events
                ]
                places.of[page.shard] = (page.epoch, page.cursor)
                yield [*items, FeedItem(places.text(), missed=page.missed)]
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)

    async def _poll(
        self,
        shard: int,
        shards: frozenset[int],
        place: tuple[int, int] | None,
        types: list[str],
        workflow: str,
        pages: asyncio.Queue[FeedPage | WfeError],
    ) -> None:
        query = FeedQuery(-1, 0, types, workflow)
        if place is not None:
            query = FeedQuery(place[1], place[0], types, workflow)
        deaf = False
        """The shard had no partition to ask it by: what it did before, or in between, is not known."""
        while True:
            try:
                partition = a_partition_of(shard, shards, self._open().welcome)
                if partition is None:
                    if query.cursor >= 0 and not deaf:
                        await pages.put(FeedPage(shard, query.epoch, query.cursor, [], missed=True))
                    deaf = True
                    await asyncio.sleep(RETRY_S)
                    continue
                page = _decode_page(await self._open().ask(Kind.FEED, query, partition=partition, forever=True))
                if page.shard != shard:
                    raise Unavailable("the partition has moved to another shard")
            except (Unavailable, Disconnected):
                await asyncio.sleep(RETRY_S)
                continue
            except WfeError as error:
                await pages.put(error)
                return
            page.missed, deaf = page.missed or deaf, False
            query = FeedQuery(page.cursor, page.epoch, types, workflow)
            await pages.put(page)


def a_partition_of(shard: int, shards: frozenset[int], welcome: Welcome) -> int | None:
    """A shard is asked by any of its partitions, which may move. None: it has none at the moment.

    RequestError: the server has other shards than ``shards`` by now.
    """
    owned = {each.index: each.partitions for each in welcome.shards}
    if owned.keys() != shards:
        raise RequestError("the server has other shards now: ask anew")
    return owned[shard][0] if owned[shard] else None
