"""What a shard counts is what it has committed."""

from __future__ import annotations

from support.shard_cases import chain, host


def test_a_run_that_ends_is_counted_once_though_more_is_said_of_it_in_the_same_batch() -> None:
    shard = host(chain(1))
    started = shard.start("chain", 1)
    for _ in range(3):
        shard.turn()
    (spec,) = shard.dispatched()
    result = shard.execute(spec)
    shard.results([result, result])
    shard.turn()
    assert shard.output(started.run_id) == 2
    assert shard.shard.core.counters["runs_completed"] == 1
