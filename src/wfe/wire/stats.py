"""Counts per workflow and task in a shard's statistics. See `messages`.

``buckets[n]``: durations of n bits, so below two to the power of n; the last one has all that are longer.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

BUCKETS: Final = 40


class TaskTally(Struct, array_like=True):
    """Attempts that ended since the shard's start. Durations in microseconds, of the execution alone."""

    workflow: str
    task: str
    done: int = 0
    failed: int = 0
    sum_us: int = 0
    buckets: list[int] = []


class RunTally(Struct, array_like=True):
    """Runs since the shard's start. Durations in milliseconds, from start to end."""

    workflow: str
    started: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    sum_ms: int = 0
    buckets: list[int] = []
