"""Moves of partitions at the coordinator: their order, what is refused, and what becomes of them when shards end."""

from __future__ import annotations

from typing import Any

import pytest

from support.coordinator_moves import Moving
from support.coordinator_world import CLIENT, decode, encode
from wfe.cli.operations import UNEVEN_PERCENT
from wfe.coordinator.balance import plan, weights
from wfe.errors import DataError, DataFull
from wfe.limits import MOVE_RESEND_MS
from wfe.wire.backups import Backup
from wfe.wire.frames import Kind, header
from wfe.wire.messages import ErrorReply, Mail, ShardStats, Welcome
from wfe.wire.rebalance import Move, PartitionLoad, Yield


def test_a_partition_gets_its_next_owner_between_the_words_of_the_former_and_the_next() -> None:
    world = Moving()
    assert world.ask((0, 1)).phase == "moving"
    assert world.orders() == [(0, Yield(1, 0))]
    assert (world.is_routed(0), world.owner(0)) == (None, 0)
    world.handed(0, 1, 0)
    [(shard, adopt)] = world.orders()
    assert (shard, adopt.number, adopt.partition, world.owner(0)) == (1, 2, 0, 1)
    assert adopt.epoch > world.last_options("shard-0").epoch
    assert world.is_routed(0) is None
    world.now_ms += 40
    world.adopted(1, 2, 0)
    assert world.is_routed(0) == world.identity(1)
    report = world.ask()
    assert (report.phase, report.moves) == ("done", [Move(0, 0, 1, "moved", 40)])


def test_workers_and_senders_of_mail_hear_where_a_partition_is_once_it_is_served() -> None:
    world = Moving()
    world.hello(b"w", role="worker", worker="w1")
    world.ask((0, 1))
    world.handed(0, 1, 0)
    world.effects.front.clear()
    world.effects.back.clear()
    world.adopted(1, 2, 0)
    welcome = decode(world.answer(b"w")[1], Welcome)
    assert [shard.partitions for shard in welcome.shards] == [[2], [0, 1, 3]]
    assert [(peer, decode(parts[1], list[int])) for peer, parts in world.effects.back] == [(world.identity(0), [0])]


def test_mail_and_requests_for_a_partition_on_its_way_are_not_passed_on() -> None:
    world = Moving()
    world.ask((0, 1))
    world.orders()
    world.from_shard(1, [header(Kind.MAIL, 0), encode([Mail(1, 0, 1, 1, b"\xc0")])])
    world.send(CLIENT, Kind.GET, b"", partition=0)
    assert world.effects.back == []
    error = world.error()
    assert error.code == "unavailable"
    assert "moves between shards" in error.message
    assert error.retry_after_ms > 0


def test_partitions_move_one_after_the_other_and_what_is_there_already_stays() -> None:
    world = Moving()
    assert [move.partition for move in world.ask((2, 1), (1, 1), (0, 1)).moves] == [2, 0]
    assert world.orders() == [(0, Yield(1, 2))]
    world.handed(0, 1, 2)
    world.adopted(1, 2, 2)
    assert [order for _, order in world.orders() if isinstance(order, Yield)] == [Yield(3, 0)]
    assert world.states() == ["moved", "leaving"]


def test_an_order_is_said_again_until_it_is_answered() -> None:
    world = Moving()
    world.ask((0, 1))
    world.orders()
    world.now_ms += MOVE_RESEND_MS - 1
    world.actor.on_tick(world.now_ms)
    assert world.orders() == []
    world.now_ms += 1
    world.actor.on_tick(world.now_ms)
    assert world.orders() == [(0, Yield(1, 0))]


def test_what_a_shard_says_late_or_out_of_turn_moves_nothing() -> None:
    world = Moving()
    world.ask((0, 1))
    world.handed(1, 1, 0)
    world.handed(0, 9, 0)
    world.adopted(0, 1, 0)
    assert (world.states(), world.owner(0)) == (["leaving"], 0)
    world.handed(0, 1, 0)
    world.handed(0, 1, 0)
    world.adopted(0, 2, 0)
    assert (world.states(), world.owner(0), world.is_routed(0)) == (["arriving"], 1, None)


