"""`wfe worker` in a terminal: a parent that keeps one worker process and replaces it when it is tainted, stuck or dead.

Blocking code in the main thread: it waits for the child's end and looks at the deadline board in between. Invariants:
the parent never runs user code, so it always can kill the child; every process start has a fresh worker id; a child
that dies is replaced, ever more slowly, for as long as nobody asks to stop: there is nobody to escalate to.
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
from wfe.limits import (
    DRAIN_MS,
    RESTART_BACKOFF_MAX_MS,
    RESTART_BACKOFF_MS,
    RESTART_INTENSITY,
    RESTART_PERIOD_MS,
)
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.process import CONNECT_PATIENCE_MS, EXIT_REFUSED, EXIT_UNREACHABLE, LEAVE_S

LOOK_S = 0.25
"""How often the board is looked at."""

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
        """Until asked to stop, or the server refuses the worker or was never reached; the exit code."""
        served = False
        while True:
            begun_s = time.monotonic()
            code = self._one_child()
            if self._asked or code == EXIT_REFUSED or (code == EXIT_UNREACHABLE and not served):
                return max(code, 0)
            served = served or code == 0 or time.monotonic() - begun_s > CONNECT_PATIENCE_MS / 1_000
            if code != 0:
                self._pause(code)

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

    def _pause(self, code: int) -> None:
        """After a death: the first in a period is followed by a start at once, later ones by growing delays."""
        now_s = time.monotonic()
        self._deaths.append(now_s)
        while self._deaths[0] < now_s - RESTART_PERIOD_MS / 1_000:
            self._deaths.popleft()
        deaths = len(self._deaths)
        wait_ms = 0 if deaths == 1 else min(RESTART_BACKOFF_MS << (deaths - 2), RESTART_BACKOFF_MAX_MS)
        say = _logger.error if deaths > RESTART_INTENSITY else _logger.warning
        say("the worker process ended, another one is started", code=code, deaths=deaths, wait_ms=wait_ms)
        until_s = now_s + wait_ms / 1_000
        while not self._asked and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, LOOK_S))  # nothing that a signal handler may safely set would wake it


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
