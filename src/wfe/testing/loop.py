"""An asyncio loop on the virtual clock: whenever nothing is ready, the next event of the simulated world happens.

Time stands still while code runs, and moves from event to event; nothing ever waits for real, except for sockets and
threads that user code brings along. Invariant: `time` never goes back.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from wfe.sim.schedule import Schedule

REAL_WAIT_S = 0.2
"""How long the virtual clock waits for real sockets or threads of user code before it goes on without them."""


class _Selector(selectors.BaseSelector):
    """A real selector that takes steps of the world instead of waiting."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._real = selectors.DefaultSelector()
        self.own = 0
        """File objects that are the loop's own."""
        self.threads = 0
        """Calls under way in threads."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        foreign = self.threads or len(self._real.get_map()) > self.own
        ready = self._real.select(REAL_WAIT_S if foreign and (timeout is None or timeout > 0) else 0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        schedule = self._schedule
        due_us = schedule.next_us()
        until_us = None if timeout is None else schedule.now_us + max(int(timeout * 1_000_000), 1)
        if due_us is not None and (until_us is None or due_us <= until_us):
            action, arguments = schedule.take()
            action(*arguments)
        elif until_us is not None:
            schedule.now_us = until_us
        else:
            raise RuntimeError("the virtual clock has nothing left to do")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time`` is the world's, in seconds."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._virtual = _Selector(schedule)
        super().__init__(self._virtual)
        self._virtual.own = len(self._virtual.get_map())

    def time(self) -> float:
        return self._schedule.now_us / 1_000_000

    def run_in_executor(  # type: ignore[override]  # as the base class, without its type variables
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """As usual; while the call is under way the clock waits for it."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: Any) -> None:
        self._virtual.threads -= 1
