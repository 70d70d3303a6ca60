"""How many runs a shard says are open: the same as a count of them, whatever made them open or ended them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.shards import Host, encode
from wfe.core import rounds as core_rounds
from wfe.model.definition import Definition, Fail, Sleep, SubWorkflow, Task, WaitSignal
from wfe.model.ids import mint_run_id, partition_of
from wfe.model.state import ENDED
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header
from wfe.wire.rebalance import Adopt, Yield
from wfe.wire.rounds import ForkRun, RetryRun, SkipNode

WAITING = Definition("waiting", nodes=(WaitSignal(id="go", signal="go"),), output="${go}")
FLOW = Definition("flow", nodes=(Sleep(id="nap", duration_ms=50), Task(id="work", task="fragile")))
DOOMED = Definition("doomed", nodes=(Fail(id="no", error="Boom", message="always"),))
PARENT = Definition("parent", nodes=(SubWorkflow(id="child", workflow="waiting"),))


class Fragile:
    works = False

    def __call__(self) -> None:
        if not self.works:
            raise OSError("down")


def world(**settings: Any) -> tuple[Host, Fragile]:
    fragile = Fragile()
    shard = Host(WAITING, FLOW, DOOMED, PARENT, tasks={"fragile": fragile}, settings=settings)
    shard.hello()
    return shard, fragile


def count(shard: Host) -> int:
    """What the shard says, which is what its stores say once everything is in them."""
    shard.settle()
    said = shard.shard.core.open_runs
    shard.checkpoint()
    stored = sum(store.open_count() for store in shard.shard.core.disk.stores.values())
    assert said == shard.shard.core.open_runs == stored
    return said


def ask(shard: Host, kind: Kind, body: Any, answer: Any = None) -> Any:
    return shard.ask(kind, partition_of(body.run_id), body, answer)


def fork(shard: Host, run_id: str, number: int = 7, **point: Any) -> str:
    wanted = ForkRun(run_id, mint_run_id(partition_of(run_id), 1, number), **point)
    assert ask(shard, Kind.FORK, wanted, m.StartOutcome).created
    return wanted.new_run_id


def signal(shard: Host, run_id: str) -> None:
    assert ask(shard, Kind.SIGNAL, m.SignalRun(run_id, "go", Raw(encode(1)), f"e{run_id}")) is None


def failed(shard: Host) -> str:
    run_id = shard.start("flow").run_id
    shard.settle()
    shard.now_ms += 100
    shard.settle()
    assert shard.get(run_id).status == "failed"
    return run_id


def test_a_fork_is_open_until_it_ends() -> None:
    shard, _ = world()
    run_id = shard.start("waiting").run_id
    signal(shard, run_id)
    assert count(shard) == 0
    new_id = fork(shard, run_id, event=1)
    assert count(shard) == 1
    signal(shard, new_id)
    assert count(shard) == 0


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in the store"])
def test_a_run_that_is_retried_is_open_until_it_ends_again(stored: bool) -> None:
    shard, fragile = world()
    run_id = failed(shard)
    if stored:
        assert count(shard) == 0
    fragile.works = True
    assert ask(shard, Kind.RETRY, RetryRun(run_id, "c1")) is None
    assert shard.shard.core.open_runs == 1
    assert count(shard) == 0
    assert shard.get(run_id).status == "completed"


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in the store"])
def test_a_retry_or_a_skip_that_ends_its_run_at_once_leaves_the_count(stored: bool) -> None:
    shard, _ = world()
    doomed, skipped = shard.start("doomed").run_id, failed(shard)
    if stored:
        assert count(shard) == 0
    assert ask(shard, Kind.RETRY, RetryRun(doomed, "c1")) is None
    assert ask(shard, Kind.SKIP, SkipNode(skipped, "work", Raw(encode(1)), "c2")) is None
    assert count(shard) == 0


def test_a_retry_that_is_refused_or_comes_again_leaves_the_count() -> None:
    shard, _ = world()
    waits = shard.start("waiting").run_id
    assert ask(shard, Kind.RETRY, RetryRun(waits, "c1")).code == "run_closed"
    run_id = failed(shard)
    assert [ask(shard, Kind.RETRY, RetryRun(run_id, "c2")) for _ in range(2)] == [None, None]
    assert count(shard) == 2 - (shard.get(run_id).status in ENDED)


@pytest.mark.parametrize("lazy", [{}, {"replayed_at_once": 0, "replayed_per_turn": 1}], ids=["at once", "lazily"])
@pytest.mark.parametrize("stored", [False, True], ids=["in the log", "in the store"])
def test_forks_and_retried_runs_are_counted_again_after_a_crash(lazy: dict[str, int], stored: bool) -> None:
    shard, fragile = world(**lazy)
    origin, retried = shard.start("waiting").run_id, failed(shard)
    if stored:
        assert count(shard) == 1
    shard.worker_frame(Kind.BYE, m.Ack(0))
    assert ask(shard, Kind.RETRY, RetryRun(retried, "c1")) is None
    fork(shard, origin, event=1)
    shard.crash()
    assert count(shard) == 3
    fragile.works = True
    shard.hello()
    shard.now_ms += 10_000
    assert count(shard) == 2


def test_a_fork_goes_along_with_its_partition() -> None:
    first = Host(WAITING, partitions=[0, 1])
    second = Host(WAITING, partitions=[2, 3], beside=first)
    run_id = first.start("waiting").run_id
    fork(first, run_id, event=1)
    stays = first.start("waiting", run_id=mint_run_id(1, first.now_ms, 99)).run_id
    fork(first, stays, event=1)
    told = ((first, Kind.YIELD, Yield(1, 0)), (second, Kind.ADOPT, Adopt(2, 0, 1_000)))
    for shard, kind, order in told:
        shard.shard.on_back([header(kind), encode(order)], shard.now_ms)
        for _ in range(40):
            shard.turn()
    assert [shard.shard.core.open_runs for shard in (first, second)] == [2, 2]
    signal(second, run_id)
    assert [count(first), count(second)] == [2, 1]


def test_a_run_that_was_evicted_and_children_by_mail_count_once() -> None:
    shard, _ = world(live_runs_max=0)
    run_id = shard.start("parent").run_id
    assert count(shard) == 2
    fork(shard, run_id, event=1)
    assert count(shard) == 4
    assert any(partition.evicted for partition in shard.shard.core.partitions.values())
    for page_run in ask_all(shard):
        if page_run.workflow == "waiting":
            signal(shard, page_run.id)
    assert count(shard) == 0


def ask_all(shard: Host) -> list[Any]:
    pages = [shard.ask(Kind.LIST, n, m.ListRuns("", "", "", {}, 10), m.RunPage) for n in shard.shard.core.partitions]
    return [run for page in pages for run in page.runs]


def test_of_runs_that_a_defect_meets_as_they_are_to_go_on_only_the_fork_counts_as_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard, _ = world()
    origin, retried = shard.start("waiting").run_id, failed(shard)

    def defect(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(core_rounds, "_go_on", defect)
        assert ask(shard, Kind.RETRY, RetryRun(retried, "c1")).code
        wanted = ForkRun(origin, mint_run_id(partition_of(origin), 1, 7), event=1)
        assert ask(shard, Kind.FORK, wanted).code
    assert [shard.get(run_id).status for run_id in (retried, wanted.new_run_id)] == ["failed", "paused"]
    assert count(shard) == 2
