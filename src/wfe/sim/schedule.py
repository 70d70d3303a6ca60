"""The simulated clock and what happens when: one queue of events, taken one by one in the order of time.

Pure data structure. Invariants: time never goes back; events of the same microsecond happen in the order in which they
were scheduled, so that a trace depends on nothing but the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Action = Callable[..., object]


class Schedule:
    """``now_us`` is simulated time since the beginning of the world."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._order = 0

    def at(self, time_us: int, action: Action, *arguments: Any) -> None:
        """``action(*arguments)`` at a time; what is past happens now."""
        self._order += 1
        heappush(self._heap, (time_us if time_us > self.now_us else self.now_us, self._order, action, arguments))

    def after(self, delay_us: int, action: Action, *arguments: Any) -> None:
        self._order += 1
        heappush(self._heap, (self.now_us + delay_us, self._order, action, arguments))

    def take(self) -> tuple[Action, tuple[Any, ...]]:
        """The next event; time moves on to it."""
        self.now_us, _, action, arguments = heappop(self._heap)
        return action, arguments

    def next_us(self) -> int | None:
        """When the next event happens; None: there is none."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)
