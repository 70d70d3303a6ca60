"""What a sceptical user tries first: tasks that hang, exit or kill their worker, stopped workers, large work, cancels.

All against `wfe serve` with the app hard_tasks.py. Whatever one run does, others go through.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wfe
from conftest import WFE, Server

APP = str(Path(__file__).parent / "hard_tasks.py")
TIMEOUT_S = 60.0


def connected(server: Server, **options: Any) -> Any:
    return wfe.connect(server.address, (server.data / "token").read_text().strip(), **options)


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Server:
    return start_server("--shards", "2", "--workers", "2", "--slots", "4", "--log-level", "error", "--app", APP)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with connected(server) as client:
        yield client


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {TIMEOUT_S:g} s"
        time.sleep(0.02)


def error_of(run: Any) -> Any:
    with pytest.raises(wfe.RunFailed) as caught:
        run.result(timeout_s=TIMEOUT_S)
    return caught.value.error


# ---- tasks that do harm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workflow", ["spinning", "stuck", "stuck_apart", "blocking"])
def test_a_task_that_never_ends_is_stopped_by_its_time_limit_and_others_go_through(client: Any, workflow: str) -> None:
    """An endless loop in a thread, in C that never gives the interpreter back, in a process, and on the loop itself."""
    stuck = client.start(workflow, 1)
    others = client.start_many("slow", [0.1] * 10)
    assert error_of(stuck).type == "TimedOut"
    assert [run.result(timeout_s=TIMEOUT_S) for run in others] == [0.1] * 10


@pytest.mark.parametrize("workflow", ["leaving", "leaving_async", "leaving_apart"])
def test_sys_exit_fails_the_task_and_not_its_worker(client: Any, workflow: str) -> None:
    before = {worker.pid for worker in client.status().workers}
    error = error_of(client.start(workflow, 3))
    assert (error.type, error.message) == ("SystemExit", "3")
    assert {worker.pid for worker in client.status().workers} == before


def test_a_process_task_that_dies_fails_alone(client: Any) -> None:
    error = error_of(client.start("dying_apart", 1))
    assert error.type == "ProcessDied"
    assert "status 9" in error.message


def test_tasks_that_kill_their_workers_end_as_poison_and_the_server_goes_on(client: Any) -> None:
    """More deaths than a restart intensity allows for."""
    poison = client.start_many("poison", [1, 2, 3])
    assert [error_of(run).type for run in poison] == ["PoisonTask"] * 3
    history = poison[0].history()
    assert [event.type for event in history].count("TaskReopened") == 3
    assert client.start("simple", "after").result(timeout_s=TIMEOUT_S) == "after"
    until(lambda: len(client.status().workers) == 2, "the return of both workers")


# ---- large work -----------------------------------------------------------------------------------------------------


def test_thousands_of_tiny_runs(client: Any) -> None:
    runs = client.start_many("simple", list(range(3_000)))
    assert [run.result(timeout_s=TIMEOUT_S) for run in runs] == list(range(3_000))


def test_a_map_over_ten_thousand_items(client: Any) -> None:
    run = client.start("doubled", list(range(10_000)))
    assert run.result(timeout_s=TIMEOUT_S) == [2 * number for number in range(10_000)]


def test_payloads_of_a_mebibyte(client: Any) -> None:
    values = [chr(ord("a") + number) * (1 << 20) for number in range(10)]
    assert [run.result(timeout_s=TIMEOUT_S) for run in client.start_many("simple", values)] == values


def test_many_tasks_of_all_sorts_with_one_large_value(client: Any) -> None:
    """300 tasks in threads, on loops and in processes read the same mebibyte, which is written and sent a few times."""
    size = 1 << 20
    before = log_bytes(client)
    run = client.start("measured", wfe.args(text="t" * size, numbers=list(range(100))))
    found = run.result(timeout_s=TIMEOUT_S)
    assert found == [[size + number, size + number + 1, size + number] for number in range(100)]
    until(lambda: log_bytes(client) > before + size, "the news of the shards")
    assert log_bytes(client) < before + 50 * size, "what other tests wrote just before may be news, too"


def log_bytes(client: Any) -> int:
    """What all shards have written into their logs since they started."""
    return sum(shard.stats.counters.get("log_bytes", 0) for shard in client.status().shards if shard.stats)


def test_sub_workflows_of_sub_workflows(client: Any) -> None:
    assert client.start("nested", 1).result(timeout_s=TIMEOUT_S) == 16


# ---- people who change their minds ----------------------------------------------------------------------------------


def cancelled(run: Any) -> bool:
    with pytest.raises(wfe.RunCancelled):
        run.result(timeout_s=TIMEOUT_S)
    return True


def test_a_cancel_ends_a_large_map_and_frees_its_workers(client: Any) -> None:
    run = client.start("napping", [0.2] * 2_000)
    until(lambda: any(event.type == "TaskDone" for event in run.history()), "the first item's end")
    run.cancel()
    assert cancelled(run)
    assert client.start("doubled", [1, 2]).result(timeout_s=TIMEOUT_S) == [2, 4]
    assert not [event for event in run.history() if event.type == "RunEnded"][1:]


def test_a_cancel_reaches_the_runs_below(client: Any) -> None:
    run = client.start("outer", "family")
    below: list[Any] = []

    def found() -> bool:
        below[:] = [r for r in client.list(status="waiting") if r.info.workflow in ("middle", "waiting")]
        return {r.info.workflow for r in below} == {"middle", "waiting"}

    until(found, "the start of both runs below")
    run.cancel()
    assert cancelled(run)
    assert all(cancelled(each) for each in below)


def test_hundreds_of_waiting_runs_are_cancelled_one_by_one(client: Any) -> None:
    runs = client.start_many("waiting", ["x"] * 300)
    for run in runs:
        run.cancel()
    assert all(cancelled(run) for run in runs)
    with pytest.raises(wfe.RunClosed):
        runs[0].signal("go", 1)


def test_a_paused_run_stands_still_and_loses_nothing(client: Any) -> None:
    run = client.start("napping", [0.1] * 200)
    until(lambda: any(event.type == "TaskDone" for event in run.history()), "the first item's end")
    run.pause()
    until(lambda: client.start("slow", 0.2).result(timeout_s=TIMEOUT_S) == 0.2, "another run")
    done = [event for event in run.history() if event.type == "TaskDone"]
    assert run.status() == "paused"
    assert len(done) < 200  # what had been dispatched has ended and is recorded, nothing new has begun
    run.resume()
    assert run.result(timeout_s=TIMEOUT_S) == [0.1] * 200


def test_a_history_is_followed_to_the_end_of_its_run(client: Any) -> None:
    run = client.start("waiting", "x")
    seen: list[str] = []
    follower = threading.Thread(target=lambda: seen.extend(event.type for event in run.history(follow=True)))
    follower.start()
    until(lambda: run.status() == "waiting", "the wait")
    run.signal("go", 1)
    follower.join(TIMEOUT_S)
    assert seen == [event.type for event in run.history()]
    assert seen[-1] == "RunEnded"


# ---- processes that come and go -------------------------------------------------------------------------------------


def test_a_worker_that_was_stopped_beyond_its_lease_goes_on_and_its_late_results_count_nowhere(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    config = tmp_path / "server.toml"
    config.write_text('[serve]\nlease = "1500ms"\n')
    server = start_server("--workers", "2", "--slots", "4", "--app", APP, "--config", str(config))
    with connected(server) as client:
        workers = [worker.pid for worker in client.status().workers]
        runs = client.start_many("slow", [2.0] * 8)
        until(lambda: all(r.describe().waiting_for[0].kind == "task" for r in runs), "the start of every task")
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: all("TaskReopened" in [e.type for e in r.history()] for r in runs), "the end of the leases")
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        assert [run.result(timeout_s=TIMEOUT_S) for run in runs] == [2.0] * 8
        for run in runs:
            assert [event.type for event in run.history()].count("TaskDone") == 1
        assert [worker.pid for worker in client.status().workers] == workers
    assert server.stop() == 0


def test_a_stop_waits_for_tasks_that_run_and_the_next_server_knows_their_results(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("--workers", "1", "--app", APP, data=tmp_path / "data")
    with connected(server) as client:
        run = client.start("slow", 1.5)
        until(lambda: run.describe().waiting_for[0].kind == "task", "the task's start")
        assert server.stop() == 0
    server = start_server(data=tmp_path / "data")
    with connected(server) as client:
        run = client.get(run.id)
        assert run.result(timeout_s=TIMEOUT_S) == 1.5
        assert [event.attempt for event in run.history() if event.type == "TaskDone"] == [1]
    assert server.stop() == 0


def test_a_stop_right_after_mixed_work_always_ends_by_itself(start_server: Callable[..., Server]) -> None:
    for _ in range(4):
        server = start_server("--shards", "2", "--workers", "2", "--app", APP, "--log-level", "error")
        with connected(server) as client:
            runs = [client.start("doubled", [1, 2, 3]), client.start("simple", 1), client.start("nested", 1)]
            assert [run.result(timeout_s=TIMEOUT_S) for run in runs] == [[2, 4, 6], 1, 16]
            client.start_many("slow", [0.05] * 20)
            assert server.stop() == 0


def test_a_client_may_start_before_its_server(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server(data=tmp_path / "data")
    assert server.stop() == 0
    results: list[Any] = []

    def use() -> None:
        with connected(server, connect_timeout_s=TIMEOUT_S) as client:
            results.append(client.start("simple", 5).result(timeout_s=TIMEOUT_S))

    thread = threading.Thread(target=use)
    thread.start()
    again = start_server("--workers", "1", "--app", APP, "--listen", server.address, data=tmp_path / "data")
    thread.join(TIMEOUT_S)
    assert results == [5]
    assert again.stop() == 0


def test_a_worker_from_elsewhere_joins_and_leaves(start_server: Callable[..., Server]) -> None:
    server = start_server("--shards", "2")
    server.json("deploy", APP)
    with connected(server) as client:
        for number in range(2):
            run = client.start("simple", number)
            command = [*WFE, "worker", "--app", APP, "--connect", server.address, "--log-level", "error"]
            worker = subprocess.Popen(command, env=server.environment)
            try:
                assert run.result(timeout_s=TIMEOUT_S) == number
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(TIMEOUT_S) == 0
            finally:
                worker.kill()
                worker.wait()
            until(lambda: not client.status().workers, "the worker's leave")
