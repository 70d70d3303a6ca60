from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfe.limits import DURATION_MAX_MS
from wfe.model.durations import DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("100ms", 100),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("0s", 0),
        ("1h30m", 5_400_000),
        ("1d12h30m15s500ms", 131_415_500),
        ("1.5s", 1_500),
        ("0.1ms", 1),
        (" 30s ", 30_000),
        (timedelta(minutes=2), 120_000),
        (timedelta(microseconds=1), 1),
        (timedelta(microseconds=2_000), 2),
    ],
)
def test_a_duration_is_read_as_milliseconds(text, ms):
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (30, 'did you mean "30s"'),
        (1.5, 'did you mean "1.5s"'),
        ("30", 'did you mean "30s"'),
        (True, "not True"),
        (None, "not None"),
        ("", "not a duration"),
        ("s", "not a duration"),
        ("5 m", "not a duration"),
        ("30m1h", "not a duration"),
        ("1s1s", "not a duration"),
        ("-1s", "not a duration"),
        ("٣s", "not a duration"),
        ("1w", "not a duration"),
        ("1" * 1_000_000 + "s", "not a duration"),
        (timedelta(seconds=-1), "negative"),
        ("36501d", "at most 36500 days"),
        (timedelta.max, "at most"),
    ],
)
def test_anything_else_is_refused_with_a_way_out(value, hint):
    with pytest.raises(DurationError, match=hint) as caught:
        parse_duration(value)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0s"), (1, "1ms"), (1_000, "1s"), (90_000, "90s"), (5_400_000, "90m"), (7_200_000, "2h"), (172_800_000, "2d")],
)
def test_a_duration_is_written_in_the_largest_unit_that_is_exact(ms, text):
    assert format_duration(ms) == text


@pytest.mark.parametrize("ms", [-1, DURATION_MAX_MS + 1])
def test_what_could_not_be_read_back_is_not_written(ms):
    with pytest.raises(DurationError):
        format_duration(ms)


@given(st.integers(0, DURATION_MAX_MS))
def test_written_durations_are_read_back_unchanged(ms):
    assert parse_duration(format_duration(ms)) == ms


@given(st.text(max_size=20) | st.from_regex(r"[0-9.]{0,4}(ms|[dhms])[0-9]?", fullmatch=True))
def test_any_text_is_a_duration_or_refused(text):
    with contextlib.suppress(DurationError):
        assert 0 <= parse_duration(text) <= DURATION_MAX_MS
