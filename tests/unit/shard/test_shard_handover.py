"""A partition goes from one shard to another: what goes with it, what stays, and what a crash in between leaves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec import Raw

from support.shard_cases import TASKS, chain, waiting
from support.shards import Host, decode, encode
from wfe.journal.rows import swept_ops
from wfe.model.definition import Definition, Sleep
from wfe.model.ids import mint_run_id
from wfe.model.mail import ChildControl
from wfe.ports import Op
from wfe.wire import messages as m
from wfe.wire.backups import Barrier, Release
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.rebalance import Adopt, Yield
from wfe.wire.task_logs import LogBatch, LogFrame, LogLine, LogPage, LogQuery

MOVED = 0
"""The partition that moves; requests of `Host.start` without a key go there."""
NUMBERS = itertools.count(1)
DEFINITIONS = (chain(), waiting(), Definition("napping", nodes=(Sleep(id="nap", duration_ms=5_000),)))


def tell(host: Host, kind: Kind, body: Any) -> None:
    host.shard.on_back([header(kind), encode(body)], host.now_ms)


def turns(host: Host, count: int = 40) -> None:
    for _ in range(count):
        host.turn()


def pair() -> tuple[Host, Host]:
    """Two shards on one disk, each with half of the partitions and a worker."""
    first = Host(*DEFINITIONS, tasks=TASKS, partitions=[0, 1])
    second = Host(*DEFINITIONS, tasks=TASKS, partitions=[2, 3], beside=first)
    for made in (first, second):
        made.hello()
        made.turn()
    return first, second


def hand_over(host: Host) -> None:
    number = next(NUMBERS)
    tell(host, Kind.YIELD, Yield(number, MOVED))
    turns(host)
    assert host.moves[-1] == (Kind.HANDED, (number, MOVED))


def adopt(host: Host, epoch: int = 1_000) -> None:
    number = next(NUMBERS)
    tell(host, Kind.ADOPT, Adopt(number, MOVED, epoch))
    turns(host)
    assert host.moves[-1] == (Kind.ADOPTED, (number, MOVED))


def move(source: Host, target: Host, epoch: int = 1_000) -> None:
    target.now_ms = source.now_ms = max(source.now_ms, target.now_ms)
    hand_over(source)
    adopt(target, epoch)


def test_runs_go_on_where_their_partition_is() -> None:
    first, second = pair()
    run_id = first.start("waiting").run_id
    move(first, second)
    assert first.get(run_id).code == "unavailable"
    signal = m.SignalRun(run_id, "go", m.Raw(encode(7)), "e1")
    assert second.ask(Kind.SIGNAL, MOVED, signal) is None
    second.settle()
    assert decode(second.get(run_id).output) == 7
    assert first.shard.core.open_runs == 0
    assert second.shard.core.open_runs == 0


def test_what_is_committed_last_goes_along() -> None:
    first, second = pair()
    run_ids = [first.start("waiting").run_id for _ in range(5)]
    move(first, second)
    assert [second.get(run_id).status for run_id in run_ids] == ["waiting"] * 5
    second.checkpoint()
    assert second.disk_is_sound()


def test_others_are_served_while_a_partition_leaves() -> None:
    first, _ = pair()
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    run_id = first.start("chain", 1, run_id=mint_run_id(1, first.now_ms, 99)).run_id
    first.settle()
    assert first.output(run_id) == 4


def test_timers_go_along() -> None:
    first, second = pair()
    run_id = first.start("napping").run_id
    move(first, second)
    turns(second)
    second.now_ms += 5_000
    second.settle()
    assert second.get(run_id).status == "completed"
    first.now_ms += 10_000
    first.settle()
    assert first.get(run_id).code == "unavailable"


def test_keys_go_along() -> None:
    first, second = pair()
    key = next(key for key in map(str, range(100)) if partition_of_start(first, key) == MOVED)
    run_id = first.start("waiting", key=key).run_id
    move(first, second)
    assert second.start("waiting", key=key) == m.StartOutcome(run_id, False)


def partition_of_start(host: Host, key: str) -> int:
    from support.shards import PARTITIONS
    from wfe.model.ids import partition_of_key

    return partition_of_key("default", "waiting", key, PARTITIONS)


def test_a_start_that_comes_again_after_its_run_has_ended_and_moved_makes_no_second_run() -> None:
    first, second = pair()
    outcome = first.start("chain", 1)
    first.settle()
    move(first, second)
    assert second.start("chain", 1, run_id=outcome.run_id) == m.StartOutcome(outcome.run_id, False)


def test_letters_of_a_partition_that_came_are_sent_from_where_it_is() -> None:
    first, second = pair()
    first.shard.core.partitions[MOVED].post(2, ChildControl("0" * 26, "cancel"))
    first.turn()
    assert [decode_header(parts[0]).kind for parts in first.mail] == [Kind.MAIL]
    move(first, second)
    assert MOVED not in first.shard.core.partitions
    turns(second)
    record = second.shard.core.partitions[2].record
    assert record.taken == {MOVED: 1}
    assert second.shard.core.partitions[MOVED].record.outboxes[2].letters == []


def test_letters_to_a_partition_that_came_are_sent_again_within_the_shard() -> None:
    first, second = pair()
    second.shard.core.partitions[2].post(MOVED, ChildControl("0" * 26, "cancel"))
    second.turn()
    move(first, second)
    turns(second)
    assert second.shard.core.partitions[MOVED].record.taken == {2: 1}


def test_a_task_that_a_worker_holds_ends_at_the_new_owner_under_its_own_attempt() -> None:
    first, second = pair()
    run_id = first.start("chain", 1).run_id
    first.turn()
    [spec] = first.dispatched()
    move(first, second)
    turns(second)
    assert second.dispatched() == [], "somebody may hold it"
    held = [m.TaskRef(spec.run_id, spec.node, spec.activation, spec.attempt)]
    second.hello(held=held)
    second.results([second.execute(spec)])
    second.settle()
    assert second.output(run_id) == 4 if run_id in second.outcomes else decode(second.get(run_id).output) == 4
    assert [node for _, node, _ in second.executions] == ["t0", "t1", "t2"]


def test_tasks_that_nobody_holds_are_given_out_once_all_workers_have_said_hello_again() -> None:
    first, second = pair()
    run_id = first.start("chain", 1).run_id
    first.turn()
    first.dispatched()
    tell(second, Kind.WORKERS, m.KnownWorkers(["w1"], []))
    move(first, second)
    turns(second)
    assert second.dispatched() == []
    second.hello()
    second.settle()
    assert decode(second.get(run_id).output) == 4


def test_a_result_of_a_partition_that_has_left_is_not_acknowledged() -> None:
    first, second = pair()
    first.start("chain", 1)
    first.turn()
    [spec] = first.dispatched()
    hand_over(first)
    first.workers.clear()
    first.results([first.execute(spec)])
    turns(first)
    acks = [decode(parts[1]) for _, parts in first.workers if decode_header(parts[0]).kind == Kind.RESULTS_ACK]
    assert all(seq == 0 for [seq] in acks)
    del second


def test_what_waited_for_a_definition_changes_nothing_any_more() -> None:
    first, _ = pair()
    definition = first.definitions.pop("waiting")
    run_id = first.run_id(MOVED)
    start = m.StartRun(run_id, Raw(b"\xc0"))
    first.definitions["waiting"] = definition
    number = first.request(Kind.START, MOVED, [start], workflow="waiting")
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    first.definitions.clear()
    turns(first)
    first.definitions["waiting"] = definition
    first.now_ms += 10_000
    turns(first)
    assert first.reply(number) is None
    assert first.shard.core.live_runs == 0
    assert first.disk_is_sound()


def test_an_owner_that_crashes_before_it_has_handed_over_has_the_partition_still() -> None:
    first, _ = pair()
    run_id = first.start("waiting").run_id
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    first.shard.turn(first.now_ms)
    assert MOVED not in first.shard.core.partitions
    first.crash()
    assert first.get(run_id).status == "waiting"


def test_a_new_owner_that_crashes_finds_everything_in_the_store_and_in_its_own_log() -> None:
    first, second = pair()
    run_id = first.start("waiting").run_id
    move(first, second, epoch=101)
    later = second.start("waiting").run_id
    second.epoch = 200
    second.crash()
    assert [second.get(one).status for one in (run_id, later)] == ["waiting", "waiting"]


def test_a_partition_that_comes_back_is_recovered_from_behind_its_return() -> None:
    first, second = pair()
    gone = first.start("chain", 1).run_id
    first.settle()
    kept = first.disk.log_file(first.log_name).twin()
    move(first, second, epoch=101)
    store = second.disk.store(f"p{MOVED}")
    removed = [Op(table, key, None) for table in (5, 4, 3, 2) for key, _ in store.range(table, b"", None, limit=100)]
    store.commit([*removed, *swept_ops(101)])  # it has expired meanwhile
    move(second, first, epoch=102)
    first.disk.log_file(first.log_name).records.update(kept.records)  # a trim may be undone by a crash
    first.epoch = 300
    first.crash()
    turns(first)
    assert first.get(gone).code == "unknown_run"
    assert first.shard.core.open_runs == 0


def test_orders_that_come_again_are_answered_again_and_late_ones_change_nothing() -> None:
    first, second = pair()
    number = next(NUMBERS)
    for _ in range(3):
        tell(first, Kind.YIELD, Yield(number, MOVED))
        turns(first)
    assert first.moves == [(Kind.HANDED, (number, MOVED))] * 3
    adopt_number = next(NUMBERS)
    for _ in range(2):
        tell(second, Kind.ADOPT, Adopt(adopt_number, MOVED, 1_000))
        turns(second)
    assert second.moves == [(Kind.ADOPTED, (adopt_number, MOVED))] * 2
    tell(second, Kind.YIELD, Yield(number, MOVED))
    turns(second)
    assert MOVED in second.shard.core.partitions


def test_a_backup_whose_copies_are_still_made_holds_the_store_open() -> None:
    first, _ = pair()
    tell(first, Kind.QUIESCE, Barrier(1))
    turns(first)
    tell(first, Kind.CUT, Barrier(1, "/b"))
    turns(first)
    assert first.copying is not None
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    turns(first)
    assert first.moves == []
    while first.copy():
        turns(first)
    turns(first)
    assert [kind for kind, _ in first.moves] == [Kind.HANDED]


def test_a_partition_that_is_to_stay_after_all_is_not_let_go() -> None:
    first, _ = pair()
    run_id = first.start("waiting").run_id
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    adopt(first)
    assert [kind for kind, _ in first.moves] == [Kind.ADOPTED]
    assert first.get(run_id).status == "waiting"


def test_a_partition_that_was_let_go_and_is_to_stay_after_all_comes_back() -> None:
    first, _ = pair()
    run_id = first.start("waiting").run_id
    number = next(NUMBERS)
    tell(first, Kind.YIELD, Yield(number, MOVED))
    first.turn()
    assert MOVED not in first.shard.core.partitions
    last = next(NUMBERS)
    for _ in range(3):
        tell(first, Kind.ADOPT, Adopt(last, MOVED, 1_000))
        turns(first)
    assert first.moves[-1] == (Kind.ADOPTED, (last, MOVED))
    assert first.get(run_id).status == "waiting"


def test_while_an_abandoned_backup_still_copies_a_file_the_partition_is_not_let_go() -> None:
    first, _ = pair()
    run_id = first.start("waiting").run_id
    tell(first, Kind.QUIESCE, Barrier(1))
    turns(first)
    tell(first, Kind.CUT, Barrier(1, "/b"))
    turns(first)
    tell(first, Kind.RELEASE, Release(1, abandon=True))
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    turns(first)
    assert first.copying is not None
    adopt(first)
    assert first.get(run_id).status == "waiting", "it never left, and is there at once when nobody waits any longer"


@pytest.mark.parametrize("kind", [Kind.YIELD, Kind.ADOPT])
def test_an_order_about_a_partition_that_there_is_not_is_refused(kind: Kind) -> None:
    first, _ = pair()
    tell(first, kind, Yield(1, 99) if kind is Kind.YIELD else Adopt(1, 99, 1_000))
    turns(first, 3)
    assert first.shard.core.counters["frames_refused"] == 1
    assert first.moves == []


def test_lines_of_tasks_that_wait_to_be_written_go_along() -> None:
    first, second = pair()
    run_id = first.start("waiting").run_id
    for seq in (1, 2):
        lines = [LogLine(1, "info", f"line {seq}")]
        batch = LogBatch(run_id, "s", 0, 1, 1, Raw(encode(lines)), 0)
        first.worker_frame(Kind.TASK_LOGS, LogFrame(seq, [batch]))
    move(first, second)
    page = second.ask(Kind.LOGS, MOVED, LogQuery(run_id), LogPage)
    assert [line.text for entry in page.entries for line in entry.lines] == ["line 1", "line 2"]


def test_lines_that_found_no_room_are_not_written_while_the_store_is_being_closed() -> None:
    first, _ = pair()
    run_id = first.start("waiting").run_id
    turns(first)
    first.shard.core.disk_full = True
    batch = LogBatch(run_id, "s", 0, 1, 1, Raw(encode([LogLine(1, "info", "no room")])), 0)
    first.worker_frame(Kind.TASK_LOGS, LogFrame(1, [batch]))
    tell(first, Kind.YIELD, Yield(next(NUMBERS), MOVED))
    while MOVED not in first.shard.handovers._closing:
        first.turn()
    first.shard.core.disk_full = False
    first.shard.turn(first.now_ms)  # the step that closes the store is still on its way
    assert first.shard.task_logs.held_bytes == 0
    assert first.shard.core.counters["log_lines_dropped"] == 1
    turns(first)
    assert first.moves[-1][0] == Kind.HANDED
