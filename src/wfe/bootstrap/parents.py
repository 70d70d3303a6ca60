"""How a child process learns its options, and that its parent is gone.

Options arrive as one line of JSON on standard input; the pipe behind it stays open while the parent lives and nobody
else holds its other end. So when it closes, the parent is gone, and the child must be, too: no orphans.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
EXIT_ORPHANED = 70


def read_options() -> tuple[bytes, int]:
    """The line of options, and the descriptor of the pipe. Standard input itself becomes empty for user code."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65_536)
        if not chunk:
            raise SystemExit(EXIT_ORPHANED)
        line += chunk
    parent_fd = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return line, parent_fd


def parent_watch(fd: int, on_loss: Callable[[], object] | None = None) -> None:
    """Watches the pipe from a thread: when it closes, this process ends at once (or ``on_loss`` is called there)."""

    def watch() -> None:
        try:
            while os.read(fd, 4_096):
                continue
        except OSError:
            pass  # a pipe that cannot be read any more says the same as one that was closed
        if on_loss is None:
            os._exit(EXIT_ORPHANED)
        on_loss()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def die_with_parent() -> None:
    """Asks the kernel for the same, where it can: while C code of a task holds the interpreter no watching thread runs.

    Only for children of a thread that lives as long as their parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
