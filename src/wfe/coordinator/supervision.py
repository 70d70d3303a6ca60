"""Which child runs, and when one that ended is started again. OTP's terms: restart intensity and period.

Pure logic: time comes in, processes are started through a callable. Invariants: a child has at most one process; a new
one starts only after the old one was waited for; a shard that ended more than `RESTART_INTENSITY` times within
`RESTART_PERIOD_MS` is *down* and stays so; an end that was planned does not count, nor does a start for which the
system had no descriptors, processes or memory, nor one of a shard whose disk was full: nobody crashed, and it is tried
again until there is some. A worker is
never down: a few tasks that kill their process must not end the execution of everybody else's, so it comes back, ever
more slowly; so does the gateway, without which runs go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import StrEnum

from wfe.limits import RESTART_BACKOFF_MAX_MS, RESTART_BACKOFF_MS, RESTART_INTENSITY, RESTART_PERIOD_MS

EXIT_STARVED = 4
"""A child's exit code: there were too few descriptors to open what it needs, or its disk was full."""
_STARVED_SHIFT_MAX = 8


class ChildState(StrEnum):
    """``waiting``: not started yet; ``backoff``: will be started again; ``stopped``: ended because it was asked to."""

    WAITING = "waiting"
    RUNNING = "running"
    BACKOFF = "backoff"
    DOWN = "down"
    STOPPED = "stopped"


class Child:
    """One supervised process, across its restarts. ``restarts`` counts all of them, planned ones included."""

    __slots__ = (
        "due_ms",
        "index",
        "name",
        "pid",
        "planned",
        "recent",
        "restarts",
        "role",
        "starved",
        "state",
        "worker",
    )

    def __init__(self, role: str, index: int) -> None:
        self.name = f"{role}-{index}"
        self.role, self.index = role, index
        self.state = ChildState.WAITING
        self.pid = 0
        self.restarts = 0
        self.due_ms = 0
        self.planned = False
        self.worker = ""
        """The worker id of the running process; "" for a shard."""
        self.recent: deque[int] = deque()
        self.starved = 0
        """Starts in a row for which the system lacked something."""


class Supervisor:
    """Starts children through ``spawn``, which returns the process id or raises OSError."""

    def __init__(self, children: Iterable[Child], spawn: Callable[[Child], int]) -> None:
        self.children = {child.name: child for child in children}
        self._spawn = spawn
        self.stopping = False

    def of(self, role: str) -> list[Child]:
        return [child for child in self.children.values() if child.role == role]

    def running(self, role: str = "") -> list[Child]:
        return [c for c in self.children.values() if c.state is ChildState.RUNNING and role in ("", c.role)]

    def start(self, child: Child, now_ms: int) -> None:
        """Starts the child's process; when the system refuses, later."""
        try:
            child.pid = self._spawn(child)
        except OSError:
            self._starved(child, now_ms)
        else:
            child.state = ChildState.RUNNING

    def exited(self, child: Child, code: int, now_ms: int) -> None:
        """The child's process was waited for. Exit code 0 of a worker is a planned replacement (it was tainted)."""
        child.pid = 0
        if self.stopping:
            child.state = ChildState.STOPPED
            return
        planned, child.planned = child.planned or (child.role == "worker" and code == 0), False
        if planned:
            child.state, child.due_ms = ChildState.BACKOFF, now_ms
            child.restarts += 1
        elif code == EXIT_STARVED:
            self._starved(child, now_ms)
        else:
            self._ended(child, now_ms)

    def tick(self, now_ms: int) -> None:
        """Starts what is due."""
        for child in self.children.values():
            if child.state is ChildState.BACKOFF and child.due_ms <= now_ms and not self.stopping:
                self.start(child, now_ms)

    def stop(self) -> None:
        """From now on nothing is started again."""
        self.stopping = True
        for child in self.children.values():
            if child.state is not ChildState.RUNNING:
                child.state = ChildState.STOPPED

    def _starved(self, child: Child, now_ms: int) -> None:
        wait_ms = min(RESTART_BACKOFF_MS << min(child.starved, _STARVED_SHIFT_MAX), RESTART_BACKOFF_MAX_MS)
        child.starved += 1
        child.restarts += 1
        child.state, child.due_ms = ChildState.BACKOFF, now_ms + wait_ms

    def _ended(self, child: Child, now_ms: int) -> None:
        child.starved = 0
        recent = child.recent
        while recent and recent[0] <= now_ms - RESTART_PERIOD_MS:
            recent.popleft()
        if len(recent) >= RESTART_INTENSITY and child.role == "shard":
            child.state = ChildState.DOWN
            return
        recent.append(now_ms)
        child.restarts += 1
        wait_ms = 0 if len(recent) == 1 else RESTART_BACKOFF_MS << (len(recent) - 2)
        child.state, child.due_ms = ChildState.BACKOFF, now_ms + min(wait_ms, RESTART_BACKOFF_MAX_MS)
