"""The deadline board: a small shared file in which a worker writes what its parent needs to judge whether it is stuck.

One writer (the worker), one reader (its parent); eight-byte aligned stores, so that a reader sees old or new, never a
mixture. Layout, native int64: the loop's last beat, then one deadline per slot (0: none), one for all asynchronous
tasks together and one for the turn of a durable function that is being run, in nanoseconds of the monotonic clock,
which the processes of one machine share.
Invariant: the parent acts only when the worker has not: a deadline counts as overrun `MARGIN_NS` after it has passed (a
worker clears its board when it reports the time-out), or when the loop has not beaten for `SILENCE_NS` and a deadline
has passed.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from wfe.errors import DataError

MARGIN_NS = 2_000_000_000
SILENCE_NS = 30_000_000_000
_CELL = 8
_SLOTS_MAX = 65_536


class DeadlineBoard:
    """A slot per thread, numbered from 0; slot number ``slots`` is the loop's, the one after it that of durable turns.

    The parent creates, the worker opens.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._cells = memoryview(memory).cast("q")
        self.slots = len(self._cells) - 3

    @classmethod
    def create(cls, path: str | os.PathLike[str], slots: int) -> DeadlineBoard:
        """Makes the file, readable by its owner only; an old one is emptied."""
        if not 0 < slots <= _SLOTS_MAX:
            raise ValueError(f"a board has 1 to {_SLOTS_MAX} slots, not {slots}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            size = _CELL * (slots + 3)
            os.ftruncate(descriptor, size)
            return cls(mmap.mmap(descriptor, size))
        finally:
            os.close(descriptor)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> DeadlineBoard:
        """Maps the file that the parent made. DataError when it is none."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise DataError(f"the deadline board {Path(path)} cannot be opened: {error.strerror}") from error
        try:
            size = os.fstat(descriptor).st_size
            if size < 4 * _CELL or size % _CELL:
                raise DataError(f"{Path(path)} is no deadline board ({size} bytes)")
            return cls(mmap.mmap(descriptor, size))
        finally:
            os.close(descriptor)

    def set(self, slot: int, deadline_ns: int) -> None:
        self._cells[slot + 1] = deadline_ns

    def clear(self, slot: int) -> None:
        self._cells[slot + 1] = 0

    def beat(self, now_ns: int) -> None:
        """The worker's loop is alive."""
        self._cells[0] = now_ns

    def last_beat_ns(self) -> int:
        """0: the loop has never beaten (the worker is still starting)."""
        return self._cells[0]

    def overrun(self, now_ns: int) -> list[int]:
        """Slots whose deadline passed so long ago that the worker should have acted."""
        return [slot for slot, due_ns in enumerate(self._cells[1:].tolist()) if due_ns and now_ns - due_ns > MARGIN_NS]

    def stuck(self, now_ns: int) -> bool:
        """Whether the parent should kill the worker: something overran, and the worker itself does not act."""
        if self.overrun(now_ns):
            return True
        beat_ns = self.last_beat_ns()
        silent = beat_ns > 0 and now_ns - beat_ns > SILENCE_NS
        return silent and any(0 < due_ns <= now_ns for due_ns in self._cells[1:].tolist())

    def close(self) -> None:
        """Unmaps; the file stays."""
        self._cells.release()
        self._memory.close()
