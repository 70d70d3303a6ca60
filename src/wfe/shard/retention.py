"""Retention: ended runs that are kept no longer leave the stores, a page of one partition at a time.

How long a run is kept once it has ended says its definition (``retention``), else the server's setting; without either
it is kept. A run goes with everything it has: its history, its large values, its idempotency key. The pages that this
frees in a store are used again.

Nothing is logged for it: what the log still says of such a run is recognised at recovery by the mark that its store
keeps (`journal.schema.SWEPT_KEY`). Runs that are in memory, or that somebody is about to load, are left alone.
"""

from __future__ import annotations

from typing import NamedTuple

from wfe.core.canonical import decode as decode_definition
from wfe.journal.rows import swept_ops
from wfe.journal.store import PartitionStore, Swept
from wfe.limits import RETENTION_MS_MIN, SWEEP_AGE_MS_MAX, SWEEP_MS
from wfe.partition.partition import Partition
from wfe.ports import Op
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader

NEVER_MS = 1 << 62
HURRY = 20
"""So much faster partitions are looked through when room is scarce."""


class SweepStep(NamedTuple):
    """Rows of expired runs on their way out of a store."""

    partition: int
    runs: int


class Retention:
    def __init__(self, core: ShardCore, loader: Loader, checkpoints: Checkpoints) -> None:
        self._core = core
        self._loader = loader
        self._checkpoints = checkpoints
        self._kept_ms: dict[str, int] = {}
        """By hash of a definition: how long its runs are kept."""
        self._ring = sorted(core.partitions)
        self._place = 0
        self._cursor = ""
        self._next_ms = 0
        self.hurry = False
        """Room is scarce."""
        self.is_busy = False
        """A page is being read, or its rows are being removed."""

    def follow(self) -> None:
        """The shard has other partitions than before."""
        self._ring = sorted(self._core.partitions)
        self._place, self._cursor = 0, ""

    def on_tick(self, now_ms: int) -> None:
        """Look at a further page, if it is time for one."""
        if self.is_busy or now_ms < self._next_ms or not self._ring or self._core.draining or self._is_held:
            return
        number = self._ring[self._place]
        partition = self._core.partitions[number]
        hashes = tuple(partition.stored_definitions)
        if all(self._known(digest) == NEVER_MS for digest in hashes):
            self._go_on("", now_ms)
            return
        store, after = self._core.disk.stores[number], self._cursor
        self.is_busy = True

        def found(swept: Swept, later_ms: int) -> None:
            self.is_busy = False
            self._remove(partition, swept, now_ms, later_ms)

        self._loader.read(lambda: self._page(store, hashes, after, now_ms), found)

    @property
    def _is_held(self) -> bool:
        return self._checkpoints.held or self._checkpoints.replaying

    def on_written(self, step: SweepStep, error: Exception | None) -> None:
        """Rows are gone; an error stops the shard."""
        if error is not None:
            raise error
        self.is_busy = False
        self._loader.leaving = frozenset()
        self._core.counters["runs_expired"] += step.runs

    def _known(self, digest: str) -> int | None:
        """How long runs of a definition are kept; None when it has to be read for that."""
        kept_ms = self._kept_ms.get(digest)
        if kept_ms is None:
            compiled = self._loader.definitions.get(digest)
            if compiled is None:
                return None
            kept_ms = self._kept_ms[digest] = self._policy(compiled.plan.definition.retention_ms)
        return kept_ms

    def _policy(self, retention_ms: int | None) -> int:
        found_ms = self._core.settings.retention_ms if retention_ms is None else max(1, retention_ms)
        return max(RETENTION_MS_MIN, found_ms) if found_ms else NEVER_MS

    def _page(self, store: PartitionStore, hashes: tuple[str, ...], after: str, now_ms: int) -> Swept:
        """On the reader thread."""
        for digest in hashes:
            if digest not in self._kept_ms and (body := store.definition(digest)) is not None:
                self._kept_ms[digest] = self._policy(decode_definition(body).retention_ms)
        shortest_ms = min((self._kept_ms.get(digest, NEVER_MS) for digest in hashes), default=NEVER_MS)
        until = {digest: now_ms - self._kept_ms.get(digest, NEVER_MS) for digest in hashes}
        return store.sweep(after, until, now_ms - shortest_ms)

    def _remove(self, partition: Partition, swept: Swept, read_ms: int, now_ms: int) -> None:
        if partition.gone or partition.number != self._ring[self._place]:
            return  # partitions came or went
        if now_ms - read_ms > SWEEP_AGE_MS_MAX:
            return  # a run may have been reopened, written and evicted since: the same page is read again
        ops: list[Op] = []
        runs = []
        for run_id, removal in swept.runs:
            left_alone = run_id in partition.entries or run_id in partition.evicted
            if not (left_alone or self._loader.is_wanted(partition.number, run_id)):
                ops += removal
                runs.append((partition.number, run_id))
        self._go_on(swept.cursor, now_ms)
        if not ops or self._is_held or self._core.draining:
            return
        self.is_busy = True
        self._loader.leaving = frozenset(runs)
        ops += swept_ops(self._core.settings.epoch)
        self._core.disk.writer.submit(partition.number, ops, SweepStep(partition.number, len(runs)))

    def _go_on(self, cursor: str, now_ms: int) -> None:
        """To the next page at once, or, when this partition has no more, to the next one after a while."""
        self._cursor = cursor
        if cursor:
            return
        self._place = (self._place + 1) % len(self._ring)
        self._next_ms = now_ms + max(1, SWEEP_MS // (HURRY * len(self._ring) if self.hurry else len(self._ring)))
