"""Durations as text and as integer milliseconds: ``"100ms" "30s" "5m" "2h" "7d"``, also ``"1h30m"``.

Pure functions. `parse_duration` and `format_duration` round trip: ``parse_duration(format_duration(ms)) == ms``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

from wfe.limits import DURATION_MAX_MS

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)
_CHARS_MAX = 64
_EXAMPLES = 'such as "100ms", "30s", "5m", "2h" or "7d"'


class DurationError(ValueError):
    """Text (or a value) that is no duration. The message says what to write instead."""


def parse_duration(value: object) -> int:
    """Milliseconds of a duration. Units go from large to small, each at most once: ``"1d12h"``, ``"1.5s"``.

    A part of a millisecond counts as a whole one, so that no wait becomes shorter. Raises `DurationError`
    (a ValueError) for bare numbers, negative durations and anything longer than 100 years.
    """
    if isinstance(value, timedelta):
        return _checked(-(value // timedelta(milliseconds=-1)), repr(value))
    if not isinstance(value, str):
        hint = f'; did you mean "{value}s"?' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
        raise DurationError(f"a duration is text {_EXAMPLES} or a timedelta, not {value!r}{hint}")
    text = value.strip()
    total, position, smallest = Fraction(0), 0, None
    while position < len(text) <= _CHARS_MAX:
        part = _PART.match(text, position)
        unit_ms = _UNITS_MS[part[2]] if part else 0
        if part is None or (smallest is not None and unit_ms >= smallest):
            break
        total, position, smallest = total + Fraction(part[1]) * unit_ms, part.end(), unit_ms
    if not text or position != len(text):
        hint = f'; did you mean "{text}s"?' if text.isascii() and text.isdigit() else ""
        raise DurationError(f"{value[:_CHARS_MAX]!r} is not a duration {_EXAMPLES}{hint}")
    return _checked(-(-total.numerator // total.denominator), repr(value))


def format_duration(duration_ms: int) -> str:
    """The shortest text of one unit that means exactly this: 90_000 -> ``"90s"``, 7_200_000 -> ``"2h"``."""
    _checked(duration_ms, str(duration_ms))
    if duration_ms == 0:
        return "0s"
    unit, unit_ms = next((unit, ms) for unit, ms in _UNITS_MS.items() if duration_ms % ms == 0)
    return f"{duration_ms // unit_ms}{unit}"


def _checked(duration_ms: int, shown: str) -> int:
    if duration_ms < 0:
        raise DurationError(f"a duration cannot be negative: {shown}")
    if duration_ms > DURATION_MAX_MS:
        raise DurationError(f"a duration is at most {DURATION_MAX_MS // _UNITS_MS['d']} days: {shown}")
    return duration_ms
