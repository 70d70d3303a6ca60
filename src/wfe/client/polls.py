"""Long polls of all shards of a server, merged into one stream. A part of the client.

Invariants: a consumer that is slow is asked for nothing, for the polls wait for it; with ``ahead`` false a shard is
asked for its next page, and so told that it may let go of the last one, only once that one was worked through. Whatever
way a stream ends, so do its polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from wfe.client.connection import Connection
from wfe.errors import RequestError, Unavailable, WfeError
from wfe.wire.frames import Kind
from wfe.wire.messages import Welcome

RETRY_S = 0.5
"""A shard that cannot be asked is asked again after so long."""


class ShardPage(Protocol):
    """An answer that says which shard gave it."""

    shard: int


P = TypeVar("P", bound=ShardPage)


class NoPartition(Unavailable):
    """A shard has no partition at the moment, by which alone it could be asked."""


def shards_of(connection: Connection) -> frozenset[int]:
    """The shards that the server has, by their index."""
    return frozenset(shard.index for shard in connection.welcome.shards)


async def ask_shard(
    connection: Connection, kind: Kind, query: Any, decode: Callable[[bytes], P], shard: int, shards: frozenset[int]
) -> P:
    """One question to a shard, however long it takes. Unavailable, Disconnected: try again; NoPartition: it has none.

    RequestError: the server has other shards than ``shards`` by now.
    """
    partition = a_partition_of(shard, shards, connection.welcome)
    if partition is None:
        raise NoPartition(f"shard {shard} has no partition")
    page = decode(await connection.ask(kind, query, partition=partition, forever=True))
    if page.shard != shard:
        raise Unavailable("the partition has moved to another shard")
    return page


def a_partition_of(shard: int, shards: frozenset[int], welcome: Welcome) -> int | None:
    """A shard is asked by any of its partitions, which may move. None: it has none at the moment.

    RequestError: the server has other shards than ``shards`` by now.
    """
    owned = {each.index: each.partitions for each in welcome.shards}
    if owned.keys() != shards:
        raise RequestError("the server has other shards now: ask anew")
    return owned[shard][0] if owned[shard] else None


async def merged(polls: Iterable[AsyncGenerator[P, None]], *, ahead: bool) -> AsyncGenerator[P, None]:
    """What all of them yield, as it comes; the first error ends it. ``ahead``: each may have one page waiting."""
    pages: asyncio.Queue[tuple[P | WfeError, asyncio.Event]] = asyncio.Queue(1)

    async def take(poll: AsyncGenerator[P, None]) -> None:
        async with aclosing(poll):
            try:
                async for page in poll:
                    taken = asyncio.Event()
                    await pages.put((page, taken))
                    if not ahead:
                        await taken.wait()
            except WfeError as error:
                await pages.put((error, asyncio.Event()))

    tasks = [asyncio.ensure_future(take(poll)) for poll in polls]
    try:
        while True:
            page, taken = await pages.get()
            if isinstance(page, WfeError):
                raise page
            yield page
            taken.set()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
