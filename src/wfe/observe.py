"""What wfe says about itself: structured log lines, counters and latencies.

May touch: the standard error stream, structlog, contextvars. No asyncio, no zmq, no clock but the log's timestamp:
`LatencyWindow` takes the time as an argument, so that actors stay simulatable.

Invariants: a log line is one line of JSON (or console text) and passes the masker whole, so that a secret never leaves
in any field; the hot-path parts (`Counters`, `LatencyWindow.record`) allocate nothing per call. Metrics are never
labelled by run.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from wfe.errors import ConfigError
from wfe.wire.messages import Latency

LogFormat = Literal["auto", "json", "console"]
Mask = Callable[[str], str]
ContextProvider = Callable[[], Mapping[str, object] | None]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_FIRST_KEYS = ("time", "level", "logger", "event")

_task_context: ContextVar[Mapping[str, object] | None] = ContextVar("wfe_task_context", default=None)


# ---- the log --------------------------------------------------------------------------------------------------------


def configure(
    level: str = "info",
    format: LogFormat = "auto",
    *,
    stream: TextIO | None = None,
    mask: Mask | None = None,
    context: ContextProvider | None = None,
    **fields: object,
) -> None:
    """Set up this process's log; the last call wins.

    ``format``: "json" (one object a line), "console" (for people), "auto" (console on a terminal, else JSON).
    ``stream``: standard error when None. ``mask`` is applied to each finished line (`secrets.mask_secrets`).
    ``context`` is asked at each line for further fields (a worker's current task), so that a task that logs nothing
    pays nothing. ``fields`` go into every line (``process="shard", index=0``). The standard library's `logging` is led
    into the same stream. Raises ConfigError for an unknown level or format.
    """
    number = LEVELS.get(level.lower())
    if number is None:
        raise ConfigError(f"unknown log level {level!r}: choose one of {', '.join(LEVELS)}")
    if format not in ("auto", "json", "console"):
        raise ConfigError(f"unknown log format {format!r}: choose auto, json or console")
    _log.set_up(number, format, stream, mask, context, fields)
    _lead_standard_logging(number)


def tap(listener: Callable[[Mapping[str, Any]], None] | None) -> None:
    """Called with each line that is logged, before it is masked and written; it must be quick and raise nothing."""
    _log.listener = listener


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry ``logger=name``. May be made at import time; `configure` later still applies."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Named(name),
        processors=[
            _log.begin,
            structlog.processors.add_log_level,
            _add_time,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _log.end,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=True,
    )
    return logger


@contextmanager
def task_context(run: str, node: str, attempt: int) -> Iterator[None]:
    """Lines logged inside carry the run, node and attempt (per thread, and per asyncio task)."""
    token = _task_context.set({"run": run, "node": node, "attempt": attempt})
    try:
        yield
    finally:
        _task_context.reset(token)


class StandardHandler(logging.Handler):
    """Leads records of the standard library's `logging` into wfe's log, with the same context and masking."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            logger = get_logger(record.name)
            exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
            logger.log(record.levelno, record.getMessage(), **({"exc_info": exc_info} if exc_info else {}))
        except (ValueError, TypeError, OSError):  # a bad format string, or a closed stream: logging's own convention
            self.handleError(record)


def _lead_standard_logging(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, StandardHandler)]
    root.addHandler(StandardHandler())
    root.setLevel(level)


Event = MutableMapping[str, Any]
_add_time = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")


class _Named:
    """What structlog hands a finished line to; `_Log.end` has written it by then."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Nothing is left to do."""

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class _Log:
    """This process's log. Apart from structlog's own configuration, which belongs to the users' tasks."""

    def __init__(self) -> None:
        self.listener: Callable[[Mapping[str, Any]], None] | None = None
        self._lost = 0
        self.set_up(LEVELS["warning"], "auto", None, None, None, {})

    def set_up(
        self,
        level: int,
        format: LogFormat,
        stream: TextIO | None,
        mask: Mask | None,
        context: ContextProvider | None,
        fields: Mapping[str, object],
    ) -> None:
        out = stream if stream is not None else sys.stderr
        as_console = format == "console" or (format == "auto" and out.isatty())
        self._level, self._stream, self._mask, self._context, self._fields = level, stream, mask, context, fields
        self._lost = 0
        self._render = _console_renderer(colors=out.isatty()) if as_console else _render_json

    def begin(self, logger: _Named, method: str, event: Event) -> Event:
        """Drops what is below the level, before anything costs; adds the context."""
        if LEVELS.get(method, LEVELS["error"]) < self._level:
            raise structlog.DropEvent
        event["logger"] = logger.name
        found = (self._context() if self._context is not None else None) or _task_context.get()
        for source in (found, self._fields):
            for key, value in (source or {}).items():
                event.setdefault(key, value)
        return event

    def end(self, _logger: _Named, _method: str, event: Event) -> str:
        """One write per line, so that lines of several processes on one stream do not mix."""
        if self.listener is not None:
            self.listener(event)
        lost = self._lost
        if lost:
            told = {**self._fields, "lines": lost, "time": event.get("time"), "level": "warning", "logger": "log"}
            if not self._write(self._render({**told, "event": "lines of the log could not be written"})):
                self._lost += 1
                return ""
            self._lost -= lost
        line = self._render(event)
        if self._mask is not None:
            line = self._mask(line)
        if not self._write(line):
            self._lost += 1
        return line

    def _write(self, line: str) -> bool:
        """Whether it was written. What logs is in the middle of something and must get to its end, whatever becomes of
        the log: its disk is full, or whoever read our standard error is gone."""
        stream = self._stream if self._stream is not None else sys.stderr
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            return False
        return True


