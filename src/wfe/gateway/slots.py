"""A bounded number of places for what stays open: streams and long polls. Whoever finds none is told to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from wfe.errors import Busy

RETRY_S = 5.0


class Slots:
    """``limit`` places."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    def place(self) -> AbstractContextManager[None]:
        """The same for later; Busy is raised now."""
        if self.taken >= self.limit:
            raise Busy(f"there are {self.limit} open streams already: close one", RETRY_S)
        return self.one()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Takes a place for as long as the block lasts. Busy when there is none."""
        if self.taken >= self.limit:
            raise Busy(f"there are {self.limit} open streams already: close one", RETRY_S)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
