"""Where a task's time goes at the shard: one task in `EVERY` is followed from ready to its result.

Latencies: *queue* (from the decision that made it ready to the frame that carries it, the commit between them
included), *execution* (in the worker), *result* (from that frame to the arrival of its result, without the execution:
two hops and the worker's own queue). The loop adds *decide*, *commit* and *batch*, one value per commit.

Memory only, and no part of what is decided: a shard without it (the simulated one) does the same. Costs a task that is
not followed a subtraction and a look-up.
"""

from __future__ import annotations

from collections.abc import Callable

from wfe.observe import LatencyWindow
from wfe.partition.entry import Entry, Lease

EVERY = 64
FOLLOWED_MAX = 1_000
FORGET_US = 60_000_000
"""A task that nobody has taken for so long (it was withdrawn, or nobody can run it) is no longer followed."""


class Stages:
    """``followed``: runs with a task in the queue that is followed, its place, and since when it is ready."""

    __slots__ = ("_clock_us", "_execution", "_left", "_queue", "_result", "followed")

    def __init__(self, latencies: dict[str, LatencyWindow], clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._queue = latencies["queue"] = LatencyWindow()
        self._execution = latencies["execution"] = LatencyWindow()
        self._result = latencies["result"] = LatencyWindow()
        self._left = 1
        self.followed: dict[Entry, tuple[int, int]] = {}

    def ready(self, entry: Entry, keys: list[int]) -> None:
        """Tasks of a run became ready."""
        self._left -= len(keys)
        if self._left <= 0:
            self._left = EVERY
            if len(self.followed) < FOLLOWED_MAX:
                self.followed[entry] = (keys[-1], self._clock_us())

    def dispatched(self, lease: Lease) -> None:
        """A task of a run that is followed leaves; it may be another one."""
        key, since_us = self.followed[lease.entry]
        if key == lease.key:
            del self.followed[lease.entry]
            lease.followed_us = now_us = self._clock_us()
            self._queue.record(now_us - since_us)

    def ended(self, lease: Lease, execution_us: int) -> None:
        """The result of a task that is followed has arrived."""
        self._execution.record(execution_us)
        self._result.record(self._clock_us() - lease.followed_us - execution_us)

    def forget_old(self) -> None:
        """What is not taken is let go."""
        before_us = self._clock_us() - FORGET_US
        self.followed = {entry: found for entry, found in self.followed.items() if found[1] > before_us}
