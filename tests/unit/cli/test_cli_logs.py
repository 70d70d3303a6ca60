"""`wfe logs`: what it says of a run that says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from wfe.cli import logs
from wfe.client.task_logs import LogItem

Shown = Callable[..., Result]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    def shown(said: list[str], status: str, *options: str) -> Result:
        items = [LogItem(None, "info", text, "work", 0, 1) for text in said]
        run = SimpleNamespace(
            id="run-1",
            describe=lambda: SimpleNamespace(status=status),
            logs=lambda follow=False, **_: iter(items) if follow else items,
        )

        @contextmanager
        def nobody(address: str | None) -> Iterator[None]:
            yield

        monkeypatch.setattr(logs, "connected", nobody)
        monkeypatch.setattr(logs, "the_run", lambda *_: run)
        return CliRunner().invoke(logs.logs_command, ["run-1", *options], standalone_mode=False)

    return shown


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_who_follows_a_run_that_has_said_nothing_hears_where_to_look(shown: Shown, options: Any) -> None:
    result = shown([], "waiting", "--follow", *options)
    assert (result.stdout, result.stderr) == ("", "nothing said yet; see `wfe why run-1`\n")


@pytest.mark.parametrize(
    ("said", "status", "options"),
    [(["hi"], "waiting", ["-f"]), ([], "completed", ["-f"]), ([], "waiting", [])],
    ids=["said", "ended", "not followed"],
)
def test_nobody_else_is_told(shown: Shown, said: list[str], status: str, options: list[str]) -> None:
    result = shown(said, status, *options)
    assert result.stderr == ""
    assert result.stdout.count("hi") == len(said)
