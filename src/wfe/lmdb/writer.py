"""The thread that commits checkpoint steps, so that the shard's loop never waits for a store's sync.

Invariants: one thread writes all stores of a shard, in the order of submission; after a failed commit it writes nothing
more and reports the same error for every later step (a store that took step n+1 but not n would be wrong).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue

from wfe.errors import WfeError
from wfe.journal.checkpoint import Done, Token
from wfe.ports import Op, Store


class WriterThread:
    """A `journal.checkpoint.CheckpointWriter` on a thread. ``done`` is called on that thread."""

    def __init__(self, stores: Mapping[int, Store], done: Done, name: str = "checkpoint") -> None:
        """``stores``: partition -> store; the mapping is read at each step, so its owner may add partitions."""
        self._stores = stores
        self._done = done
        self._steps: SimpleQueue[tuple[int, Sequence[Op], Token] | None] = SimpleQueue()
        self._submitted = 0
        self._reported = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, partition: int, ops: Sequence[Op], token: Token) -> None:
        """Queues one step; its outcome comes by the callback."""
        self._submitted += 1
        self._steps.put((partition, ops, token))

    def pending(self) -> int:
        """Steps that were submitted and not reported."""
        return self._submitted - self._reported

    def close(self) -> None:
        """Finishes what was submitted, then ends the thread. The stores stay open."""
        self._steps.put(None)
        self._thread.join()

    def _run(self) -> None:
        error: Exception | None = None
        while (step := self._steps.get()) is not None:
            partition, ops, token = step
            if error is None:
                error = self._commit(partition, ops)
            self._reported += 1
            self._done(token, error)

    def _commit(self, partition: int, ops: Sequence[Op]) -> Exception | None:
        try:
            self._stores[partition].commit(ops)
        except (WfeError, OSError, KeyError) as error:
            return error
        return None
