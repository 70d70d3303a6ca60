"""The ends of traced runs, as the shards have them, for the one that exports them. A part of the client.

Invariant: a page that was yielded is let go of by its shard only when the next one is asked for, so what a reader that
dies has not worked through comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from wfe.client.connection import Connection
from wfe.client.feed import a_partition_of
from wfe.client.replies import decoder_of
from wfe.errors import Disconnected, Unavailable, WfeError
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
        shards = frozenset(shard.index for shard in self._open().welcome.shards)
        pages: asyncio.Queue[TracesPage | WfeError] = asyncio.Queue(1)
        polls = [asyncio.ensure_future(self._poll_traces(index, shards, pages)) for index in sorted(shards)]
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

    async def _poll_traces(
        self, shard: int, shards: frozenset[int], pages: asyncio.Queue[TracesPage | WfeError]
    ) -> None:
        query = TracesQuery()
        while True:
            try:
                partition = a_partition_of(shard, shards, self._open().welcome)
                if partition is None:
                    raise Unavailable(f"shard {shard} has no partition")
                page = _decode_page(await self._open().ask(Kind.TRACES, query, partition=partition, forever=True))
                if page.shard != shard:
                    raise Unavailable("the partition has moved to another shard")
            except (Unavailable, Disconnected):
                await asyncio.sleep(RETRY_S)
                continue
            except WfeError as error:
                await pages.put(error)
                return
            await pages.put(page)
            query = TracesQuery(page.cursor, page.epoch)