def test_a_partition_whose_owner_ends_before_it_handed_it_over_stays_its() -> None:
    world = Moving()
    world.ask((0, 1))
    world.end(0)
    assert (world.states(), world.owner(0)) == (["failed"], 0)
    options = world.last_options("shard-0")
    assert options.partitions == [0, 2]
    world.shard_hello(options)
    assert world.is_routed(0) == world.identity(0)


def test_a_partition_whose_next_owner_ends_before_it_could_be_written_down_goes_back() -> None:
    world = Moving()
    world.ask((0, 1))
    world.end(1)
    assert world.states() == ["leaving"]
    world.orders()
    world.handed(0, 1, 0)
    [(shard, adopt)] = world.orders()
    assert (shard, adopt.partition, world.owner(0)) == (0, 0, 0)
    world.adopted(0, adopt.number, 0)
    assert (world.states(), world.is_routed(0)) == (["failed"], world.identity(0))


def test_workers_see_a_partition_go_that_comes_back_so_that_they_present_again_what_they_have_of_it() -> None:
    world = Moving()
    world.hello(b"w", role="worker", worker="w1")
    world.ask((0, 1))
    world.end(1)
    world.orders()
    world.effects.front.clear()
    world.handed(0, 1, 0)
    [(_, adopt)] = world.orders()
    world.adopted(0, adopt.number, 0)
    told = [decode(parts[1], Welcome).shards[0].partitions for peer, parts in world.effects.front if peer == b"w"]
    assert told == [[2], [0, 2]]


def test_a_partition_whose_next_owner_ends_before_it_served_it_is_its_nevertheless() -> None:
    world = Moving()
    world.ask((0, 1))
    world.handed(0, 1, 0)
    world.end(1)
    assert (world.states(), world.owner(0), world.is_routed(0)) == (["moved"], 1, None)
    options = world.last_options("shard-1")
    assert options.partitions == [0, 1, 3]
    world.shard_hello(options)
    assert world.is_routed(0) == world.identity(1)


def test_without_room_for_the_new_owner_the_former_one_takes_the_partition_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Moving()
    world.ask((0, 1))
    world.orders()

    def full(*_: Any) -> None:
        raise DataFull("no room")

    monkeypatch.setattr(world.catalogue, "assign", full)
    world.handed(0, 1, 0)
    [(shard, adopt)] = world.orders()
    assert (shard, world.owner(0)) == (0, 0)
    world.adopted(0, adopt.number, 0)
    assert world.states() == ["failed"]
    assert world.ask().moves[0].error == ErrorReply("data_full", "no room")


def test_when_nobody_knows_who_was_written_down_nobody_serves_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Moving()
    world.ask((0, 1))
    world.orders()

    def broken(*_: Any) -> None:
        raise DataError("the disk is broken")

    monkeypatch.setattr(world.catalogue, "assign", broken)
    world.handed(0, 1, 0)
    assert (world.orders(), world.states(), world.is_routed(0)) == ([], ["failed"], None)
    world.send(CLIENT, Kind.BACKUP, Backup("x", "/backups/1"))
    assert world.error().code == "backup", "no shard would copy its store, and nobody could restore that"


@pytest.mark.parametrize(
    ("moves", "said"),
    [([(4, 0)], "no partition 4"), ([(0, 2)], "no shard 2"), ([(0, 1), (0, 0)], "several shards")],
)
def test_moves_that_make_no_sense_are_refused(moves: list[tuple[int, int]], said: str) -> None:
    error = Moving().refusal(*moves)
    assert error.code == "rebalance"
    assert said in error.message


def test_one_rebalance_at_a_time() -> None:
    world = Moving()
    world.ask((0, 1))
    assert "already" in world.refusal((2, 1)).message
    assert world.ask((2, 1), id="c", dry_run=True).moves == [Move(2, 0, 1)]


