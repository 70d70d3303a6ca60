"""Moves of partitions at the coordinator: their order, what is refused, and what becomes of them when shards end."""

from __future__ import annotations

from typing import Any

import pytest

from support.coordinator_world import CLIENT, World, decode, encode
from wfe.cli.operations import UNEVEN_PERCENT
from wfe.coordinator.balance import plan, weights
from wfe.errors import DataError, DataFull
from wfe.limits import MOVE_PHASE_MS, MOVE_RESEND_MS, STALLED_MS
from wfe.wire.backups import Backup
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import ErrorReply, Mail, ShardStats, Welcome
from wfe.wire.rebalance import Adopt, Adopted, Handed, Move, PartitionLoad, Rebalance, RebalanceReport, Yield

BODIES = {Kind.YIELD: Yield, Kind.ADOPT: Adopt}


class Moving(World):
    """Two shards that serve (0 has partitions 0 and 2, 1 the others), and a client that asks for moves."""

    def __init__(self, partitions: int = 4) -> None:
        super().__init__(shards=2, partitions=partitions)
        self.serving()
        self.hello()

    def ask(self, *moves: tuple[int, int], id: str = "a", dry_run: bool = False) -> RebalanceReport:
        self.send(CLIENT, Kind.REBALANCE, Rebalance(id, list(moves), dry_run))
        head, body = self.answer()
        assert head.kind == Kind.REPLY, decode(body, ErrorReply)
        found: RebalanceReport = decode(body, RebalanceReport)
        return found

    def refusal(self, *moves: tuple[int, int], id: str = "b") -> ErrorReply:
        self.send(CLIENT, Kind.REBALANCE, Rebalance(id, list(moves)))
        return self.error()

    def orders(self) -> list[tuple[int, Any]]:
        """(shard, YIELD or ADOPT) since the last look."""
        found = []
        for peer, parts in self.effects.back:
            kind = Kind(decode_header(parts[0]).kind)
            if kind in BODIES:
                found.append((int(peer.split(b"-")[1]), decode(parts[1], BODIES[kind])))
        self.effects.back.clear()
        return found

    def handed(self, shard: int, number: int, partition: int) -> None:
        self.from_shard(shard, [header(Kind.HANDED), encode(Handed(number, partition))])

    def adopted(self, shard: int, number: int, partition: int) -> None:
        self.from_shard(shard, [header(Kind.ADOPTED), encode(Adopted(number, partition))])

    def states(self, id: str = "a") -> list[str]:
        return [move.state for move in self.ask(id=id).moves]

    def owner(self, partition: int) -> int:
        return self.catalogue.owners()[partition]

    def end(self, index: int, code: int = -9) -> None:
        self.actor.on_child_exit(f"shard-{index}", code, self.now_ms)

    def pass_time(self, ms: int, heard: tuple[int, ...] = ()) -> None:
        """``heard``: shards that say something at the end of it."""
        self.now_ms += ms
        for index in heard:
            self.from_shard(index, [header(Kind.SHARD_STATS), encode(ShardStats(index, 1, self.now_ms))])
        self.actor.on_tick(self.now_ms)

    def silence(self, index: int) -> None:
        """A shard says nothing for so long that it is taken for stalled; the others do."""
        for _ in range(STALLED_MS // 1_000 + 1):
            self.effects.back.clear()
            self.pass_time(1_000, heard=tuple({0, 1} - {index}))

    def is_routed(self, partition: int) -> bytes | None:
        return self.actor.topology.routes[partition]


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
