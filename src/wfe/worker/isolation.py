"""A task that workers died of before is run alone, so that it takes nobody along if it does it again.

A state machine over one attempt at a time: it waits until what runs has ended (at most `PATIENCE_MS`: long tasks must
not keep it for ever), then runs; meanwhile the worker takes nothing else, until the task has ended or has run for
`ALONE_MS` without doing harm. Pure: time is an argument.
"""

from __future__ import annotations

from wfe.wire.messages import TaskSpec

Key = tuple[str, int, int, int]
PATIENCE_MS = 10_000
ALONE_MS = 60_000
"""A task that kills its process does so early; a long innocent one must not hold up everybody for hours."""


class Isolation:
    def __init__(self) -> None:
        self._key: Key | None = None
        self._waiting: TaskSpec | None = None
        self._until_ms = 0

    def take(self, key: Key, spec: TaskSpec, now_ms: int) -> None:
        """From now on the worker is for this attempt alone."""
        self._key, self._waiting, self._until_ms = key, spec, now_ms + PATIENCE_MS

    @property
    def taken(self) -> bool:
        """Whether there is such an attempt that has not ended."""
        return self._key is not None

    def active(self, now_ms: int) -> bool:
        """Whether nothing else may be taken."""
        return self._key is not None and (self._waiting is not None or now_ms < self._until_ms)

    def due(self, others: int, now_ms: int) -> TaskSpec | None:
        """The attempt, once it may start. ``others``: attempts that are still held beside it."""
        spec = self._waiting
        if spec is None or (others and now_ms < self._until_ms):
            return None
        self._waiting, self._until_ms = None, now_ms + ALONE_MS
        return spec

    def drop(self, key: Key) -> bool:
        """The attempt is over, or withdrawn. True when it had not begun: nobody else will report it."""
        if key != self._key:
            return False
        unbegun = self._waiting is not None
        self._key = self._waiting = None
        return unbegun

    def clear(self) -> None:
        """Nothing of it counts any more."""
        self._key = self._waiting = None