def test_backups_and_moves_keep_out_of_each_others_way() -> None:
    world = Moving()
    world.ask((0, 1))
    world.send(CLIENT, Kind.BACKUP, Backup("x", "/backups/1"))
    assert (world.error().code, "being moved" in world.error().message) == ("backup", True)
    other = Moving()
    other.send(CLIENT, Kind.BACKUP, Backup("x", "/backups/1"))
    assert "while a backup is made" in other.refusal((0, 1)).message


def test_shards_that_do_not_serve_take_part_in_no_move() -> None:
    world = Moving()
    world.end(1)
    assert world.refusal().code == "unavailable"
    report = world.ask((0, 1))
    assert (report.phase, report.moves[0].state) == ("done", "failed")
    assert "shard 1 does not serve" in (report.moves[0].error or ErrorReply("", "")).message
    assert world.is_routed(0) == world.identity(0)


def test_a_server_that_stops_begins_no_further_move() -> None:
    world = Moving()
    world.ask((0, 1), (2, 1))
    world.actor.drain(world.now_ms)
    assert world.states() == ["failed", "failed"]


def test_a_rebalance_that_is_over_is_told_as_it_was() -> None:
    world = Moving()
    world.ask((0, 1))
    world.handed(0, 1, 0)
    world.adopted(1, 2, 0)
    world.ask((0, 0), id="second")
    assert world.ask((0, 1)).moves[0].state == "moved"
    assert world.orders()[-1] == (1, Yield(3, 0))


def test_without_moves_the_load_decides() -> None:
    world = Moving(partitions=8)
    for shard, loads in ((0, [PartitionLoad(p, 50, 1_000) for p in (0, 2, 4, 6)]), (1, [])):
        stats = ShardStats(shard, 1, 5, partitions=loads)
        world.from_shard(shard, [header(Kind.SHARD_STATS), encode(stats)])
    moves = world.ask(dry_run=True).moves
    assert {(move.source, move.target, move.state) for move in moves} == {(0, 1, "planned")}
    assert len(moves) == 2


def test_idle_partitions_are_spread_evenly_and_what_is_even_stays() -> None:
    owners = dict.fromkeys(range(8), 0)
    moves = plan(owners, range(4), weights(8, []))
    owners.update(moves)
    assert sorted(list(owners.values()).count(shard) for shard in range(4)) == [2, 2, 2, 2]
    assert plan(owners, range(4), weights(8, [])) == []


def test_status_tells_what_moves_and_how_uneven_the_load_is() -> None:
    world = Moving()
    world.ask((0, 1))
    status = world.actor.status(world.now_ms)
    assert (status.moving, status.busiest_percent) == ([0], 100)
    world.handed(0, 1, 0)
    world.adopted(1, 2, 0)
    status = world.actor.status(world.now_ms)
    assert (status.moving, status.busiest_percent) == ([], 150)


@pytest.mark.parametrize(
    ("runs", "written", "uneven"), [(3, 2_000, False), (3_000, 0, True), (0, 2_000_000, True), (3_000, 2_000_000, True)]
)
def test_the_load_of_a_server_that_hardly_does_anything_is_not_called_uneven(
    runs: int, written: int, uneven: bool
) -> None:
    world = Moving()
    stats = ShardStats(0, 1, 5, partitions=[PartitionLoad(0, runs, written)])
    world.from_shard(0, [header(Kind.SHARD_STATS), encode(stats)])
    assert (world.actor.status(world.now_ms).busiest_percent >= UNEVEN_PERCENT) == uneven


def test_one_partition_that_has_all_the_load_is_left_alone() -> None:
    heavy = weights(4, [PartitionLoad(0, 1_000, 1_000_000)])
    moves = plan({0: 0, 1: 1, 2: 0, 3: 1}, range(2), heavy)
    assert all(partition != 0 for partition, _ in moves)
