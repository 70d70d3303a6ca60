"""Who awaits a signal with a correlation: runs in memory and runs that only the store has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.shard_cases import host
from support.shards import Host
from wfe.journal.store import PartitionStore
from wfe.model.definition import Definition, Parallel, WaitSignal
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


def test_a_run_that_waits_in_two_places_is_found_once() -> None:
    twice = (WaitSignal(id=name, signal="paid", correlate="${number}") for name in ("a", "b"))
    params = {"number": {"type": "string"}}
    shard = host(Definition("twice", params=params, nodes=(Parallel(id="both", do=tuple(twice)),)))
    run_id = shard.start("twice", "p-1").run_id
    assert who(shard, "p-1") == [run_id]
    shard.checkpoint()
    shard.crash()
    assert run_id not in shard.shard.core.partitions[0].entries
    assert who(shard, "p-1") == [run_id]


def test_a_run_that_goes_on_is_found_no_more() -> None:
    shard = host(PARCEL)
    run_id = shard.start("parcel", "p-1").run_id
    shard.checkpoint()
    shard.ask(Kind.SIGNAL, 0, SignalRun(run_id, "paid", NULL, "e", "p-1"))
    shard.settle()
    assert shard.outcomes[run_id].status == "completed"
    assert who(shard, "p-1") == []


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many channels each look at a store was for."""
    seen: list[int] = []
    awaiting: Callable[..., object] = PartitionStore.awaiting

    def counted(store: PartitionStore, channels: frozenset[str]) -> object:
        seen.append(len(channels))
        return awaiting(store, channels)

    monkeypatch.setattr(PartitionStore, "awaiting", counted)
    return seen


def asked(shard: Host, number: str, partition: int = 0) -> int:
    return shard.request(Kind.AWAITERS, partition, AwaitersQuery(channel_of("paid", number), 2))


def test_questions_that_come_while_a_partition_is_looked_through_share_the_next_look(looks: list[int]) -> None:
    shard = host(PARCEL)
    run_ids = [shard.start("parcel", f"p-{number}").run_id for number in range(20)]
    shard.checkpoint()
    shard.crash()
    questions = [asked(shard, f"p-{number}") for number in range(20)]
    none = asked(shard, "p-20")
    shard.settle()
    answers = [shard.reply(question, Awaiters) for question in questions]
    assert [answer.run_ids for answer in answers] == [[run_id] for run_id in run_ids]
    assert shard.reply(none, Awaiters).run_ids == []
    assert looks == [1, 20]


def test_a_question_whose_partition_left_holds_up_no_other(looks: list[int]) -> None:
    shard = host(PARCEL)
    run_id = shard.start("parcel", "p-1").run_id
    questions = [asked(shard, "p-1", partition) for partition in (1, 2, 0)]
    for number in (1, 2):
        shard.shard.core.partitions.pop(number)
    shard.settle()
    first, second, third = (shard.reply(question, Awaiters) for question in questions)
    assert (first, second) == (None, None), "their next owner is asked"
    assert third.run_ids == [run_id]
    assert looks == [1, 1]
