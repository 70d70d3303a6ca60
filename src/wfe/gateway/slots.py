"""A bounded number of places for what stays open: streams and long polls. Whoever finds none is told to come back.

All of them end when the gateway does: `end` is heard by whoever has a place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from wfe.errors import Busy

RETRY_S = 5.0
T = TypeVar("T")


class Slots:
    """``limit`` places. ``ending``: set once the gateway stops."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0
        self.ending = asyncio.Event()

    def check(self) -> None:
        """Busy when there is no place."""
        if self.taken >= self.limit:
            raise Busy(f"there are {self.limit} open streams already: close one", RETRY_S)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Takes a place for as long as the block lasts. Busy when there is none."""
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def unless_ending(self, work: Awaitable[T]) -> T:
        """Waits for that. TimeoutError when the gateway stops before."""
        task, ended = asyncio.ensure_future(work), asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise TimeoutError("the gateway stops")
            return task.result()
        finally:
            task.cancel()
            ended.cancel()

    def end(self) -> None:
        """Whoever has a place leaves it."""
        self.ending.set()
