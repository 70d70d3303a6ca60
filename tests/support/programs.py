"""Random workflows that can really run, from the generator of the simulator, and the functions of their tasks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

from wfe.model.definition import Definition
from wfe.sim.generator import SIGNALS, Generator

__all__ = ["SIGNALS", "programs", "tasks"]


def tasks() -> dict[str, Callable[..., Any]]:
    """Fresh task functions; ``flaky`` fails at every third call of the run."""
    calls = itertools.count(1)

    def flaky(x: Any) -> Any:
        if next(calls) % 3 == 0:
            raise ValueError("flaky")
        return x

    def boom(x: Any) -> Any:
        raise KeyError("boom")

    return {"echo": lambda x: x, "flaky": flaky, "boom": boom}


def programs(depth: int = 3, ends: bool = True) -> st.SearchStrategy[Definition]:
    """A definition with one parameter ``n`` (an integer) and the values of its top-level nodes as output."""
    return st.integers(0, 2**32).map(lambda seed: Generator(Random(seed), ends=ends).definition(depth=depth))
