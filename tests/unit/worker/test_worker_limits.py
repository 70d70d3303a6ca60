"""Time limits, cancellation, and slots: nobody waits for a task that does not end."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from runs import Runs, failed, value

from wfe.worker import aio, threads
from wfe.worker.context import context
from wfe.worker.deadlines import DeadlineBoard

release = threading.Event()


@pytest.fixture
async def runs():
    release.clear()
    made = Runs()
    yield made
    release.set()
    made.runner.close()


def quick(x: int = 0) -> int:
    return x


def blocks() -> str:
    release.wait()
    return "released"


def waits_for_cancel() -> str:
    while not context().cancelled:
        time.sleep(0.001)
    return "saw it"


def heartbeats_until_cancelled() -> None:
    while True:
        context().heartbeat()
        time.sleep(0.001)


async def sleeps() -> None:
    await asyncio.sleep(3600)


async def cleans_up() -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
        assert context().cancelled
        raise
    return "never"


async def swallows() -> None:
    while not release.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


async def eventually(condition) -> None:
    while not condition():
        await asyncio.sleep(0.005)


# ---- slots


async def test_a_long_task_does_not_delay_the_tasks_and_results_of_other_slots(runs):
    for _ in range(50):
        await runs(quick)  # known to be fast: one thread will do for all of them
    stuck = runs.start(blocks)
    others = [runs.start(quick, x=n) for n in range(200)]
    assert [value(await runs.ended(run)) for run in others] == list(range(200))
    release.set()
    assert value(await runs.ended(stuck)) == "released"


def surprises(block: bool = False) -> bool:
    if block:
        release.wait()
    return block


async def test_a_task_that_is_unexpectedly_long_in_the_middle_of_a_batch_delays_nobody(runs):
    for _ in range(200):
        await runs(surprises)
    started = [runs.start(surprises, block=n in (3, 50)) for n in range(100)]
    for n, run in enumerate(started):
        if n not in (3, 50):
            assert value(await runs.ended(run)) is False
    release.set()
    assert value(await runs.ended(started[3])) is True


async def test_as_many_tasks_run_at_once_as_there_are_slots():
    runs = Runs(slots=3)
    barrier = threading.Barrier(3)

    def meets() -> int:
        return barrier.wait(20) * 0

    assert [value(await runs.ended(run)) for run in [runs.start(meets) for _ in range(3)]] == [0, 0, 0]
    runs.runner.close()


async def test_fast_tasks_come_back_in_batches(runs):
    for _ in range(100):
        await runs(quick)
    runs.batches.clear()
    names = [runs.start(quick) for _ in range(500)]
    for run in names:
        await runs.ended(run)
    assert len(runs.batches) < 100


async def test_a_slot_whose_thread_dies_between_tasks_is_replaced(runs, monkeypatch):
    await runs(quick)
    monkeypatch.setattr(threads.capture, "flush", lambda job: (_ for _ in ()).throw(SystemExit))

    def prints_a_part() -> None:
        context()._job.printed = "part"

    error = failed(await runs(prints_a_part))
    assert error.type == "SystemExit"
    assert value(await runs(quick, x=4)) == 4


# ---- time limits


async def test_a_thread_that_overruns_is_reported_at_once_and_replaced(runs):
    first = [runs.start(blocks, {"timeout_ms": 30}) for _ in range(4)]
    for run in first:
        error = failed(await runs.ended(run))
        assert error.type == "TimedOut"
        assert "30 ms" in error.message
        assert "TimedOut" in error.types
        assert not error.fatal
    assert runs.runner.tainted
    assert value(await runs(quick, x=5)) == 5
    release.set()
    await eventually(lambda: not runs.runner.tainted)


async def test_the_time_limit_counts_from_the_start_not_from_the_queue():
    runs = Runs(slots=1)
    release.clear()
    first = runs.start(blocks)
    queued = runs.start(quick, {"timeout_ms": 60}, x=1)
    await asyncio.sleep(0.15)
    release.set()
    assert value(await runs.ended(first)) == "released"
    assert value(await runs.ended(queued)) == 1
    runs.runner.close()


async def test_a_coroutine_that_overruns_is_cancelled_and_may_clean_up(runs):
    assert failed(await runs(sleeps, {"timeout_ms": 20})).type == "TimedOut"
    assert failed(await runs(cleans_up, {"timeout_ms": 20})).type == "TimedOut"
    assert not runs.runner.tainted


async def test_a_coroutine_that_swallows_its_cancellation_is_given_up(runs, monkeypatch):
    monkeypatch.setattr(aio, "UNWIND_S", 0.05)
    assert failed(await runs(swallows, {"timeout_ms": 20})).type == "TimedOut"
    assert runs.runner.tainted
    release.set()
    await eventually(lambda: not runs.runner.tainted)


def beats_then_stops(times: int = 5) -> None:
    for _ in range(times):
        context().heartbeat()
        time.sleep(0.02)
    release.wait()


async def beats_then_stops_async() -> None:
    for _ in range(5):
        context().heartbeat()
        await asyncio.sleep(0.02)
    await asyncio.sleep(3600)


@pytest.mark.parametrize("function", [beats_then_stops, beats_then_stops_async])
async def test_a_task_that_stops_sending_heartbeats_times_out(runs, function):
    error = failed(await runs(function, {"heartbeat_ms": 60}))
    assert error.type == "TimedOut"
    assert "no heartbeat for 60 ms" in error.message


async def test_a_time_limit_that_is_kept_has_no_consequences(runs):
    assert value(await runs(quick, {"timeout_ms": 60_000}, x=3)) == 3
    assert not runs.runner.tainted


# ---- cancelling


async def test_a_cancelled_coroutine_ends_as_cancelled(runs):
    for function in (sleeps, cleans_up):
        run = runs.start(function)
        await asyncio.sleep(0.01)
        runs.cancel(run)
        assert (await runs.ended(run)).status == 2


async def test_a_coroutine_that_is_cancelled_before_its_first_step_ends_as_cancelled(runs):
    run = runs.start(sleeps)
    runs.cancel(run)
    assert (await runs.ended(run)).status == 2


async def test_a_cancelled_thread_sees_it_and_its_heartbeat_raises(runs):
    polite, beating = runs.start(waits_for_cancel), runs.start(heartbeats_until_cancelled)
    await eventually(lambda: runs.runner.running() == 2)
    runs.cancel(polite)
    runs.cancel(beating)
    assert value(await runs.ended(polite)) == "saw it"
    assert (await runs.ended(beating)).status == 2


async def test_a_thread_that_ignores_its_cancellation_is_abandoned_after_the_grace(runs, monkeypatch):
    monkeypatch.setattr(threads, "_GRACE_NS", 20_000_000)
    run = runs.start(blocks)
    await eventually(lambda: runs.runner.running() == 1)
    runs.cancel(run)
    assert (await runs.ended(run)).status == 2
    assert runs.runner.tainted


async def test_a_task_that_waits_for_a_slot_is_withdrawn_and_never_runs():
    runs = Runs(slots=1)
    release.clear()
    ran = []

    def notes() -> None:
        ran.append(1)

    first = runs.start(blocks)
    await eventually(lambda: runs.runner.running() == 1)
    queued = runs.start(notes)
    runs.cancel(queued)
    assert (await runs.ended(queued)).status == 2
    release.set()
    await runs.ended(first)
    assert value(await runs(quick, x=1)) == 1
    assert not ran
    runs.runner.close()


async def test_cancelling_twice_or_something_unknown_changes_nothing(runs):
    run = runs.start(sleeps)
    await asyncio.sleep(0)
    runs.cancel(run)
    runs.cancel(run)
    runs.cancel("nobody")
    assert (await runs.ended(run)).status == 2


# ---- the board


async def test_running_tasks_with_a_limit_stand_on_the_board(tmp_path):
    release.clear()
    board = DeadlineBoard.create(tmp_path / "board", 2)
    runs = Runs(slots=2, board=DeadlineBoard.open(tmp_path / "board"))
    now_ns = time.monotonic_ns()
    sync, other = runs.start(blocks, {"timeout_ms": 60_000}), runs.start(sleeps, {"timeout_ms": 30_000})
    far_ns = now_ns + 120 * 10**9
    await eventually(lambda: len(board.overrun(far_ns)) == 2)
    assert board.overrun(far_ns)[1] == 2, "asynchronous tasks share the slot after the threads'"
    assert not board.overrun(time.monotonic_ns())
    runs.cancel(other)
    release.set()
    await runs.ended(sync)
    await runs.ended(other)
    await eventually(lambda: not board.overrun(far_ns))
    runs.runner.close()


async def test_user_threads_outside_tasks_have_the_local_context(runs):
    def asks_in_another_thread() -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: context().run_id).result()

    assert value(await runs(asks_in_another_thread)) == "local"
