"""Due times of runs: a heap in memory over what the runs' states hold.

An entry that the state no longer knows is ignored when it comes up, so nothing is ever removed from the middle.
"""

from __future__ import annotations

import heapq

LOAD = -2
"""Timer key that stands for "the next one of an evicted run": load it and look."""


class TimerHeap:
    """(due_ms, order, run id, timer key), soonest first; equal due times in the order of arming."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, int]] = []
        self._order = 0

    def arm(self, due_ms: int, run_id: str, timer: int) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due_ms, self._order, run_id, timer))

    def next_due_ms(self) -> int | None:
        """When the next timer may be due."""
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_ms: int, limit: int) -> list[tuple[str, int]]:
        """At most ``limit`` (run id, timer key) that are due."""
        due: list[tuple[str, int]] = []
        while self._heap and self._heap[0][0] <= now_ms and len(due) < limit:
            _, _, run_id, timer = heapq.heappop(self._heap)
            due.append((run_id, timer))
        return due

    def __len__(self) -> int:
        return len(self._heap)
