"""Notices a durable function that holds up its worker, and names it with the line that it stands at.

A thread of its own looks at the stack of the worker's thread, for nobody else can while that one is blocked. It starts
with the first turn, looks every half second while there are turns, and sleeps when there are none.
"""

from __future__ import annotations

import sys
import threading
import time

from wfe import observe
from wfe.limits import DURABLE_SLOW_MS
from wfe.worker.durable.places import author_frame, text_of

_logger = observe.get_logger("wfe.durable")


class Watch:
    """`enter` before a turn, `leave` after it; cheap enough for each."""

    def __init__(self, slow_ms: int = DURABLE_SLOW_MS) -> None:
        self._slow_s = slow_ms / 1_000
        self._name, self._run_id = "", ""
        self._since_ns = 0
        self._turns = 0
        self._thread: threading.Thread | None = None
        self._watched = 0
        self._busy = threading.Event()
        self._closed = False
        self.noticed = 0
        """Turns that were named so far."""

    def enter(self, name: str, run_id: str, now_ns: int) -> None:
        self._name, self._run_id = name, run_id
        self._turns += 1
        self._since_ns = now_ns
        if not self._busy.is_set():
            self._watched = threading.get_ident()
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="wfe-durable-watch", daemon=True)
                self._thread.start()
            self._busy.set()

    def leave(self) -> None:
        self._since_ns = 0

    def close(self) -> None:
        self._closed = True
        self._busy.set()

    def _look(self) -> None:
        named_ns = 0
        pause = threading.Event()  # never set: a wait that a closing interpreter can end
        while self._busy.wait() and not self._closed:
            turns, since_ns = self._turns, self._since_ns
            pause.wait(self._slow_s / 2)
            if turns != self._turns:
                continue
            if not self._since_ns:
                self._busy.clear()  # nothing for a while: the next turn wakes this thread
            elif since_ns == self._since_ns != named_ns and time.monotonic_ns() - since_ns >= self._slow_s * 1e9:
                named_ns = since_ns
                self._name_it(since_ns)

    def _name_it(self, since_ns: int) -> None:
        frame = author_frame(sys._current_frames().get(self._watched))
        if frame is None or since_ns != self._since_ns:
            return
        self.noticed += 1
        _logger.warning(
            "a durable function holds up its worker: what takes long belongs into a task",
            function=self._name,
            run=self._run_id,
            at=f"{text_of(frame.f_code.co_filename, frame.f_lineno)} in {frame.f_code.co_name}",
            so_far_ms=(time.monotonic_ns() - since_ns) // 1_000_000,
        )
