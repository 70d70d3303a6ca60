"""What every simulated process shares: a name, a clock of its own, being stopped for a while, and dying.

Invariants: a dead process does nothing any more; a stopped one (SIGSTOP) does everything later, in the same order; an
exception that production code lets out of a process ends that process, and is a finding unless a fault explains it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wfe.errors import WfeError
from wfe.sim.disk import SimCrashed

if TYPE_CHECKING:
    from wfe.sim.world import World


class Violation(AssertionError):
    """The simulation has found something that must never be."""


class Node:
    """One process. ``offset_ms``: its wall clock minus the world's time; ``drift``: how much faster it goes."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.offset_ms = world.wall_offset_ms
        self.drift = world.drift()
        self.born_us = world.schedule.now_us
        self.stopped_until_us = 0

    def now_ms(self) -> int:
        """The process's clock: wall time as of its start plus what has elapsed."""
        now_us = self.world.schedule.now_us
        if self.drift:
            now_us += int((now_us - self.born_us) * self.drift)
        return now_us // 1_000 + self.offset_ms

    def after(self, delay_us: int, what: str, action: Callable[..., object], *arguments: Any) -> None:
        """One step of this process, later."""
        self.world.schedule.after(delay_us, self._step, what, action, arguments)

    def stop_for(self, duration_us: int) -> None:
        """As SIGSTOP, with a SIGCONT after a while."""
        self.stopped_until_us = max(self.stopped_until_us, self.world.schedule.now_us + duration_us)

    def _step(self, what: str, action: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        schedule = self.world.schedule
        if schedule.now_us < self.stopped_until_us:
            schedule.at(self.stopped_until_us, self._step, what, action, arguments)
            return
        self.world.trace.step(schedule.now_us, what)
        self.guarded(action, *arguments)

    def incoming(self, handle: Callable[[bytes, list[bytes]], object]) -> Callable[[bytes, list[bytes]], None]:
        """Wraps a handler of frames for the network."""

        def deliver(peer: bytes, parts: list[bytes]) -> None:
            if not self.alive:
                return
            schedule = self.world.schedule
            if schedule.now_us < self.stopped_until_us:
                schedule.at(self.stopped_until_us, deliver, peer, parts)
            else:
                self.guarded(handle, peer, parts)

        return deliver

    def guarded(self, action: Callable[..., object], *arguments: Any) -> None:
        """Runs production code; what it raises ends the process."""
        try:
            action(*arguments)
        except SimCrashed:
            self.die(-9)
        except Violation:
            raise
        except WfeError as error:
            self.failed(error)

    def failed(self, error: WfeError) -> None:
        """Production code let an error out of the process."""
        raise Violation(f"{self.name} fails: {error!r}") from error

    def die(self, code: int) -> None:
        """The end of the process; ``code`` below zero: a signal."""
        self.alive = False
