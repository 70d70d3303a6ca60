"""The ends of traced runs, as the shards have them, for the one that exports them. A part of the client.

Invariant: a page that was yielded is let go of by its shard only when the next one is asked for, so what a reader that
dies has not worked through comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.errors import Disconnected, RequestError, Unavailable, WfeError
from wfe.wire.frames import Kind
from wfe.wire.traces import TracesPage, TracesQuery

RETRY_S = 0.5
_decode_page = decoder_of(TracesPage)


class Traced:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def ended_traces(self) -> AsyncGenerator[TracesPage, None]:
        """Traced runs that have ended, of all shards. Endless. RequestError when the server has other shards now."""
        shards = {shard.index: shard.partitions for shard in self._open().welcome.shards}
        pages: asyncio.Queue[TracesPage | WfeError] = asyncio.Queue(1)
        polls = [
            asyncio.ensure_future(self._poll_traces(index, partitions[0], pages))
            for index, partitions in shards.items()
            if partitions
        ]
        try:
            while True:
                page = await pages.get()
                if isinstance(page, WfeError):
                    raise page
                yield page
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)

    async def _poll_traces(self, shard: int, partition: int, pages: asyncio.Queue[TracesPage | WfeError]) -> None:
        query = TracesQuery()
        while True:
            try:
                page = _decode_page(await self._open().ask(Kind.TRACES, query, partition=partition, forever=True))
                if page.shard != shard:
                    raise RequestError("the server has other shards now: ask anew")
            except (Unavailable, Disconnected):
                await asyncio.sleep(RETRY_S)
                continue
            except WfeError as error:
                await pages.put(error)
                return
            await pages.put(page)
            query = TracesQuery(page.cursor, page.epoch)
