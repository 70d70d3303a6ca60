"""Points in time and lengths of time in graphs: what goes in as a timedelta is one for tasks, clocks and results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

import wfe
from wfe.testing import Env

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Span:
    length: timedelta
    begins: datetime


@wfe.task
def twice(length: timedelta) -> timedelta:
    return 2 * length


@wfe.workflow
def difference(wf: wfe.Graph, span: Span) -> timedelta:
    return span.begins + span.length - NOON


@wfe.workflow
def through_a_task(wf: wfe.Graph, span: Span) -> Span:
    return Span(twice(span.begins - NOON + span.length) + timedelta(seconds=1), span.begins - span.length)


@wfe.workflow
def kept(wf: wfe.Graph, span: Span) -> bool:
    s = wf.state(span)
    s.length = s.length + timedelta(days=1)
    return s.length == timedelta(days=1) + span.length


@wfe.workflow
def nap(wf: wfe.Graph, length: timedelta) -> str:
    wf.sleep(length)
    wf.sleep(length + length)
    return wf.format("{}", length > timedelta(minutes=5))


@pytest.mark.parametrize(
    "length",
    [
        timedelta(),
        timedelta(seconds=90),
        timedelta(days=4, milliseconds=6),
        timedelta(hours=-30, microseconds=-1),
        timedelta(days=4000, hours=5, microseconds=7),
    ],
)
def test_lengths_of_time_are_what_python_makes_of_them(wfe_env: Env, length: timedelta) -> None:
    span = Span(length, NOON)
    assert wfe_env.run(difference, span) == length
    assert wfe_env.run(through_a_task, span) == Span(2 * length + timedelta(seconds=1), NOON - length)
    assert wfe_env.run(kept, span) is True


def test_a_sleep_takes_a_length_of_time_that_only_the_run_knows(wfe_env: Env) -> None:
    before = wfe_env.now
    assert wfe_env.run(nap, timedelta(days=2)) == "true"
    assert (wfe_env.now - before).days == 6


def test_a_negative_sleep_fails_its_run(wfe_env: Env) -> None:
    with pytest.raises(wfe.RunFailed, match="out of range"):
        wfe_env.run(nap, timedelta(days=-2))
