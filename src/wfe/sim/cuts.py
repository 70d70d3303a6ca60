"""What the auditor knew of each partition at the moment when a backup was cut: what a restore of it must give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wfe.model.ids import partition_of
from wfe.sim.ledger import RunBook
from wfe.sim.ledger_partitions import PartitionBook


class Cuts:
    """Of the backup of one number, partition by partition."""

    def __init__(self) -> None:
        self.number = 0
        self.partitions: dict[int, PartitionBook] = {}
        self._runs: dict[str, tuple[RunBook, int, int]] = {}

    def take(self, number: int, runs: Mapping[str, RunBook], partitions: Iterable[PartitionBook]) -> None:
        """One shard begins its snapshots."""
        if number != self.number:
            self.number, self.partitions, self._runs = number, {}, {}
        here = {book.number for book in partitions}
        for book in partitions:
            self.partitions[book.number] = book.twin()
        for run in runs.values():
            if partition_of(run.id) in here:
                self._runs[run.id] = (run, run.seq, run.digest)

    def of(self, number: int) -> Cuts:
        """What was taken for this backup, to be kept."""
        assert number == self.number, "one backup at a time"
        kept = Cuts()
        # Another engine counts its backups anew: what is taken for one of the same number must not change this one.
        kept.number, kept.partitions, kept._runs = number, dict(self.partitions), dict(self._runs)
        return kept

    def restored(self) -> dict[str, RunBook]:
        """The runs as they were."""
        return {run_id: book.prefix(seq, digest) for run_id, (book, seq, digest) in self._runs.items()}