def _render_json(event: Event) -> str:
    ordered = {key: event.pop(key) for key in _FIRST_KEYS if key in event}
    ordered.update(event)
    return msgspec.json.encode(ordered, enc_hook=repr).decode()


def _console_renderer(*, colors: bool) -> Callable[[Event], str]:
    console = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", pad_event_to=0)
    return lambda event: str(console(None, "", event))


# ---- counters and latencies -----------------------------------------------------------------------------------------


class Counters(dict[str, int]):
    """Plain integers by name, in a dict: ``counters["tasks_done"] += n``. Only ever counted up."""

    def __missing__(self, name: str) -> int:
        return 0

    def snapshot(self) -> dict[str, int]:
        """A copy that later increments leave alone."""
        return dict(self)


class LatencyWindow:
    """Percentiles over the recent past, from log-scaled buckets (16 per octave: at most 6.25 % too high).

    The past is kept in slices; the oldest is dropped when a new one begins. Prior art: HdrHistogram's bucket layout.
    ``record`` takes no clock: values land in the slice that the last ``summary(now_ms)`` or ``turn(now_ms)`` left open.
    """

    __slots__ = ("_maxima", "_open", "_slice_ms", "_slices", "_turned_ms")

    OCTAVES = 36  # 16 us << 32 is about 19 hours
    BUCKETS = OCTAVES * 16

    def __init__(self, window_ms: int = 10_000, slices: int = 5) -> None:
        self._slice_ms = max(1, window_ms // slices)
        self._slices = [[0] * self.BUCKETS for _ in range(slices)]
        self._maxima = [0] * slices
        self._open = 0
        self._turned_ms: int | None = None

    def record(self, value_us: int, count: int = 1) -> None:
        """Count a latency; negative values (a clock that stepped) count as 0."""
        if value_us < 16:
            index = value_us if value_us > 0 else 0
        else:
            shift = value_us.bit_length() - 5
            index = (shift << 4) + (value_us >> shift)
            if index >= self.BUCKETS:
                index = self.BUCKETS - 1
        self._slices[self._open][index] += count
        if value_us > self._maxima[self._open]:  # noqa: PLR1730  (a call of max would cost more than the rest)
            self._maxima[self._open] = value_us

    def turn(self, now_ms: int) -> None:
        """Let time pass: slices that are older than the window are emptied."""
        if self._turned_ms is None or now_ms < self._turned_ms:
            self._turned_ms = now_ms
            return
        steps = (now_ms - self._turned_ms) // self._slice_ms
        self._turned_ms += steps * self._slice_ms
        for _ in range(min(steps, len(self._slices))):
            self._open = (self._open + 1) % len(self._slices)
            self._slices[self._open] = [0] * self.BUCKETS
            self._maxima[self._open] = 0

    def percentile(self, percent: float) -> int:
        """The value in microseconds that this share of the window does not exceed; 0 when the window is empty."""
        totals = self._totals()
        return self._percentile(totals, sum(totals), percent, max(self._maxima))

    def summary(self, now_ms: int) -> Latency:
        """The window as it goes into `ShardStats.latencies`."""
        self.turn(now_ms)
        totals = self._totals()
        count, largest = sum(totals), max(self._maxima)
        return Latency(
            count=count,
            p50_us=self._percentile(totals, count, 50, largest),
            p99_us=self._percentile(totals, count, 99, largest),
            max_us=largest,
        )

    def _totals(self) -> list[int]:
        return [sum(column) for column in zip(*self._slices, strict=True)]

    @staticmethod
    def _percentile(totals: list[int], count: int, percent: float, largest: int) -> int:
        if not count:
            return 0
        wanted = max(1, -(-count * percent // 100))
        seen = 0
        for index, number in enumerate(totals):
            seen += number
            if seen >= wanted:
                shift = max(0, (index >> 4) - 1)
                return int(min(((index - (shift << 4) + 1) << shift) - 1, largest))
        return largest


_log = _Log()
