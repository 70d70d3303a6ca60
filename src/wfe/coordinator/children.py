"""Child processes: spawned (never forked) with options on standard input, waited for, ended with what they started.

The pipe to a child's standard input stays open for as long as this process lives and is inherited by nobody else: when
it closes, the child knows that its parent is gone. A child is a process group of its own, so that Ctrl-C reaches only
the parent, and killing a worker takes the processes of its tasks along. Everything but waiting happens on the loop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO

import msgspec

_POSIX = sys.platform != "win32"
_STDERR = 2
"""The descriptor, for `sys.stderr` may be something else (a notebook's stream has none)."""


def spawn(command: Sequence[str], options: msgspec.Struct, *, stdout: int | None = None) -> subprocess.Popen[bytes]:
    """Starts a process and hands it its options as one line of JSON. ``stdout`` None: this process's standard error."""
    process = subprocess.Popen(
        [*command],
        stdin=subprocess.PIPE,
        stdout=_STDERR if stdout is None else stdout,
        process_group=0 if _POSIX else None,
    )
    try:
        _stdin(process).write(msgspec.json.encode(options) + b"\n")
        _stdin(process).flush()
    except BrokenPipeError:
        pass  # it died already; its end is noticed by waiting
    return process


def kill_group(process: subprocess.Popen[bytes], how: int) -> None:
    """Signals a process and everything in its group; a process that is gone is no error."""
    try:
        if _POSIX:
            os.killpg(process.pid, how)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        return


class Children:
    """The running processes by name. ``on_exit(name, code)`` is called through ``call_soon`` from a waiting thread."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[str, int], None], str, int], object],
        on_exit: Callable[[str, int], None],
    ) -> None:
        self._call_soon, self._on_exit = call_soon, on_exit
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, command: Sequence[str], options: msgspec.Struct) -> int:
        """Starts a child; its end is reported exactly once, after it was waited for."""
        process = spawn(command, options)
        self._processes[name] = process
        threading.Thread(target=self._wait, args=(name, process), name=f"wait-{name}", daemon=True).start()
        return process.pid

    def terminate(self, name: str) -> None:
        """Asks the process itself (not those of its tasks) to leave."""
        process = self._processes.get(name)
        if process is not None and process.returncode is None:
            process.terminate()

    def kill(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None and process.returncode is None:
            kill_group(process, signal.SIGKILL if _POSIX else signal.SIGTERM)

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        self._call_soon(self._ended, name, code)

    def _ended(self, name: str, code: int) -> None:
        process = self._processes.pop(name)
        _close_quietly(_stdin(process))
        # What its tasks started must not outlive it.
        kill_group(process, signal.SIGKILL if _POSIX else signal.SIGTERM)
        self._on_exit(name, code)


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _close_quietly(file: IO[bytes]) -> None:
    try:
        file.close()
    except BrokenPipeError:
        return
