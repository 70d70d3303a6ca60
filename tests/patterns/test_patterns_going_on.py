"""What must make no difference to any pattern.

A pause while signals come, signals that come twice, waits that an operator ends, another order of what happens at the
same time, one of two shards crashing alone, and going on from any event of the history as another run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from patterns.pattern_catalogue import PATTERNS
from patterns.pattern_cluster import Cluster, crash_one_shard_everywhere
from patterns.pattern_model import Player, Sends, ended_tasks
from patterns.pattern_playing import TASKS, Play, each, is_so, plays
from patterns.patterns_states import MILESTONE
from wfe.testing import Env
from wfe.testing.runs import EnvRun

SOME = [play for play in plays(PATTERNS) if play.case is play.pattern.cases[0] and play.language == "yaml"]
"""The first case of each pattern."""
HEARD = ("SignalArrived", "SignalLost")
ACROSS = [play for play in plays(PATTERNS) if play.pattern.number in (1, 22)]
"""A sequence, and runs that start others on other shards."""


class Paused:
    """A run that is paused whenever a signal comes."""

    def __init__(self, run: EnvRun) -> None:
        self._run = run

    def signal(self, name: str, payload: Any = None, *, correlation: str = "") -> None:
        self._run.pause()
        self._run.signal(name, payload, correlation=correlation)
        self._run.resume()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


class ToldTwice:
    """A run that hears each signal twice, as a client's that got no answer."""

    def __init__(self, run: EnvRun) -> None:
        self._run = run
        self._count = 0

    def signal(self, name: str, payload: Any = None, *, correlation: str = "") -> None:
        self._count += 1
        for _ in range(2):
            if not self._run.describe().ended_at:
                self._run.signal(name, payload, event_id=f"told-{self._count}", correlation=correlation)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


class Skipped:
    """A run whose waits an operator ends with what they wait for."""

    def __init__(self, run: EnvRun) -> None:
        self._run = run

    def signal(self, name: str, payload: Any = None, *, correlation: str = "") -> None:
        for wait in self._run.describe().waiting_for:
            if (wait.kind, wait.detail) == ("signal", f"{name} {correlation}".strip()):
                node, _, activation = wait.node.removesuffix("]").partition("[")
                self._run.skip(node, payload, activation=int(activation) if activation else None)
                return
        self._run.signal(name, payload, correlation=correlation)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


@each(PATTERNS)
def test_the_pattern_holds_when_an_operator_ends_its_waits(play: Play) -> None:
    with Env(TASKS) as env:
        env.deploy(play.form)
        assert Player(is_so).play(play.case, Skipped(env.start(play.workflow, *play.arguments)))


def test_a_run_that_is_stuck_begins_its_net_anew_when_it_is_retried() -> None:
    stuck, other = MILESTONE.cases[-1], MILESTONE.cases[0]
    with Env(TASKS) as env:
        env.deploy(MILESTONE.definition())
        run = env.start("milestone")
        Player(is_so).play(stuck, run)
        run.retry()
        for step in other.steps:
            if isinstance(step, Sends):
                run.signal(step.name, step.payload)
        assert run.status() == "completed"
        assert ended_tasks(run) == ["a", "c", "a", "b", "c"]


@each(PATTERNS)
def test_the_pattern_holds_when_every_signal_comes_twice(play: Play) -> None:
    with Env(TASKS) as env:
        env.deploy(play.form)
        assert Player(is_so).play(play.case, ToldTwice(env.start(play.workflow, *play.arguments)))


@each(PATTERNS)
def test_the_pattern_holds_when_it_is_paused_while_signals_come(play: Play) -> None:
    with Env(TASKS) as env:
        env.deploy(play.form)
        assert Player(is_so).play(play.case, Paused(env.start(play.workflow, *play.arguments)))


@each(PATTERNS)
def test_the_pattern_holds_in_another_order_of_things(play: Play) -> None:
    assert play.in_env(seed=7)


@pytest.mark.parametrize("play", SOME, ids=str)
def test_a_fork_from_any_event_ends_like_the_run(play: Play) -> None:
    with Env(TASKS) as env:
        env.deploy(play.form)
        run = env.start(play.workflow, *play.arguments)
        Player(is_so).play(play.case, run)
        history, ended = run.history(), run.describe()
        sends = [step for step in play.case.steps if isinstance(step, Sends)]
        for number in range(1, len(history)):
            fork = run.fork(event=number)
            for step in sends[sum(item.type in HEARD for item in history[:number]) :]:
                fork.signal(step.name, step.payload, correlation=step.correlation)
            found = fork.describe()
            where = f"fork from event {number}, {history[number - 1].type}: waits for {found.waiting_for}"
            assert (found.status, found.output) == (ended.status, ended.output), where
            before = Counter(item.node for item in history[:number] if item.type == "TaskDone")
            after = Counter(item.node for item in fork.history() if item.type == "TaskDone")
            assert before + after == Counter(item.node for item in history if item.type == "TaskDone"), where


@pytest.mark.parametrize("play", ACROSS, ids=str)
def test_the_pattern_holds_when_one_of_two_shards_crashes_alone(play: Play) -> None:
    def scenario(env: Cluster) -> list[Any]:
        env.deploy(play.form)
        return Player(env.until).play(play.case, env.start(play.workflow, *play.arguments))

    assert crash_one_shard_everywhere(scenario, TASKS)
