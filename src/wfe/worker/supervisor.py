"""`wfe worker` in a terminal: a parent that keeps one worker process and replaces it when it is tainted, stuck or dead.

Blocking code in the main thread: it waits for the child's end and looks at the deadline board in between. Invariants:
the parent never runs user code, so it always can kill the child; every process start has a fresh worker id; a child
that dies too often (OTP's restart intensity) ends the parent, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from wfe import observe
from wfe.config import WorkerOptions
from wfe.limits import DRAIN_MS, RESTART_INTENSITY, RESTART_PERIOD_MS
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.process import EXIT_REFUSED, EXIT_UNREACHABLE, LEAVE_S

LOOK_S = 0.25
"""How often the board is looked at."""
EXIT_DOWN = 1

Spawn = Callable[[WorkerOptions], "subprocess.Popen[bytes]"]
"""Starts a worker process in a process group of its own."""
_logger = observe.get_logger("wfe.supervisor")


class Supervisor:
    """Keeps one child. `run` in the main thread; `stop` may be called from a signal handler or another thread."""

    def __init__(self, options: WorkerOptions, spawn: Spawn, directory: Path) -> None:
        self._options, self._spawn = options, spawn
        self._board_path = directory / "board"
        self._deaths: deque[float] = deque()
        self._asked = 0
        self._stop_by_s = 0.0
        self._ended = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Until asked to stop, the server refuses the worker, or it dies too often; the exit code."""
        while True:
            code = self._one_child()
            if self._asked or code in (EXIT_REFUSED, EXIT_UNREACHABLE):
                return max(code, 0)
            if code != 0:
                _logger.warning("the worker process ended, starting another one", code=code)
                if self._too_often(time.monotonic()):
                    _logger.error("the worker process dies too often", times=RESTART_INTENSITY)
                    return EXIT_DOWN

    def stop(self) -> None:
        """Asks the child to finish and leave; the second time it is killed."""
        self._asked += 1
        self._stop_by_s = time.monotonic() + DRAIN_MS / 1_000 + 2 * LEAVE_S
        if self._child is not None:
            if self._asked == 1:
                self._child.terminate()
            else:
                kill_group(self._child)

    def _one_child(self) -> int:
        board = DeadlineBoard.create(self._board_path, self._options.slots)
        try:
            options = msgspec.structs.replace(
                self._options, worker=f"worker-{os.urandom(8).hex()}", board=str(self._board_path)
            )
            child = self._child = self._spawn(options)
            ended = self._ended = threading.Event()
            threading.Thread(target=_wait, args=(child, ended), name="wait-worker", daemon=True).start()
            if self._asked:
                child.terminate()
            while not ended.wait(LOOK_S):
                self._look(child, board)
            kill_group(child)  # what its tasks have started must not outlive it
            return child.returncode
        finally:
            self._child = None
            board.close()

    def _look(self, child: subprocess.Popen[bytes], board: DeadlineBoard) -> None:
        if board.stuck(time.monotonic_ns()):
            _logger.warning("the worker process is stuck in a task that overran: it is killed", pid=child.pid)
            kill_group(child)
        elif self._asked and time.monotonic() > self._stop_by_s:
            _logger.warning("the worker process does not leave: it is killed", pid=child.pid)
            kill_group(child)

    def _too_often(self, now_s: float) -> bool:
        self._deaths.append(now_s)
        while self._deaths and self._deaths[0] < now_s - RESTART_PERIOD_MS / 1_000:
            self._deaths.popleft()
        return len(self._deaths) > RESTART_INTENSITY


def supervise(options: WorkerOptions, spawn: Spawn) -> int:
    """Runs a supervised worker until SIGTERM or SIGINT; the exit code."""
    with tempfile.TemporaryDirectory(prefix="wfe-worker-") as directory:
        supervisor = Supervisor(options, spawn, Path(directory))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        return supervisor.run()


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kills a process and its group; one that is gone already is no error."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)


def _wait(child: subprocess.Popen[bytes], ended: threading.Event) -> None:
    child.wait()
    ended.set()
