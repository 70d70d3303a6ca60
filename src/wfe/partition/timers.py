"""Due times of runs: a heap in memory over what the runs' states hold.

An entry that the state no longer knows is ignored when it comes up, so nothing is removed from the middle; when those
might be most of the heap, all are thrown out at once (`compact`): limits of days outlive many short runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

SOME = -2
"""Timer key that stands for "the next one of a run that is not in memory": load it and look."""


COMPACT_MIN = 100_000


class TimerHeap:
    """(due_ms, order, run id, timer key), soonest first; equal due times in the order of arming."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, int]] = []
        self._order = 0
        self._compact_at = COMPACT_MIN

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

    def compact(self, known: Callable[[int, str, int], bool]) -> None:
        """When the heap has doubled: keep only entries ``(due_ms, run id, timer key)`` that are known, each once."""
        heap = self._heap
        if len(heap) < self._compact_at:
            return
        heap.sort()  # what is sorted is a heap, and stays one
        kept, at_ms = 0, -1
        seen: set[tuple[str, int]] = set()
        for item in heap:
            due_ms, _, run_id, timer = item
            if due_ms != at_ms:
                at_ms = due_ms
                seen.clear()
            if (run_id, timer) not in seen and known(due_ms, run_id, timer):
                seen.add((run_id, timer))
                heap[kept] = item
                kept += 1
        del heap[kept:]
        self._compact_at = max(COMPACT_MIN, 2 * kept)

    def __len__(self) -> int:
        return len(self._heap)
