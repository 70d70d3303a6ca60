"""Long polls of several shards as one stream: who is asked when, and what ends with what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from wfe.client.polls import merged
from wfe.errors import RequestError


@dataclass
class Page:
    shard: int
    number: int


class Shard:
    """Gives page after page; ``asked`` counts. It fails when it has given ``last``."""

    def __init__(self, index: int, last: int = 1 << 30) -> None:
        self.index, self.last, self.asked, self.is_closed = index, last, 0, False

    async def pages(self) -> AsyncGenerator[Page, None]:
        try:
            while True:
                self.asked += 1
                await asyncio.sleep(0)
                if self.asked > self.last:
                    raise RequestError("the server has other shards now: ask anew")
                yield Page(self.index, self.asked)
        finally:
            self.is_closed = True


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_page_is_let_go_of_only_once_it_was_worked_through() -> None:
    shard = Shard(0)
    stream = merged([shard.pages()], ahead=False)
    for number in (1, 2):
        assert (await anext(stream)).number == number
        await settle()
        assert shard.asked == number, "the next question lets go of the page"
    await stream.aclose()
    assert shard.is_closed


async def test_a_slow_reader_is_asked_for_nothing_more_than_one_page_ahead() -> None:
    shards = [Shard(0), Shard(1)]
    stream = merged([shard.pages() for shard in shards], ahead=True)
    await anext(stream)
    await settle()
    assert sum(shard.asked for shard in shards) <= 1 + 1 + len(shards), "taken, waiting, and one in each poll's hand"
    await stream.aclose()
    assert all(shard.is_closed for shard in shards)


async def test_all_shards_are_heard_and_the_first_error_ends_all() -> None:
    shards = [Shard(0, last=3), Shard(1)]
    heard = set()

    async def hear() -> None:
        async for page in merged([shard.pages() for shard in shards], ahead=False):
            heard.add(page.shard)

    with pytest.raises(RequestError, match="other shards"):
        await hear()
    assert heard == {0, 1}
    assert all(shard.is_closed for shard in shards)
