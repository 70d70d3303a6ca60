"""The thread that reads stores for the shard's loop, which a read transaction on a stalled disk would freeze."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from wfe.journal.checkpoint import ReadDone, Token


class ReaderThread:
    """A `journal.checkpoint.StoreReader` on a thread. ``done`` is called on that thread."""

    def __init__(self, done: ReadDone, name: str = "reader") -> None:
        self._done = done
        self._reads: SimpleQueue[tuple[Callable[[], object], Token] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, read: Callable[[], object], token: Token) -> None:
        """Queues one read; its result comes by the callback."""
        self._reads.put((read, token))

    def close(self) -> None:
        """Finishes what was submitted, then ends the thread."""
        self._reads.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._reads.get()) is not None:
            read, token = item
            try:
                result = read()
            except Exception as error:  # noqa: BLE001 - the submitter decides; the thread must live on
                self._done(token, None, error)
            else:
                self._done(token, result, None)
