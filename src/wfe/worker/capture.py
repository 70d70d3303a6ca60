"""What user code prints and logs, as structured log lines with the run, node and attempt that said it.

May touch `sys.stdout`, `sys.stderr` and wfe's log. Outside a task both streams behave as ever. `logging` and structlog
need nothing here: `observe.configure(context=job.current_fields)` adds the fields to each line.
Invariants: a line is logged whole, whoever else prints at the same time, since unfinished text is kept per attempt; the
log itself is written to the stream that was there before, so that it is never captured.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any, TextIO

from wfe import observe
from wfe.worker.job import CURRENT, Job

_LINE_CHARS_MAX = 10_000
_saying = threading.local()
_logger = observe.get_logger("wfe.print")


class CapturedStream:
    """Stands in for a standard stream: text of a task becomes log lines, other text goes to the original."""

    def __init__(self, original: TextIO) -> None:
        self.original = original

    def write(self, text: str) -> int:
        job = CURRENT.get()
        if job is None or getattr(_saying, "now", False):
            return self.original.write(text)
        *lines, job.printed = (job.printed + text).split("\n")
        for line in lines:
            _say(line)
        while len(job.printed) > _LINE_CHARS_MAX:
            _say(job.printed[:_LINE_CHARS_MAX])
            job.printed = job.printed[_LINE_CHARS_MAX:]
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if CURRENT.get() is None:
            self.original.flush()

    def isatty(self) -> bool:
        return CURRENT.get() is None and self.original.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def flush(job: Job) -> None:
    """Logs what an attempt printed without ending the line."""
    if job.printed:
        text, job.printed = job.printed, ""
        token = CURRENT.set(job)
        try:
            _say(text)
        finally:
            CURRENT.reset(token)


def install() -> None:
    """Captures this process's standard streams. Calling it twice changes nothing."""
    if not isinstance(sys.stdout, CapturedStream):
        sys.stdout = CapturedStream(sys.stdout)
    if not isinstance(sys.stderr, CapturedStream):
        sys.stderr = CapturedStream(sys.stderr)


def uninstall() -> None:
    """Puts the original streams back."""
    if isinstance(sys.stdout, CapturedStream):
        sys.stdout = sys.stdout.original
    if isinstance(sys.stderr, CapturedStream):
        sys.stderr = sys.stderr.original


def _say(line: str) -> None:
    """Logs a line. A log that is written to a captured stream itself must not come round again."""
    _saying.now = True
    try:
        _logger.info(line)
    finally:
        _saying.now = False
