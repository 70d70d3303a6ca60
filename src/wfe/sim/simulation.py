"""One simulation from a seed to a verdict: a safety phase with faults, a liveness phase without, and, when something is
wrong, the shortest prefix of the safety phase that still shows it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from wfe.sim.aftermath import check_damage, check_restore
from wfe.sim.node import Violation
from wfe.sim.world import LIVE_STEPS, World, quiet

SHRINK_TRIES = 16


class Outcome(Struct, omit_defaults=True):
    """``steps``: of the safety phase; ``failure`` empty: nothing was found. ``shortest``: steps that show it, too."""

    ok: bool
    seed: int
    steps: int
    trace_hash: str
    liveness_steps: int = 0
    simulated_ms: int = 0
    runs: int = 0
    executions: int = 0
    counts: dict[str, int] = {}
    faults: dict[str, int] = {}
    swarm: dict[str, object] = {}
    failure: str = ""
    shortest: int = 0
    last_steps: list[str] = []


def simulate(seed: int, steps: int, *, keep_trace: bool = False, live_steps: int = LIVE_STEPS) -> Outcome:
    """Runs one seed; once faults have ceased, everything must end within ``live_steps``."""
    quiet()
    with _collected_rarely():
        world = World(seed, keep_trace=keep_trace)
        outcome = Outcome(True, seed, steps, "")
        try:
            world.run_safety(steps)
            world.run_live(live_steps)
            check_restore(world)
            check_damage(world)
        except Exception as error:  # noqa: BLE001  whatever production code raises is a finding, told with its seed
            outcome.ok = False
            outcome.failure = f"{type(error).__name__}: {error}"
        trace = world.trace
        outcome.trace_hash = trace.digest()
        outcome.liveness_steps = max(0, trace.steps - steps)
        outcome.simulated_ms = world.schedule.now_us // 1_000
        outcome.runs, outcome.executions = len(world.auditor.runs), world.auditor.executions
        outcome.counts, outcome.faults = dict(world.auditor.counts), dict(world.faults.happened)
        outcome.swarm = world.swarm.described()
        if not outcome.ok:
            outcome.shortest = min(steps, trace.steps)
            outcome.last_steps = list(trace.lines or ())
        return outcome


def shorten(outcome: Outcome) -> int:
    """The smallest number of steps that was found to show some failure of this seed, by halving."""
    low, high = 0, outcome.shortest
    for _ in range(SHRINK_TRIES):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        if simulate(outcome.seed, middle).ok:
            low = middle
        else:
            high = middle
    return high


@contextmanager
def _collected_rarely() -> Iterator[None]:
    """Worlds are full of cycles and short: collecting often would only cost."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


__all__ = ["Outcome", "Violation", "shorten", "simulate"]
