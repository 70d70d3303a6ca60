"""When a shard takes no new runs for want of memory, and when it takes some again.

What ended leaves room for what comes, but hardly ever leaves the process: CPython keeps an arena as long as one object
in it lives, and glibc what lies below something that is still held. So a process that was full once would look full for
ever, with nothing in it. Hence: over the limit new runs are refused until a quarter of the runs in memory has left it.
Then the allocator is asked to give back what it can, and new runs are taken while the process hardly grows, which shows
that they find room in what it has. When it grows, they are refused again, and so on. Each time it has grown a little:
once that comes to a tenth of the limit, runs are taken for one heartbeat at a time, in the room of those that left.
Invariants: below the limit nothing is refused; nothing in memory, nothing refused for longer than a heartbeat; a
process that gives nothing back does not grow for ever.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from wfe.limits import MEMORY_AGAIN_PERCENT, MEMORY_GROWTH_PERCENT, MEMORY_OVER_PERCENT


class MemoryGate:
    def __init__(self, own_bytes: Callable[[], int], give_back: Callable[[], None]) -> None:
        self._own_bytes = own_bytes
        self._give_back = give_back
        self._runs: int | None = None
        """In memory when refusing began; None: nothing is refused."""
        self._ceiling_bytes = 0
        """While the process is over its limit and new runs are taken nevertheless: how far it may grow."""

    def closed(self, limit_bytes: int, runs: int) -> bool:
        """Once per heartbeat, with the number of runs in memory: whether new ones are refused."""
        own_bytes = self._own_bytes()
        if own_bytes < limit_bytes:
            self._runs, self._ceiling_bytes = None, 0
        elif self._runs is None:
            if own_bytes >= self._ceiling_bytes:
                self._runs = runs
        elif runs * 100 <= self._runs * MEMORY_AGAIN_PERCENT:
            self._give_back()
            self._runs = None
            grown_bytes = self._own_bytes() + limit_bytes * MEMORY_GROWTH_PERCENT // 100
            self._ceiling_bytes = min(grown_bytes, limit_bytes * (100 + MEMORY_OVER_PERCENT) // 100)
        return self._runs is not None


def give_back() -> None:
    """What glibc has free goes to the system, some 10 ms for 100 MB. Other C libraries do so unasked, or cannot."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (TypeError, OSError, AttributeError):  # Windows has no library of that name; others no such function
        return
    trim(0)
