"""Which definitions a shard keeps runs of: a start that is on its way counts before its run is there."""

from __future__ import annotations

from support.shard_cases import host, waiting
from support.shards import PARTITIONS, Host, encode
from wfe.core.canonical import definition_hash
from wfe.model.ids import mint_run_id, partition_of_key
from wfe.wire import messages as m
from wfe.wire.definitions import UsageQuestion
from wfe.wire.frames import Kind, header

USED = definition_hash(waiting())


def keyed() -> Host:
    """A shard with the partition of key "k" alone, which has the definition and no run of it."""
    number = partition_of_key("default", "waiting", "k", PARTITIONS)
    shard = host(partitions=[number])
    shard.ask(Kind.START, number, [m.StartRun("no id", m.Raw(encode(None)))], workflow="waiting")
    assert USED in shard.shard.loader.definitions
    return shard


def asked(shard: Host, turns: int = 4) -> list[dict[str, str]]:
    shard.shard.on_back([header(Kind.USAGE), encode(UsageQuestion(1, [USED]))], shard.now_ms)
    for _ in range(turns):
        shard.turn()
    return [answer.runs for answer in shard.used]


def test_a_definition_without_runs_is_not_used():
    assert asked(keyed()) == [{}]


def test_a_start_whose_id_and_key_are_looked_up_uses_its_definition():
    shard = keyed()
    [number] = shard.owned
    wanted = m.StartRun(mint_run_id(number, shard.now_ms, 7), m.Raw(encode(None)), key="k", resent=True)
    shard.request(Kind.START, number, [wanted], workflow="waiting")
    [used] = asked(shard)
    assert shard.get(wanted.run_id).status == "waiting"
    assert set(used) == {USED}


def test_a_start_that_was_refused_after_a_look_uses_nothing():
    shard = keyed()
    [number] = shard.owned
    other = m.StartRun(mint_run_id(number, shard.now_ms, 7), m.Raw(encode(None)), resent=True)
    number = shard.request(Kind.START, number, [other], workflow="waiting", refusal="deprecated")
    shard.turn()
    assert shard.reply(number) is not None
    assert asked(shard) == [{}]
