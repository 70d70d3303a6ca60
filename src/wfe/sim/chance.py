"""The simulator's source of chance: every random bit of a simulated world comes from one seed."""

from __future__ import annotations

from random import Random as Generator


class SeededRandom:
    """The `Random` port from a seed: equal seeds give equal bits."""

    def __init__(self, seed: int) -> None:
        self._generator = Generator(seed)

    def bits(self, count: int) -> int:
        return self._generator.getrandbits(count)
