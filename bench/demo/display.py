"""Progress of the demo: live bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Display:
    """``update(name, done, total)`` as often as one likes; ``say`` for what must not be missed."""

    LINE_EVERY_S = 1.0

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = sys.stdout.isatty()
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._bars: dict[str, TaskID] = {}
        self._state: dict[str, tuple[int, int]] = {}
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Display:
        self._started = time.monotonic()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        if self._live:
            self._console.print(f"[bold yellow]{text}[/]" if text.startswith("kill") else text)
        else:
            print(f"[{time.monotonic() - self._started:5.1f} s] {text}", flush=True)

    def update(self, name: str, done: int, total: int) -> None:
        if self._live:
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name)
            self._progress.update(self._bars[name], completed=done, total=total or None)
            return
        self._state[name] = (done, total)
        finished = total > 0 and done >= total and all(d >= t for d, t in self._state.values())
        if finished or time.monotonic() - self._printed >= self.LINE_EVERY_S:
            self._printed = time.monotonic()
            self.say(", ".join(f"{n}: {d} of {t or '?'}" for n, (d, t) in self._state.items()))
