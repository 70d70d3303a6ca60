"""A worker's resources: who gets them, and that no more is given away than there is."""

from __future__ import annotations

from support.worker_engine import Engine, result, spec
from wfe.limits import HEARTBEAT_MS
from wfe.model.needs import ANY, Needs, needs_of
from wfe.wire.frames import Kind
from wfe.wire.lending import Grants, ShardLoad, Want
from wfe.wire.messages import Dispatch
from wfe.worker.ration import LOST_GRANT_MS, Ration


def asks(**resources: float) -> Needs:
    needs = needs_of((), resources)
    assert needs is not None
    return needs


ONE, TWO = asks(gpu=1), asks(gpu=2)


def ration(slots: int = 10, **resources: int) -> Ration:
    return Ration({name: amount * 1_000 for name, amount in resources.items()}, slots)


def test_as_many_are_granted_as_there_is_room_for_and_the_rest_when_others_have_ended() -> None:
    books = ration(gpu=2)
    books.wanted(0, [Want(ONE, 5)])
    assert books.allot([0], 0) == {0: [Want(ONE, 2)]}
    assert books.allot([0], 0) == {}
    books.used(0, ONE, 1)
    books.take(("a", 0, 0, 1), ONE)
    assert books.allot([0], 0) == {}, "held or granted, it is taken"
    books.ended([("a", 0, 0, 1)])
    assert books.allot([0], 0) == {0: [Want(ONE, 1)]}


def test_what_was_granted_in_vain_goes_to_another_shard() -> None:
    books = ration(gpu=1)
    books.wanted(0, [Want(ONE, 1)])
    books.wanted(1, [Want(ONE, 1)])
    assert books.allot([0, 1], 0) == {0: [Want(ONE, 1)]}
    books.unused(0, [Want(ONE, 1)])
    assert books.allot([0, 1], 0) == {1: [Want(ONE, 1)]}


def test_a_task_that_needs_much_comes_before_those_behind_it_that_need_little() -> None:
    books = ration(gpu=2)
    books.take(("a", 0, 0, 1), ONE)
    books.wanted(0, [Want(TWO, 1)])
    books.wanted(1, [Want(ONE, 1)])
    assert books.allot([0, 1], 0) == {}, "one is free, and is kept for the one that needs two"
    books.ended([("a", 0, 0, 1)])
    assert books.allot([0, 1], 0) == {0: [Want(TWO, 1)]}


def test_what_the_first_in_line_does_not_need_goes_to_others_meanwhile() -> None:
    books = ration(gpu=1, cpu=4)
    books.take(("a", 0, 0, 1), ONE)
    both, cpu = asks(gpu=1, cpu=3), asks(cpu=1)
    books.wanted(0, [Want(both, 1), Want(cpu, 5)])
    assert books.allot([0], 0) == {0: [Want(cpu, 1)]}, "three of four are kept"


def test_shards_and_needs_take_turns() -> None:
    books = ration(slots=1, gpu=8)
    books.wanted(0, [Want(ONE, 9)])
    books.wanted(1, [Want(ONE, 9)])
    served = []
    for number in range(4):
        ((shard, _),) = books.allot([0, 1], 0).items()
        served.append(shard)
        key = ("a", 0, 0, number)
        books.used(shard, ONE, 1)
        books.take(key, ONE)
        books.ended([key])
    assert served == [0, 1, 0, 1]


def test_what_exceeds_all_that_there_is_is_never_granted_and_keeps_nobody_waiting() -> None:
    books = ration(gpu=1)
    books.wanted(0, [Want(TWO, 1), Want(asks(tape=1), 1), Want(ONE, 1)])
    assert books.allot([0], 0) == {0: [Want(ONE, 1)]}


def test_a_worker_with_any_resource_is_bound_by_what_it_names_only() -> None:
    books = Ration({ANY: 1, "gpu": 1_000}, 3)
    books.wanted(0, [Want(asks(tape=500), 2), Want(ONE, 2)])
    assert books.allot([0], 0) == {0: [Want(asks(tape=500), 2), Want(ONE, 1)]}


def test_what_belongs_to_a_conversation_that_is_over_is_free_again() -> None:
    books = ration(gpu=1)
    books.wanted(0, [Want(ONE, 1)])
    books.allot([0], 0)
    books.void(0)
    books.wanted(1, [Want(ONE, 1)])
    assert books.allot([0, 1], 0) == {1: [Want(ONE, 1)]}


def test_a_grant_that_neither_comes_back_nor_is_used_was_lost() -> None:
    books = ration(gpu=1)
    books.wanted(0, [Want(ONE, 1)])
    books.allot([0], 100)
    assert not books.lost(0, 100 + LOST_GRANT_MS - 1)
    assert books.lost(0, 100 + LOST_GRANT_MS)
    assert not books.lost(1, 100 + LOST_GRANT_MS)


# ---- in the actor


def granted(engine: Engine) -> list[Want]:
    return [want for grants in engine.take(Kind.GRANT) for want in grants.tasks]


def test_a_worker_grants_what_a_shard_wants_and_takes_its_tasks_without_credit() -> None:
    engine = Engine(resources={"gpu": 1_000}).join()
    assert [hello.resources for hello in engine.take(Kind.WORKER_HELLO)] == [{"gpu": 1_000}]
    lent = engine.lent(0)
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 3)]))
    assert granted(engine) == [Want(ONE, 1)]
    engine.receive(0, Kind.DISPATCH, Dispatch(1, [spec("a")], needs=ONE))
    assert [task.run_id for task in engine.started] == ["a"]
    assert engine.lent(0) == lent
    assert granted(engine) == []
    engine.end(result("a"))
    assert granted(engine) == [Want(ONE, 1)], "the shard still wants it for two"


def test_a_worker_that_leaves_grants_nothing_and_waits_for_what_it_has_granted() -> None:
    engine = Engine(resources={"gpu": 1_000}).join()
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 1)]))
    engine.actor.retire()
    engine.tick()
    engine.receive(0, Kind.RETURNED)
    assert not engine.actor.settled
    engine.receive(0, Kind.UNUSED, Grants(1, [Want(ONE, 1)]))
    assert engine.actor.settled
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 1)]))
    engine.take(Kind.GRANT)
    engine.tick()
    assert granted(engine) == []


def test_a_grant_that_was_lost_is_settled_by_a_new_hello() -> None:
    engine = Engine(resources={"gpu": 1_000}).join()
    engine.take(Kind.WORKER_HELLO)
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 1)]))
    for _ in range(LOST_GRANT_MS // HEARTBEAT_MS):
        engine.tick(HEARTBEAT_MS)
        engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 1)]))
    assert len(engine.take(Kind.WORKER_HELLO)) == 1
    engine.welcome_from(0)
    engine.take(Kind.GRANT)
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 1)]))
    assert granted(engine) == [Want(ONE, 1)]


def test_what_is_given_back_twice_counts_once() -> None:
    engine = Engine(resources={"gpu": 2_000}).join()
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 2)]))
    for _ in range(2):
        engine.receive(0, Kind.UNUSED, Grants(1, [Want(ONE, 1)]))
    engine.take(Kind.GRANT)
    engine.receive(0, Kind.LOAD, ShardLoad(0, 0, [Want(ONE, 2)]))
    assert granted(engine) == [Want(ONE, 1)], "one is still set aside"
