"""The trace of a simulation: a hash over every step, so that two runs of a seed can be compared byte for byte."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from zlib import crc32

LINES_KEPT = 60


class Trace:
    """``steps`` counts. With ``keep`` the last lines are kept in words, for the report of a failure."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = blake2b(digest_size=16)
        self.steps = 0
        self.lines: deque[str] | None = deque(maxlen=LINES_KEPT) if keep else None

    def step(self, now_us: int, what: str, parts: Sequence[bytes] = ()) -> None:
        """One step: when, what, and the bytes that it was about."""
        self.steps += 1
        sums = 0
        for part in parts:
            sums = crc32(part, sums)
        line = f"{now_us} {what} {sums:08x}\n"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line.rstrip())

    def digest(self) -> str:
        return self._hash.copy().hexdigest()
