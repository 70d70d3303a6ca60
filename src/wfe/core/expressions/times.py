"""Points in time and lengths of time as values: RFC 3339 and ISO 8601 text, as JSON has them, and CEL's durations.

Pure; never reads a clock. Precision is a microsecond (CEL: nanosecond); finer digits are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

from wfe.errors import ExpressionError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|[dhms])", re.ASCII)
_NUMBER = r"(\d+(?:\.\d*)?)"
_ISO_DURATION = re.compile(
    rf"P(?=[\dT])(?:{_NUMBER}Y)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII | re.IGNORECASE,
)
_ISO_UNITS_S = (31_536_000, 604_800, 86_400, 3_600, 60, 1)
"""A year is 365 days: so does pydantic write a long timedelta. Months have no length."""
_UNITS_US = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1, "µs": 1}
_TEXT_CHARS_MAX = 100


def parse_timestamp(text: str) -> datetime:
    """RFC 3339 text such as ``2026-01-31T08:00:00Z`` as an aware datetime in UTC."""
    match = _RFC3339.fullmatch(text) if len(text) <= _TEXT_CHARS_MAX else None
    if match is None:
        raise ExpressionError(f"{text[:_TEXT_CHARS_MAX]!r} is not a time such as '2026-01-31T08:00:00Z'")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    try:
        zone = UTC if match[8] in "Zz" else offset(match[8])
        return datetime(year, month, day, hour, minute, second, microsecond, zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ExpressionError(f"{text!r} is not a time: {error}") from None


def timestamp_from_ms(epoch_ms: float) -> datetime:
    """A point in time from milliseconds since 1970."""
    try:
        return EPOCH + timedelta(milliseconds=epoch_ms)
    except (OverflowError, ValueError):
        raise ExpressionError("a time beyond the years 1 to 9999") from None


def aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ExpressionError("a time without a time zone")
    return value.astimezone(UTC)


def timestamp_text(value: datetime) -> str:
    text = aware(value).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def offset(text: str) -> timezone:
    """``"+02:00"``, or ``"UTC"``. Names of regions are not known here: they need files, and change."""
    match = _OFFSET.fullmatch(text)
    if text in ("UTC", "Z", ""):
        return UTC
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise ExpressionError(f"{text[:_TEXT_CHARS_MAX]!r} is not a UTC offset such as '+02:00'")
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def parse_duration(text: str) -> timedelta:
    """CEL's text form, with days: ``"90s" "1h30m" "-1.5s" "2d" "100ms"``; or that of JSON: ``"PT90S" "-P1DT2H"``."""
    bare = text.removeprefix("-").removeprefix("+") if text[:1] in "+-" else text
    iso = _ISO_DURATION.fullmatch(bare) if len(bare) <= _TEXT_CHARS_MAX else None
    if iso is not None:
        parts = zip(iso.groups(default="0"), _ISO_UNITS_S, strict=True)
        return _timedelta(sum(Fraction(number.rstrip(".")) * unit for number, unit in parts) * 1_000_000, text)
    total, position = Fraction(0), 0
    while position < len(bare) <= _TEXT_CHARS_MAX:
        match = _DURATION.match(bare, position)
        if match is None:
            break
        total += Fraction("0" + match[1].rstrip(".")) * _UNITS_US.get(match[2], Fraction(1, 1000))
        position = match.end()
    if not bare or (position != len(bare) and bare != "0"):
        raise ExpressionError(f"{text[:_TEXT_CHARS_MAX]!r} is not a duration such as '90s' or '1h30m'")
    return _timedelta(total, text)


def _timedelta(total: Fraction | int, text: str) -> timedelta:
    try:
        return timedelta(microseconds=int(-total if text.startswith("-") else total))
    except OverflowError:
        raise ExpressionError(f"the duration {text!r} is too long") from None


def iso_duration_text(value: timedelta) -> str:
    """``"P1DT90S"``: the form that JSON, JSON Schema and Python's types have for it."""
    length = abs(value)
    seconds, rest = length.seconds, length.microseconds
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    days = f"{length.days}D" if length.days or not (seconds or rest) else ""
    return f"{'-' if value < timedelta() else ''}P{days}" + (f"T{seconds}{fraction}S" if seconds or rest else "")


def duration_text(value: timedelta) -> str:
    """``"5400s"``: what CEL's ``string()`` makes of it."""
    microseconds = value // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if microseconds < 0 else ''}{seconds}{fraction}s"
