"""Many seeds, in this process or in several: a seed shares nothing with another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from wfe.sim.simulation import Outcome, simulate


def campaign(seeds: Iterable[int], steps: int, jobs: int = 1) -> Iterator[Outcome]:
    """The outcomes in the order of the seeds."""
    if jobs == 1:
        yield from map(partial(simulate, steps=steps), seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(partial(simulate, steps=steps), seeds, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)
