"""Clients that left are forgotten; those who ask again are answered, however long it takes."""

from __future__ import annotations

import pytest
from msgspec import Raw

from support.shard_cases import host
from support.shards import Host, encode
from wfe.limits import ASKERS_MS, REWATCH_MS_MAX
from wfe.shard.askers import Askers
from wfe.wire import messages as m
from wfe.wire.frames import Kind


def wait(shard: Host, ms: int) -> None:
    shard.now_ms += ms
    shard.turn()


def end(shard: Host, run_id: str) -> None:
    shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", Raw(encode(1)), "event"))
    shard.settle()


def test_a_client_that_left_is_forgotten():
    shard = host()
    run_id = shard.start("waiting").run_id
    shard.request(Kind.HISTORY, 0, m.HistoryQuery(run_id, 99, 10, True))
    wait(shard, ASKERS_MS - 1)
    assert run_id in shard.shard.core.watchers
    assert run_id in shard.shard.requests.followers
    wait(shard, 1_000)
    assert not shard.shard.core.watchers
    assert not shard.shard.requests.followers
    end(shard, run_id)
    assert not shard.outcomes


def test_a_client_that_asks_again_hears_of_the_end_however_late_it_is():
    shard = host()
    run_id = shard.start("waiting").run_id
    for _ in range(10):
        wait(shard, REWATCH_MS_MAX)
        shard.request(Kind.AWAIT, 0, [run_id])
    end(shard, run_id)
    assert shard.output(run_id) == 1
    assert not shard.shard.core.watchers


def test_a_run_that_somebody_awaits_leaves_memory_and_is_not_loaded_because_he_asks_again():
    shard = host()
    shard.shard.core.settings.live_runs_max = 0
    run_id = shard.start("waiting").run_id
    shard.checkpoint()
    shard.request(Kind.AWAIT, 0, [run_id])
    shard.settle()
    assert not shard.shard.core.partitions[0].entries
    end(shard, run_id)
    assert shard.output(run_id) == 1


def test_of_the_clients_of_one_run_those_that_left_are_forgotten():
    askers: Askers[str, None] = Askers()
    for now_ms in range(0, 3 * ASKERS_MS, REWATCH_MS_MAX):
        if not now_ms:
            askers.ask("run", "gone", None, now_ms)
        askers.ask("run", "here", None, now_ms)
        askers.forget_old(now_ms)
    assert [who for who, _ in askers.take("run")] == ["here"]


def test_a_run_has_a_bounded_number_of_questions_and_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wfe.shard.askers.ASKERS_PER_RUN_MAX", 100)
    askers: Askers[int, None] = Askers()
    for number in range(100 + 3):
        askers.ask("run", number, None, 1)
    assert len(askers["run"]) == 100
    assert next(who for who, _ in askers.take("run")) == 3


def test_runs_are_forgotten_in_the_order_in_which_they_were_last_asked_for():
    askers: Askers[str, None] = Askers()
    askers.ask("a", "x", None, 0)
    askers.ask("b", "x", None, 1)
    askers.ask("a", "x", None, 2)
    askers.forget_old(ASKERS_MS + 1)
    assert list(askers) == ["a"]
