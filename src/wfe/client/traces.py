"""The ends of traced runs, as the shards have them, for the one that exports them. A part of the client.

Invariant: a page that was yielded is let go of by its shard only when the next one is asked for, so what a reader that
dies has not worked through comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from wfe.client.connection import Connection
from wfe.client.polls import RETRY_S, ask_shard, merged, shards_of
from wfe.client.replies import decoder_of
from wfe.errors import Disconnected, Unavailable
from wfe.wire.frames import Kind
from wfe.wire.traces import TracesPage, TracesQuery

_decode_page = decoder_of(TracesPage)


class Traced:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def ended_traces(self) -> AsyncGenerator[TracesPage, None]:
        """Traced runs that have ended, of all shards. Endless. RequestError when the server has other shards now."""
        shards = shards_of(self._open())
        polls = [self._poll_traces(index, shards) for index in sorted(shards)]
        async with aclosing(merged(polls, ahead=False)) as pages:
            async for page in pages:
                yield page

    async def _poll_traces(self, shard: int, shards: frozenset[int]) -> AsyncGenerator[TracesPage, None]:
        query = TracesQuery()
        while True:
            try:
                page = await ask_shard(self._open(), Kind.TRACES, query, _decode_page, shard, shards)
            except (Unavailable, Disconnected):
                await asyncio.sleep(RETRY_S)
                continue
            yield page
            query = TracesQuery(page.cursor, page.epoch)
