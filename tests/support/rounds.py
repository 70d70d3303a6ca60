"""Rounds of runs in tests: what forks, retries and skips, and whether replay agrees."""

from __future__ import annotations

import copy
from typing import Any

from msgspec import Raw

from support.runs import RUN_ID, START_MS, RunDriver, encode
from wfe.core import decide, rounds, skips
from wfe.model.event import RunStarted
from wfe.model.ids import mint_run_id

OTHER_ID = mint_run_id(3, START_MS, 43)


def forked(origin: RunDriver, *, node: str = "", event: int = 0, **changes: Any) -> RunDriver:
    """A run that begins at a point of another one."""
    point, at = rounds.fork_point(origin.plan, origin.events, node=node, event=event)
    for path, value in changes.items():
        rounds.set_value(origin.plan, point.run, path.replace("__", "."), value)
    made = RunDriver(origin.definition, origin.input, origin.tasks, now_ms=origin.now_ms)
    made.events, made.ready, made.mail = [], [], []
    first = RunStarted(OTHER_ID, "busy", 1, "hash", point.run.input, made.now_ms)
    made.run = decide.start(made.plan, first)

    def begin(turn: Any) -> None:
        turn.events.append(first)
        rounds.fork(turn, point, RUN_ID, at)

    made.command(begin)
    return made


def check_replay(driver: RunDriver) -> None:
    assert encode(driver.replayed()) == encode(driver.run)


def retried(driver: RunDriver) -> None:
    events = copy.copy(driver.events)
    driver.command(lambda turn: rounds.retry(turn, events))


def skipped(driver: RunDriver, node: str, value: Any, act: int | None = None) -> None:
    driver.command(lambda turn: skips.skip(turn, node, Raw(encode(value)), act))
