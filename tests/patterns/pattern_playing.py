"""Plays the cases of patterns in the engine of `wfe.testing`: without faults, and with a crash at every commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patterns.pattern_model import Case, Pattern, Player
from wfe.testing import Env

TASKS = str(Path(__file__).parent / "pattern_tasks.py")


@dataclass(frozen=True)
class Play:
    """One case of one form of a pattern."""

    pattern: Pattern
    language: str
    case: Case

    def __str__(self) -> str:
        return f"WCP-{self.pattern.number} {self.pattern.name}, {self.language}: {self.case.name}"

    @property
    def form(self) -> Any:
        return self.pattern.forms()[self.language][0]

    @property
    def workflow(self) -> str:
        """The name that it is deployed under."""
        return self.form.workflow if self.language == "yaml" else self.form.__wfe_workflow__.name

    @property
    def arguments(self) -> tuple[Any, ...]:
        return () if self.case.given is None else (self.case.given,)

    def in_env(self, seed: int = 0) -> list[Any]:
        """Without faults."""
        with Env(TASKS, seed=seed) as env:
            return self._scene(env)

    def with_crashes(self) -> list[Any]:
        """Once for each commit with a crash right before it, and once right after it: the same must come out."""
        return Env.crash_everywhere(self._scene, apps=[TASKS])

    def _scene(self, env: Env) -> list[Any]:
        env.deploy(self.form)
        return Player(is_so).play(self.case, env.start(self.workflow, *self.arguments))


def is_so(ready: Callable[[], bool], hint: Callable[[], str]) -> None:
    """Every call to an `Env` returns when the engine is at rest: there is nothing to wait for."""
    assert ready(), hint()


def plays(patterns: Iterable[Pattern]) -> list[Play]:
    """Every case of every form."""
    return [
        Play(pattern, language, case)
        for pattern in patterns
        for language, (_, cases) in pattern.forms().items()
        for case in cases
    ]


def each_for_crashes(patterns: Iterable[Pattern]) -> pytest.MarkDecorator:
    """As `each`, but of drawings only the first case: a crash does not know what a definition was written in."""
    some = [
        play for play in plays(patterns) if play.language == "yaml" or play.case is play.pattern.forms()["python"][1][0]
    ]
    return pytest.mark.parametrize("play", some, ids=str)


def each(patterns: Iterable[Pattern]) -> pytest.MarkDecorator:
    """A test for every case of every form, as ``play``."""
    return pytest.mark.parametrize("play", plays(patterns), ids=str)
