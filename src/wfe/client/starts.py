"""Starts on their way: minting run ids, spreading runs over partitions, cutting them into frames, booking outcomes.

Sans-IO. A START frame holds runs of one workflow and one partition. Invariants: a run keeps its id through every resend
(so a start is idempotent), and every run of a `StartBatch` is acknowledged or refused exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from wfe.client.watches import Watch, Watches
from wfe.errors import WfeError
from wfe.limits import FRAME_MESSAGES_MAX, MIB
from wfe.model.ids import mint_run_id, partition_of, partition_of_key
from wfe.wire.messages import StartRun

START_FRAME_BYTES = MIB
"""Inputs of one frame, unless a single one is larger."""
START_WINDOW = 128
"""START frames under way at once (`start_queue`), of bulk and of single starts each; the rest waits here, so that no
socket queue overflows.
"""
RUNS_PER_FRAME_MIN = 8
RUNS_PER_FRAME = 32
"""Few runs share a frame rather than spread one by one: the rotation evens partitions out over time, and a frame costs
all that it goes through as much as half a dozen runs. Many are spread evenly at once.
"""


Done = Callable[["StartBatch"], None]
Each = Callable[[int, WfeError | None], None]


class StartBatch:
    """Runs that were submitted together. ``each(index, error)`` is called per answer, ``done`` after the last one.

    ``runs[i].run_id`` is the id that the server gave (an earlier run's, when the key names one); ``errors`` by index;
    ``watches`` of those runs that were started with ``watch``.

    ``bulk``: the runs may be more than can be taken within a timeout, which therefore counts from ``moved_ms``, when
    one of them was last taken or refused for good. Otherwise it counts from the call.
    """

    __slots__ = ("bulk", "created", "done", "each", "errors", "moved_ms", "open", "runs", "watches")

    def __init__(
        self, runs: list[StartRun], done: Done | None = None, each: Each | None = None, *, bulk: bool = False
    ) -> None:
        self.runs, self.done, self.each, self.bulk = runs, done, each, bulk
        self.moved_ms = 0
        self.open = len(runs)
        self.watches: list[Watch | None] = [None] * len(runs)
        self.errors: dict[int, WfeError] = {}
        self.created: list[bool] = [True] * len(runs)

    def watch_in(self, watches: Watches) -> None:
        """Makes the watches of those that want one. The runs have their ids by now."""
        for index, run in enumerate(self.runs):
            if run.watch:
                watch = self.watches[index] = Watch(run.run_id)
                watches.add(watch)

    def answered(self, index: int, error: WfeError | None) -> None:
        if error is not None:
            self.errors[index] = error
        if self.each is not None:
            self.each(index, error)
        self.open -= 1
        if self.open == 0 and self.done is not None:
            self.done(self)

    def refused(self, index: int, error: WfeError, watches: Watches) -> None:
        """There is no such run, or nobody knows: its end will not be told."""
        watches.drop(self.runs[index].run_id)
        self.answered(index, error)


class Spread:
    """Chooses partitions in rotation, so that many small batches load them as evenly as one large one."""

    def __init__(self, partitions: int, first: int) -> None:
        self.partitions = partitions
        self._next = first % partitions

    def mint(self, workflow: str, runs: Sequence[StartRun], time_ms: int, bits: Callable[[int], int]) -> None:
        """Gives every run its id. Runs with a key go where the key says, the others are spread evenly."""
        free = [run for run in runs if not run.key]
        for run in runs:
            if run.key:
                partition = partition_of_key(run.namespace, workflow, run.key, self.partitions)
                run.run_id = mint_run_id(partition, time_ms, bits(70))
        if not free:
            return
        many = len(free) >= self.partitions * RUNS_PER_FRAME_MIN
        used = self.partitions if many else min(self.partitions, -(-len(free) // RUNS_PER_FRAME))
        for place in range(used):
            partition = (self._next + place) % self.partitions
            for run in free[place::used]:
                run.run_id = mint_run_id(partition, time_ms, bits(70))
        self._next = (self._next + used) % self.partitions


def frames_of(runs: Sequence[StartRun]) -> Iterator[tuple[int, list[int]]]:
    """(partition, indices into ``runs``) per frame, bounded in runs and in bytes of input."""
    filling: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for index, run in enumerate(runs):
        partition = partition_of(run.run_id)
        size = len(memoryview(run.input))
        indices = filling.get(partition)
        if indices is None:
            filling[partition], sizes[partition] = [index], size
        elif len(indices) >= FRAME_MESSAGES_MAX or sizes[partition] + size > START_FRAME_BYTES:
            yield partition, indices
            filling[partition], sizes[partition] = [index], size
        else:
            indices.append(index)
            sizes[partition] += size
    yield from filling.items()
