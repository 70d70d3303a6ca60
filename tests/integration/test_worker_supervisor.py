"""The parent of a worker in a terminal: replaces what is tainted, stuck or dead, for as long as it is wanted."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from wfe.config import WorkerOptions
from wfe.limits import RESTART_BACKOFF_MAX_MS, RESTART_INTENSITY, RESTART_PERIOD_MS
from wfe.worker import supervisor
from wfe.worker.supervisor import Supervisor

WAIT_S = 30.0
WAIT_FOR_A_SIGNAL = """
import signal
signal.signal(signal.SIGTERM, lambda *_: exit(0))
print(flush=True)
signal.pause()
"""
IGNORE_SIGNALS = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
while True: signal.pause()
"""
SHOW_AN_OVERRUN = """
import sys, time
from wfe.worker.deadlines import DeadlineBoard
board = DeadlineBoard.open(sys.argv[1])
board.set(0, time.monotonic_ns() - 10**10)
while True: pass
"""


class Supervised:
    """Runs a supervisor in a thread; the children are the given scripts, one after the other (the last one repeats)."""

    def __init__(self, directory, *scripts: str) -> None:
        self.scripts = list(scripts)
        self.children: list[subprocess.Popen[bytes]] = []
        self.workers: list[str] = []
        self.started = threading.Semaphore(0)
        self.supervisor = Supervisor(WorkerOptions(slots=2), self.spawn, directory)
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.code = self.supervisor.run()

    def spawn(self, options: WorkerOptions) -> subprocess.Popen[bytes]:
        script = self.scripts[min(len(self.children), len(self.scripts) - 1)]
        child = subprocess.Popen([sys.executable, "-c", script, options.board], process_group=0, stdout=subprocess.PIPE)
        self.children.append(child)
        self.workers.append(options.worker)
        self.started.release()
        return child

    def child_is_ready(self, number: int) -> None:
        """The child has printed its line: its signal handler is in place."""
        for _ in range(number + 1 - len(self.children)):
            assert self.started.acquire(timeout=WAIT_S)
        out = self.children[number].stdout
        assert out is not None
        assert out.readline() == b"\n"

    def ended(self) -> int | None:
        self.thread.join(WAIT_S)
        for child in self.children:
            assert child.poll() is not None, "no child outlives its parent"
            assert child.stdout is not None
            child.stdout.close()
        return self.code


def test_a_worker_that_left_by_itself_is_replaced_under_a_fresh_id(tmp_path):
    supervised = Supervised(tmp_path, "exit(0)", "exit(0)", "exit(2)")
    assert supervised.ended() == 2
    assert len(set(supervised.workers)) == 3


@pytest.mark.parametrize("code", [2, 3])
def test_a_refusal_is_passed_on(tmp_path, code):
    supervised = Supervised(tmp_path, f"exit({code})")
    assert supervised.ended() == code
    assert len(supervised.children) == 1


def test_a_worker_that_dies_often_is_started_again_ever_more_slowly_and_never_given_up(tmp_path, monkeypatch):
    waits: list[float] = []
    clock = [100.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(supervisor, "LOOK_S", 1e9)
    monkeypatch.setattr(supervisor.time, "sleep", sleep)
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: clock[0])
    keeper = Supervisor(WorkerOptions(slots=2), lambda options: pytest.fail("nothing is started here"), tmp_path)
    for _ in range(3 * RESTART_INTENSITY):
        keeper._pause(1)
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert max(waits) == pytest.approx(RESTART_BACKOFF_MAX_MS / 1_000)
    clock[0] += RESTART_PERIOD_MS / 1_000 + 1
    waits.clear()
    keeper._pause(1)
    assert waits == []


def test_deaths_and_a_server_that_was_lost_later_end_nothing(tmp_path):
    supervised = Supervised(tmp_path, "exit(0)", "exit(1)", "exit(3)", "exit(1)", "exit(2)")
    assert supervised.ended() == 2
    assert len(supervised.children) == 5


def test_a_request_to_stop_ends_the_wait_for_the_next_start(tmp_path):
    supervised = Supervised(tmp_path, "exit(1)")
    for _ in range(4):
        assert supervised.started.acquire(timeout=WAIT_S)
    supervised.supervisor.stop()
    assert supervised.ended() is not None


def test_a_stuck_worker_is_killed_and_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "LOOK_S", 0.02)
    supervised = Supervised(tmp_path, SHOW_AN_OVERRUN, "exit(2)")
    assert supervised.ended() == 2
    assert supervised.children[0].returncode == -9


def test_a_request_to_stop_is_passed_on_and_nothing_is_started_again(tmp_path):
    supervised = Supervised(tmp_path, WAIT_FOR_A_SIGNAL)
    assert supervised.started.acquire(timeout=WAIT_S)
    supervised.child_is_ready(0)
    supervised.supervisor.stop()
    assert supervised.ended() == 0
    assert len(supervised.children) == 1


def test_the_second_request_kills(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "LOOK_S", 0.02)
    supervised = Supervised(tmp_path, IGNORE_SIGNALS)
    assert supervised.started.acquire(timeout=WAIT_S)
    supervised.child_is_ready(0)
    supervised.supervisor.stop()
    supervised.supervisor.stop()
    assert supervised.ended() == 0
    assert supervised.children[0].returncode == -9
