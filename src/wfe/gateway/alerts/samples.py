"""What a server has counted since these alerts began, from one status answer after the other. Pure.

A shard's counters begin anew with its process: a new epoch adds what it has counted so far, where the first answer of
all only says where to begin. So totals never fall, and a window over them is a subtraction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from wfe.wire.messages import ServerStatus, ShardStatus

Key: TypeAlias = tuple[str, ...]
Vector: TypeAlias = tuple[int, ...]
COUNTERS = ("runs_quarantined", "starts_refused_busy", "starts_refused_disk", "starts_refused_memory", "tasks_lost")
SAMPLES_MAX = 30
"""Points that a window is made of."""


class Totals:
    """``of``: by key, e.g. ``("runs", workflow)``, numbers that only grow."""

    def __init__(self) -> None:
        self.of: dict[Key, Vector] = {}
        self._last: dict[tuple[int, Key], tuple[int, Vector]] = {}
        self._begun: set[int] = set()

    def add(self, status: ServerStatus) -> None:
        """A further answer."""
        for shard in status.shards:
            first = shard.index not in self._begun
            for key, vector in _counted(shard):
                self._count(shard, key, vector, first=first)
            if shard.stats is not None:
                self._begun.add(shard.index)

    def _count(self, shard: ShardStatus, key: Key, vector: Vector, *, first: bool) -> None:
        epoch, before = self._last.get((shard.index, key), (shard.epoch, vector if first else ()))
        self._last[shard.index, key] = (shard.epoch, vector)
        if epoch != shard.epoch:
            before = ()
        size = max(len(before), len(vector))
        grown = [new - old for new, old in zip(_padded(vector, size), _padded(before, size), strict=True)]
        if any(each < 0 for each in grown):
            grown = list(vector)
        known = self.of.get(key, ())
        size = max(len(known), len(grown))
        self.of[key] = tuple(
            old + new for old, new in zip(_padded(known, size), _padded(tuple(grown), size), strict=True)
        )


def _counted(shard: ShardStatus) -> Iterable[tuple[Key, Vector]]:
    yield ("restarts", str(shard.index)), (shard.restarts,)
    if shard.stats is None:
        return
    for name in COUNTERS:
        yield (name,), (shard.stats.counters.get(name, 0),)
    for run in shard.stats.runs:
        yield ("runs", run.workflow), (run.completed + run.failed + run.cancelled, run.failed)
        yield ("run_times", run.workflow), tuple(run.buckets)
    for task in shard.stats.tasks:
        yield ("tasks", task.workflow, task.task), (task.done + task.failed, task.failed)


def _padded(vector: Vector, size: int) -> Vector:
    return vector + (0,) * (size - len(vector))


class Window:
    """How totals, or gauges, of certain keys have grown within ``window_ms``; at most SAMPLES_MAX points are kept."""

    def __init__(self, window_ms: int, wanted: Callable[[Key], bool]) -> None:
        self._window_ms, self._wanted = window_ms, wanted
        self._points: deque[tuple[int, dict[Key, Vector]]] = deque()

    def grown(self, now_ms: int, totals: dict[Key, Vector]) -> dict[Key, Vector]:
        """By key, what has come since the beginning of the window (or of these alerts)."""
        now = {key: vector for key, vector in totals.items() if self._wanted(key)}
        while len(self._points) > 1 and self._points[1][0] <= now_ms - self._window_ms:
            self._points.popleft()
        if not self._points or now_ms - self._points[-1][0] >= self._window_ms // SAMPLES_MAX:
            self._points.append((now_ms, now))
        then = self._points[0][1]
        return {
            key: tuple(a - b for a, b in zip(vector, _padded(then.get(key, ()), len(vector)), strict=True))
            for key, vector in now.items()
        }
