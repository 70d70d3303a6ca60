"""Random workflows on a shard that crashes again and again, with tiny pages and nearly every value a blob."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random
from typing import Any

import pytest
from msgspec import Raw
from test_large_values_properties import tiny

from support.programs import SIGNALS
from support.shards import Host, decode, encode
from wfe.journal import schema
from wfe.model.definition import Definition
from wfe.sim.generator import Generator
from wfe.wire import messages as m
from wfe.wire.frames import Kind

ROUNDS = 40


def boom(x: Any) -> Any:
    raise KeyError("boom")


TASKS = {"echo": lambda x: x, "flaky": lambda x: x, "boom": boom}


def end_of(definition: Definition, crashes: Random) -> tuple[Any, ...]:
    """How the run ends, if it does, when what it waits for comes and the shard crashes at these moments."""
    shard = Host(definition, tasks=TASKS)
    shard.hello()
    run_id = shard.start(definition.workflow, 5).run_id
    view = shard.get(run_id)
    for number in range(ROUNDS):
        if crashes.random() < 0.5:
            for _ in range(crashes.randrange(6)):
                shard.turn()
                if crashes.random() < 0.5:
                    shard.work()
            if crashes.random() < 0.5:
                shard.checkpoint()
            shard.crash()
            assert shard.disk_is_sound()
            shard.hello()
            shard.now_ms += 2_000
        shard.settle()
        view = shard.get(run_id)
        if view.ended_at:
            break
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, SIGNALS[number % 2], Raw(encode(number)), f"e{number}"))
        shard.settle()
        shard.now_ms += 60_000
        shard.turn()
        shard.hello()
    shard.settle()
    view = shard.get(run_id)
    shard.checkpoint()
    assert shard.disk_is_sound()
    if view.ended_at:
        names = shard.disk.store("p0").range(schema.BLOBS, b"", None, limit=1_000)
        assert len(names) <= 20, "what the run's input and output consist of"
    return view.status, decode(view.output), view.error and view.error.type


@pytest.mark.parametrize("seed", range(30))
def test_runs_end_alike_with_references_and_crashes(seed: int):
    definition = Generator(Random(seed)).definition(depth=3)
    ends = []
    for world in (nullcontext(), tiny()):
        with world:
            ends.append(end_of(definition, Random(seed)))
    assert ends[0] == ends[1]
