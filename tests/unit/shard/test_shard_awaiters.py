"""Who awaits a signal with a correlation: runs in memory and runs that only the store has."""

from __future__ import annotations

from support.shard_cases import host
from support.shards import Host
from wfe.model.definition import Definition, WaitSignal
from wfe.model.state import channel_of
from wfe.wire.awaiters import Awaiters, AwaitersQuery
from wfe.wire.frames import Kind
from wfe.wire.messages import NULL, SignalRun

PARCEL = Definition(
    "parcel",
    params={"number": {"type": "string"}},
    nodes=(WaitSignal(id="s", signal="paid", correlate="${number}"),),
    output="${s}",
)


def who(shard: Host, number: str, limit: int = 2) -> list[str]:
    query = AwaitersQuery(channel_of("paid", number), limit)
    found: Awaiters = shard.ask(Kind.AWAITERS, 0, query, Awaiters)
    return found.run_ids


def test_runs_in_memory_and_in_the_store_are_found_once_each() -> None:
    shard = host(PARCEL)
    stored = shard.start("parcel", "p-1").run_id
    other = shard.start("parcel", "p-2").run_id
    shard.checkpoint()
    assert who(shard, "p-1") == [stored]
    shard.crash()
    partition = shard.shard.core.partitions[0]
    assert stored not in partition.entries, "only the store has it"
    fresh = shard.start("parcel", "p-1").run_id
    assert sorted(who(shard, "p-1")) == sorted([stored, fresh])
    assert who(shard, "p-1", limit=1) == [fresh]
    assert who(shard, "p-2") == [other]
    assert who(shard, "p-3") == []


def test_a_run_that_goes_on_is_found_no_more() -> None:
    shard = host(PARCEL)
    run_id = shard.start("parcel", "p-1").run_id
    shard.checkpoint()
    shard.ask(Kind.SIGNAL, 0, SignalRun(run_id, "paid", NULL, "e", "p-1"))
    shard.settle()
    assert shard.outcomes[run_id].status == "completed"
    assert who(shard, "p-1") == []
