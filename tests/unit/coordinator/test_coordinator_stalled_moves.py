"""Moves of partitions from or to a shard that hangs: nobody waits for it, and nothing has two owners."""

from __future__ import annotations

import pytest

from support.coordinator_moves import Moving
from support.coordinator_world import CLIENT
from wfe.limits import MOVE_PHASE_MS, MOVE_RESEND_MS
from wfe.wire.backups import Backup
from wfe.wire.frames import Kind
from wfe.wire.messages import ErrorReply
from wfe.wire.rebalance import Adopt, Yield


def test_a_partition_of_a_shard_that_does_not_answer_stays_with_it_and_others_move_on() -> None:
    world = Moving()
    world.ask((0, 1), (2, 1), (1, 0))
    world.orders()
    world.silence(0)
    assert [(move.state, move.error and move.error.code) for move in world.ask().moves] == [
        ("failed", "unavailable")
    ] * 3, "nobody can move anything from or to it"
    assert world.ask().phase == "done"
    assert "shard 0 does not answer" in (world.ask().moves[0].error or ErrorReply("", "")).message
    [(shard, adopt)] = world.orders()
    assert (shard, adopt.number, adopt.partition, world.owner(0), world.is_routed(0)) == (0, 2, 0, 0, None)
    world.handed(0, 1, 0)
    world.handed(0, 2, 0)
    assert world.owner(0) == 0, "what it did in the end comes too late"
    assert "on its way still" in (world.ask((0, 1), id="b").moves[0].error or ErrorReply("", "")).message
    world.adopted(0, 2, 0)
    assert world.is_routed(0) == world.identity(0)
    assert world.ask((0, 1), id="c").phase == "moving"


def test_a_partition_that_is_not_written_down_in_time_stays_where_it_was() -> None:
    world = Moving()
    world.ask((0, 1), (3, 0))
    for _ in range(MOVE_PHASE_MS // 1_000):
        assert world.states() == ["leaving", "planned"]
        world.pass_time(1_000, heard=(0, 1))
    assert world.states() == ["failed", "leaving"]
    orders = world.orders()
    assert [type(order) for _, order in orders[-2:]] == [Adopt, Yield]
    world.adopted(0, orders[-2][1].number, 0)
    assert (world.is_routed(0), world.states()) == (world.identity(0), ["failed", "leaving"])


def test_a_partition_whose_next_owner_does_not_answer_is_its_nevertheless_and_nobody_waits_for_that() -> None:
    world = Moving()
    world.ask((0, 1), (2, 1))
    world.handed(0, 1, 0)
    world.orders()
    world.silence(1)
    report = world.ask()
    assert (report.phase, [move.state for move in report.moves]) == ("done", ["unserved", "failed"])
    assert "partition 0 is its now" in (report.moves[0].error or ErrorReply("", "")).message
    assert (world.owner(0), world.is_routed(0)) == (1, None)
    world.send(CLIENT, Kind.BACKUP, Backup("x", "/backups/1"))
    assert world.error().code == "backup"
    world.orders()
    world.pass_time(MOVE_RESEND_MS)
    [(shard, adopt)] = world.orders()
    assert (shard, adopt.number, adopt.partition) == (1, 2, 0), "it hears of it until it answers"
    world.adopted(1, 2, 0)
    assert world.is_routed(0) == world.identity(1)
    world.pass_time(MOVE_RESEND_MS)
    assert world.orders() == []


@pytest.mark.parametrize(("late", "owner"), [("leaving", 0), ("arriving", 1)])
def test_a_shard_that_was_replaced_because_it_did_not_answer_begins_with_what_it_owns(late: str, owner: int) -> None:
    world = Moving()
    world.ask((0, 1))
    if late == "arriving":
        world.handed(0, 1, 0)
    world.silence(owner)
    world.end(owner)
    options = world.last_options(f"shard-{owner}")
    assert 0 in options.partitions
    world.shard_hello(options)
    assert world.is_routed(0) == world.identity(owner)
    world.orders()
    world.pass_time(MOVE_RESEND_MS)
    assert world.orders() == []


def test_a_partition_that_could_not_be_moved_and_is_not_taken_back_either_holds_up_nobody() -> None:
    world = Moving()
    world.ask((0, 1))
    world.end(1)
    world.handed(0, 1, 0)
    world.silence(0)
    report = world.ask()
    assert (report.phase, report.moves[0].state) == ("done", "failed")
    assert "goes back to it" in (report.moves[0].error or ErrorReply("", "")).message
