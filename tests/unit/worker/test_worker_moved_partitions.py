"""A worker whose partitions have other owners: after another number of shards, or a move while it works."""

from __future__ import annotations

from support.worker_engine import Engine, result, spec
from wfe.model.ids import mint_run_id
from wfe.wire.frames import Kind
from wfe.wire.messages import ShardEndpoint


def run_in(partition: int) -> str:
    return mint_run_id(partition, 1_000, 7)


def endpoints(shards: int, epoch: int) -> list[ShardEndpoint]:
    owned = [[number for number in range(4) if number % shards == index] for index in range(shards)]
    return [ShardEndpoint(i, epoch, "", f"tcp://shard-{i}-{epoch}", True, owned[i]) for i in range(shards)]


def joined(shards: int) -> Engine:
    engine = Engine()
    engine.endpoints = endpoints(shards, 1)
    return engine.join()


def told(engine: Engine) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Runs by shard: presented as held in its hello, and reported as ended after it."""
    held: dict[int, list[str]] = {}
    ended: dict[int, list[str]] = {}
    for link, kind, body in engine.sent:
        if kind == Kind.WORKER_HELLO:
            held[link] = [ref.run_id for ref in body.held]
            ended.pop(link, None)
        elif kind == Kind.RESULTS:
            ended.setdefault(link, []).extend(result.run_id for result in body.results)
    return held, ended


def test_what_is_held_and_not_acknowledged_goes_to_the_new_owners_when_there_are_more_shards() -> None:
    engine = joined(2)
    engine.dispatch(1, 1, spec(run_in(1)), spec(run_in(3)))
    engine.dispatch(1, 2, spec(run_in(3), attempt=2), spec(run_in(1), attempt=2))
    engine.end(result(run_in(3)), result(run_in(1)))
    engine.sent.clear()
    engine.endpoints = endpoints(4, 2)
    engine.welcome()
    held, ended = told(engine)
    assert held == {0: [], 1: [run_in(1)], 2: [], 3: [run_in(3)]}
    assert ended == {1: [run_in(1)], 3: [run_in(3)]}


def test_what_is_held_and_not_acknowledged_goes_to_the_new_owners_when_there_are_fewer_shards() -> None:
    engine = joined(4)
    engine.dispatch(3, 1, spec(run_in(3)), spec(run_in(3), attempt=2))
    engine.end(result(run_in(3)))
    engine.sent.clear()
    engine.endpoints = endpoints(2, 2)
    engine.welcome()
    held, ended = told(engine)
    assert held == {0: [], 1: [run_in(3)]}
    assert ended == {1: [run_in(3)]}
    assert sorted(engine.actor.links) == [0, 1], "links to shards that are no more are dropped"
    assert sorted(engine.closed) == [2, 3]
    engine.welcome_from(1)
    engine.ack(1, 1)
    engine.end(result(run_in(3), attempt=2))
    engine.ack(1, 2)
    assert engine.actor.links[1].unacknowledged() == 0
    assert engine.actor.held == 0


def move(engine: Engine, partition: int, source: int, target: int) -> None:
    engine.endpoints[source].partitions.remove(partition)
    engine.endpoints[target].partitions.append(partition)
    engine.sent.clear()
    engine.welcome()


def test_what_is_held_and_not_acknowledged_goes_along_with_a_partition_that_moves() -> None:
    engine = joined(2)
    engine.dispatch(1, 1, spec(run_in(3)), spec(run_in(3), attempt=2), spec(run_in(1)))
    engine.end(result(run_in(3)), result(run_in(1)))
    move(engine, 3, 1, 0)
    held, ended = told(engine)
    assert held == {0: [run_in(3)], 1: []}
    assert ended == {0: [run_in(3)], 1: [run_in(1)]}


def test_a_shard_whose_partitions_stay_is_not_greeted_again() -> None:
    engine = joined(4)
    move(engine, 3, 3, 0)
    held, _ = told(engine)
    assert set(held) == {0, 3}


def test_while_a_partition_has_no_owner_its_tasks_stay_where_they_are() -> None:
    engine = joined(2)
    engine.dispatch(1, 1, spec(run_in(3)))
    engine.endpoints[1].partitions.remove(3)
    engine.sent.clear()
    engine.welcome()
    assert told(engine)[0] == {1: [run_in(3)]}
    engine.endpoints[0].partitions.append(3)
    engine.sent.clear()
    engine.welcome()
    assert told(engine)[0] == {0: [run_in(3)]}
