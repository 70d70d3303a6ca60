"""Which starts are taken while there is more to do than can be done: by queue, memory, disk and its speed; and fairly.

Only starts from outside are throttled: what was admitted goes on. While the queue is nearly full, its last part is for
those who have had less than their share lately, so that a client that floods takes no other's place. Nothing is
counted before the queue is half full. Whoever is refused is told when to come back: later, the more are refused.
"""

from __future__ import annotations

from collections.abc import Callable

from wfe.errors import Busy
from wfe.limits import (
    ADMIT_COUNTED_PERCENT,
    ADMIT_PROBE_MS,
    ADMIT_RUNS_MAX,
    ADMIT_SHARED_PERCENT,
    BUSY_RETRY_MAX_MS,
    BUSY_RETRY_MS,
    DISK_RETRY_S,
    MEMORY_RETRY_S,
)
from wfe.shard.core import ShardCore

PERIOD_MS = 1_000


class Admission:
    def __init__(self, core: ShardCore, tail_full: Callable[[], bool]) -> None:
        self._core = core
        self._tail_full = tail_full
        self._taken: dict[bytes, int] = {}
        """Starts by client while the queue was at least half full; halved once per period."""
        self._period_ms = 0
        self._refused = self._refused_before = 0
        self._admitted = self._admitted_before = 0

    def check(self, client: bytes, now_ms: int) -> None:
        """Busy when a start of this client is not to be taken now."""
        core = self._core
        if core.draining:
            raise Busy("the server is stopping", retry_after_s=1.0)
        if core.disk_full:
            core.counters["starts_refused_disk"] += 1
            raise Busy("the disk is nearly full: make room, or move the data directory", retry_after_s=DISK_RETRY_S)
        if core.budget_spent:
            core.counters["starts_refused_disk"] += 1
            raise Busy(
                "the disk budget is used up: raise --disk-budget, or keep ended runs for a shorter time (--retention)",
                retry_after_s=DISK_RETRY_S,
            )
        if core.memory_full:
            core.counters["starts_refused_memory"] += 1
            raise Busy(
                "the server's memory is nearly full: let runs under way end, or give it more (--memory-max)",
                retry_after_s=MEMORY_RETRY_S,
            )
        if core.commits_slow:
            core.counters["starts_refused_disk"] += 1
            raise Busy("the disk takes too long to sync what is written", retry_after_s=ADMIT_PROBE_MS / 1000)
        size, most = core.ready.size, core.settings.ready_max
        crowded = size * 100 >= most * ADMIT_COUNTED_PERCENT
        if crowded:
            self._turn_over(now_ms)
        if size >= most or core.live_runs >= ADMIT_RUNS_MAX or self._tail_full():
            self._refuse(client, "the shard has more work than it can queue")
        if crowded:
            if size * 100 >= most * ADMIT_SHARED_PERCENT and self._greedy(client):
                self._refuse(client, "the shard's queue is nearly full, and others have had less of it")
            self._taken[client] = self._taken.get(client, 0) + 1
            self._admitted += 1

    def _greedy(self, client: bytes) -> bool:
        """Whether the client has had more than its share of what was taken lately."""
        return self._taken.get(client, 0) * len(self._taken) > sum(self._taken.values())

    def _refuse(self, client: bytes, message: str) -> None:
        self._taken.setdefault(client, 0)  # it is there, and counts as one that wants a share
        self._refused += 1
        self._core.counters["starts_refused_busy"] += 1
        excess = self._refused_before // max(1, self._admitted_before)
        retry_ms = min(BUSY_RETRY_MS * (1 + excess), BUSY_RETRY_MAX_MS)
        raise Busy(message, retry_after_s=retry_ms / 1000)

    def _turn_over(self, now_ms: int) -> None:
        if 0 <= now_ms - self._period_ms < PERIOD_MS:
            return
        self._period_ms = now_ms
        self._refused, self._refused_before = 0, self._refused
        self._admitted, self._admitted_before = 0, self._admitted
        self._taken = {client: count // 2 for client, count in self._taken.items() if count}
