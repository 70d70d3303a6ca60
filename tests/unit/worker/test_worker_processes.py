"""Tasks in processes of their own: reuse, death, and being killed with all that they started."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import psutil
import pytest
import worker_tasks
from msgspec import msgpack
from runs import Runs, failed, value

from wfe.errors import AppError
from wfe.worker import processes
from wfe.worker.child import find_task


@pytest.fixture
async def runs():
    made = Runs(processes=1)
    yield made
    made.runner.close()


async def eventually(condition) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_process_is_another_one_and_is_reused_with_its_resources(runs):
    first = value(await runs(worker_tasks.pid_and_count))
    second = value(await runs(worker_tasks.pid_and_count))
    assert first[0] == second[0] != os.getpid()
    assert [first[1], second[1]] == [1, 2]
    assert value(await runs(worker_tasks.doubled, x=4)) == 8


async def test_arguments_that_do_not_fit_fail_as_in_a_thread(runs):
    error = failed(await runs(worker_tasks.doubled, x="four"))
    assert error.type == "InvalidInput"
    assert error.fatal


async def test_a_process_that_dies_fails_the_task_and_the_next_one_gets_another(runs):
    before = value(await runs(worker_tasks.pid_and_count))
    error = failed(await runs(worker_tasks.crash))
    assert error.type == "ProcessDied"
    assert "SIGSEGV" in error.message
    assert failed(await runs(worker_tasks.leave, code=3)).type == "SystemExit"
    after = value(await runs(worker_tasks.pid_and_count))
    assert after[0] != before[0]
    assert after[1] == 1


class Refusals:
    """Stands in for `processes.Child` and refuses a number of processes, as the system does when it lacks something."""

    def __init__(self, error: int, times: int) -> None:
        self._error, self._times, self._child = error, times, processes.Child
        self.count = 0

    def __call__(self, *arguments: str) -> processes.Child:
        if self.count < self._times:
            self.count += 1
            raise OSError(self._error, os.strerror(self._error))
        return self._child(*arguments)


async def test_a_process_for_which_the_system_has_no_descriptors_is_waited_for(runs, monkeypatch):
    monkeypatch.setattr(processes, "SPAWN_RETRY_S", 0.01)
    monkeypatch.setattr(processes, "Child", refusals := Refusals(errno.EMFILE, 3))
    assert value(await runs(worker_tasks.doubled, x=4)) == 8
    assert refusals.count == 3


async def test_a_task_that_waits_for_its_process_can_be_cancelled(runs, monkeypatch):
    monkeypatch.setattr(processes, "SPAWN_RETRY_S", 0.01)
    monkeypatch.setattr(processes, "Child", refusals := Refusals(errno.EAGAIN, 1_000_000))
    run = runs.start(worker_tasks.doubled, x=4)
    await eventually(lambda: refusals.count)
    runs.cancel(run)
    assert (await runs.ended(run)).status == 2


async def test_a_process_that_can_never_be_started_fails_its_task(runs, monkeypatch):
    monkeypatch.setattr(processes, "Child", Refusals(errno.ENOENT, 1))
    assert failed(await runs(worker_tasks.doubled, x=4)).type == "FileNotFoundError"


async def test_a_process_that_overruns_is_killed_with_what_it_started(runs, tmp_path):
    await runs(worker_tasks.doubled, x=1)  # the process stands: that alone may take longer than the limit
    note = tmp_path / "pid"
    run = runs.start(worker_tasks.spin_with_a_child, {"timeout_ms": 1_500}, path=str(note))
    await eventually(lambda: note.exists() and note.read_text())
    error = failed(await runs.ended(run))
    assert error.type == "TimedOut"
    assert "1500 ms" in error.message
    await eventually(lambda: gone(int(note.read_text())))
    assert not runs.runner.tainted
    assert value(await runs(worker_tasks.doubled, x=1)) == 2


async def test_a_cancelled_process_may_end_by_itself(runs):
    run = runs.start(worker_tasks.beat_until_cancelled)
    await eventually(runs.runner.take_beats)
    runs.cancel(run)
    result = await runs.ended(run)
    assert result.status == 2 or value(result) == "asked to stop"


async def test_a_cancelled_process_that_does_not_end_is_killed(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "CANCEL_GRACE_S", 0.05)
    note = tmp_path / "pid"
    run = runs.start(worker_tasks.spin_with_a_child, path=str(note))
    await eventually(lambda: note.exists() and note.read_text())
    runs.cancel(run)
    assert (await runs.ended(run)).status == 2
    await eventually(lambda: gone(int(note.read_text())))


async def test_a_task_that_waits_for_a_process_is_withdrawn(runs):
    first = runs.start(worker_tasks.beat_until_cancelled)
    second = runs.start(worker_tasks.pid_and_count)
    await eventually(lambda: runs.runner.running() == 1)
    runs.cancel(second)
    assert (await runs.ended(second)).status == 2
    runs.cancel(first)
    await runs.ended(first)


async def test_heartbeats_and_context_reach_the_worker(runs):
    run = runs.start(worker_tasks.beat_until_cancelled)
    beats = []
    await eventually(lambda: beats.extend(runs.runner.take_beats()) or beats)
    assert beats[0].ref.run_id == run
    assert "step" in msgpack.decode(beats[0].details)
    runs.cancel(run)
    await runs.ended(run)


async def test_a_cancel_that_comes_before_the_process_is_ready_is_not_lost(runs, monkeypatch):
    monkeypatch.setattr(processes, "CANCEL_GRACE_S", 25.0)
    run = runs.start(worker_tasks.beat_for_ever)
    await eventually(lambda: runs.runner.running() == 1)
    runs.cancel(run)
    assert (await runs.ended(run)).status == 2


async def test_output_is_logged_by_the_child_with_its_place(runs, capfd):
    result = await runs(worker_tasks.says_something)
    assert value(result) == f"{result.run_id}/node/0"
    logged = capfd.readouterr().err
    assert '"event":"hello from a process"' in logged
    assert result.run_id in logged


async def test_closing_ends_the_children_and_their_resources(capfd):
    runs = Runs(processes=1)
    pid = value(await runs(worker_tasks.pid_and_count))[0]
    runs.runner.close()
    assert gone(pid)
    assert "counter closed" in capfd.readouterr().out


def test_a_task_is_found_by_module_and_name_or_refused_with_the_place():
    file = worker_tasks.__file__
    assert find_task("worker_tasks", "doubled", file).name == "doubled"
    assert find_task("not_on_the_path_at_all", "doubled", file).name == "doubled"
    with pytest.raises(AppError, match="module level"):
        find_task("worker_tasks", "registered.<locals>.inner", file)
    with pytest.raises(AppError, match=Path(file).name):
        find_task("worker_tasks", "registered", file)
