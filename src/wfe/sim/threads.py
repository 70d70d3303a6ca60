"""The threads of a shard's journal, simulated: steps and reads happen when the simulation says so, in one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from wfe.errors import WfeError
from wfe.journal.checkpoint import Done, ReadDone, Token
from wfe.ports import Op, Store


class SimWriter:
    """A `journal.checkpoint.CheckpointWriter` whose steps happen when the simulation says so."""

    def __init__(self, stores: Mapping[int, Store], done: Done) -> None:
        self._stores = stores
        self._done = done
        self._steps: deque[tuple[int, Sequence[Op], Token]] = deque()
        self._error: Exception | None = None

    def submit(self, partition: int, ops: Sequence[Op], token: Token) -> None:
        self._steps.append((partition, ops, token))

    def pending(self) -> int:
        return len(self._steps)

    def step(self) -> bool:
        """Commits the oldest step and reports it; False when there is none."""
        if not self._steps:
            return False
        partition, ops, token = self._steps.popleft()
        if self._error is None:
            try:
                self._stores[partition].commit(ops)
            except WfeError as error:
                self._error = error
        self._done(token, self._error)
        return True

    def close(self) -> None:
        while self.step():
            pass


class SimReader:
    """A `journal.checkpoint.StoreReader` whose reads happen when the simulation says so."""

    def __init__(self, done: ReadDone) -> None:
        self._done = done
        self._reads: deque[tuple[Callable[[], object], Token]] = deque()

    def submit(self, read: Callable[[], object], token: Token) -> None:
        self._reads.append((read, token))

    def step(self) -> bool:
        """Does the oldest read and reports it; False when there is none."""
        if not self._reads:
            return False
        read, token = self._reads.popleft()
        try:
            result = read()
        except WfeError as error:
            self._done(token, None, error)
        else:
            self._done(token, result, None)
        return True

    def close(self) -> None:
        while self.step():
            pass
