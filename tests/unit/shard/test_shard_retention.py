"""Ended runs leave the store when they have been kept for long enough, with everything they had."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from support.shard_cases import chain, host, waiting
from support.shards import Host, encode
from wfe.errors import DataCorrupt
from wfe.journal.log import Chunk
from wfe.journal.verify import LogScan, verify_join
from wfe.journal.verify_store import SWEPT
from wfe.limits import RETENTION_MS_MIN, SWEEP_MS
from wfe.wire import messages as m
from wfe.wire.frames import Kind
from wfe.wire.rounds import RunPast, StateQuery

KEPT_MS = 10 * RETENTION_MS_MIN


def short_lived(**settings: int) -> Host:
    shard = host(replace(chain(), retention_ms=KEPT_MS), waiting())
    for name, value in settings.items():
        setattr(shard.shard.core.settings, name, value)
    return shard


def pass_time(shard: Host, ms: int) -> None:
    """So much time, with as many turns as it takes to look at every partition twice."""
    shard.now_ms += ms
    for _ in range(20):
        shard.now_ms += SWEEP_MS // 8
        shard.turn()


def rows(shard: Host) -> dict[str, int]:
    found: dict[str, int] = {}
    for store in shard.shard.core.disk.stores.values():
        for table, count in store.counts().items():
            found[table] = found.get(table, 0) + count
    return found


def is_gone(shard: Host, run_id: str) -> bool:
    return isinstance(shard.get(run_id), m.ErrorReply)


def test_an_ended_run_expires_with_its_key_and_a_new_start_may_have_the_key():
    shard = short_lived()
    first = shard.start("chain", 1, key="order-1").run_id
    shard.settle()
    shard.checkpoint()
    assert (rows(shard)["ended"], rows(shard)["keys"]) == (1, 1)
    pass_time(shard, KEPT_MS)
    assert (rows(shard)["ended"], rows(shard)["keys"]) == (0, 0)
    assert is_gone(shard, first)
    assert shard.shard.core.counters["runs_expired"] == 1
    again = shard.start("chain", 2, key="order-1")
    assert again.created
    assert again.run_id != first


def test_a_run_that_is_younger_and_one_that_is_open_stay():
    shard = short_lived()
    open_one = shard.start("waiting").run_id
    young = shard.start("chain", 1).run_id
    shard.settle()
    shard.checkpoint()
    pass_time(shard, 0)
    assert shard.get(young).status == "completed"
    assert shard.get(open_one).status == "waiting"


def test_without_a_policy_of_its_own_a_run_follows_the_servers_and_without_any_it_stays():
    for retention_ms, kept in ((0, True), (KEPT_MS, False)):
        shard = host()
        shard.shard.core.settings.retention_ms = retention_ms
        run_id = shard.start("chain", 1).run_id
        shard.settle()
        shard.checkpoint()
        pass_time(shard, KEPT_MS)
        assert is_gone(shard, run_id) is not kept


def test_a_run_whose_history_has_rows_of_its_own_leaves_none_behind():
    shard = short_lived(live_runs_max=0)
    held = shard.start("waiting").run_id
    shard.shard.core.settings.retention_ms = KEPT_MS
    shard.checkpoint()
    shard.ask(Kind.CONTROL, 0, m.ControlRun(held, "cancel", "c"))
    shard.checkpoint()
    assert rows(shard)["history"] > 0
    pass_time(shard, KEPT_MS)
    assert (rows(shard)["ended"], rows(shard)["history"]) == (0, 0)
    assert shard.disk_is_sound()


def test_what_the_log_still_says_of_an_expired_run_stops_no_recovery():
    shard = short_lived()
    shard.start("chain", 1)
    shard.settle()
    shard.checkpoint()
    run_id = shard.run_id(0)
    late = Chunk(0, shard.epoch, run_id, 3, 1, encode([shard.now_ms, []]))
    pass_time(shard, KEPT_MS)
    shard.crash()
    partition, tail = shard.shard.core.partitions[0], shard.shard.recovery.tail
    tail._replay(partition, run_id, [(1, late)])
    assert run_id not in partition.entries
    with pytest.raises(DataCorrupt):  # of a run that this process wrote, everything must be there
        tail._replay(partition, run_id, [(1, replace(late, epoch=shard.epoch))])
    assert not verify_join(scan_with(run_id), {(0, SWEPT): 1}, [0])
    assert verify_join(scan_with(run_id), {}, [0])


def scan_with(run_id: str) -> LogScan:
    return LogScan(spans={(0, run_id): [(3, 4)]})


def test_a_run_that_is_tried_again_meanwhile_is_left_alone():
    shard = short_lived()
    run_id = shard.start("chain", 1).run_id
    shard.settle()
    shard.checkpoint()
    shard.now_ms += KEPT_MS + SWEEP_MS
    partition = shard.shard.core.partitions[0]
    while not shard.shard.retention.is_busy:  # until its page is being read
        shard.now_ms += SWEEP_MS // 4
        shard.shard.turn(shard.now_ms)
    partition.evicted[run_id] = shard.now_ms  # it went on, was written and left memory since
    shard.turn()
    shard.turn()
    assert rows(shard)["ended"] == 1


def test_a_run_that_a_command_is_about_to_go_on_from_stays_until_that_has_ended():
    shard = short_lived()
    run_id = shard.start("chain", 1).run_id
    shard.settle()
    shard.checkpoint()
    pin = (0, run_id)
    shard.shard.loader.pins[pin] += 1
    pass_time(shard, KEPT_MS)
    assert shard.get(run_id).status == "completed"
    shard.shard.loader.unpin(pin)
    assert not shard.shard.loader.pins
    pass_time(shard, 0)
    assert is_gone(shard, run_id)


def test_a_run_whose_rows_are_being_removed_takes_no_command_that_goes_on_from_them():
    shard = short_lived()
    run_id = shard.start("chain", 1).run_id
    shard.settle()
    shard.checkpoint()
    shard.shard.loader.leaving = frozenset({(0, run_id)})
    answer = shard.ask(Kind.STATE, 0, StateQuery(run_id, 1))
    assert answer.code == "busy"
    shard.shard.loader.leaving = frozenset()
    assert shard.ask(Kind.STATE, 0, StateQuery(run_id, 1), RunPast).status
    assert not shard.shard.loader.pins
