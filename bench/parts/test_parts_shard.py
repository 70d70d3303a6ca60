"""What a task costs a whole shard: frames in, decided, committed (not synced), checkpointed, frames out."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from played import PlayedShard

from wfe.client.bench import definitions


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[PlayedShard]:
    played = PlayedShard(tmp_path)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    yield played
    played.close()
    gc.unfreeze()


@pytest.mark.parametrize(
    ("definition", "given", "runs", "at_once"),
    [
        (definitions.chain(10), None, 500, 200),
        (definitions.fanout(100), list(range(100)), 50, 20),
        (definitions.chain(1), None, 2_000, 200),
    ],
    ids=["chains", "fanouts", "single"],
)
def test_a_shard_takes_starts_and_results(
    benchmark: Any, shard: PlayedShard, definition: Any, given: object, runs: int, at_once: int
) -> None:
    shard.run(definition, given, runs=at_once, at_once=at_once)
    tasks = benchmark.pedantic(
        shard.run, args=(definition, given), kwargs={"runs": runs, "at_once": at_once}, rounds=10
    )
    assert tasks == runs * (len(definition.nodes) if given is None else 102)
    benchmark.extra_info.update(per="task", units=tasks)


def cost_us(directory: Path, shape: str, rounds: int = 10) -> float:
    """Processor time per task of the best round; for comparisons of two trees on a machine that others use, too."""
    definition = definitions.chain(10) if shape == "chains" else definitions.fanout(100)
    given, runs, at_once = (None, 1_000, 200) if shape == "chains" else (list(range(100)), 100, 20)
    played = PlayedShard(directory)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    played.run(definition, given, runs=at_once, at_once=at_once)
    best = float("inf")
    for _ in range(rounds):
        begun = time.thread_time()
        tasks = played.run(definition, given, runs=runs, at_once=at_once)
        best = min(best, 1e6 * (time.thread_time() - begun) / tasks)
    played.close()
    return best
