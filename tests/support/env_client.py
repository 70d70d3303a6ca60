"""The command line over an engine in the test's own process: what `wfe.connect` would give, driven by an `Env`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from wfe import bootstrap
from wfe.cli.group import run_command_line
from wfe.testing import Env
from wfe.testing.runs import EnvRun


class EnvClient:
    """A client whose calls run on the loop of an `Env`."""

    def __init__(self, env: Env) -> None:
        self._env = env

    def __enter__(self) -> EnvClient:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def handle(self, run_id: str) -> EnvRun:
        return EnvRun(self._env, self._env.client.handle(run_id))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._env.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            found = method(*args, **kwargs)
            return self._env._drive(found) if inspect.iscoroutine(found) else found

        return call


def connect_to(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on commands speak with this engine."""
    monkeypatch.setitem(vars(bootstrap), "connect", lambda address=None, token=None, **_: EnvClient(env))


def wfe(*arguments: str, stdin: str | None = None) -> Result:
    """Runs a command line as the console script does."""
    return CliRunner().invoke(_as_script, arguments, input=stdin)


def wfe_json(*arguments: str, code: int = 0) -> Any:
    """The one document of a command that must end with this code."""
    result = wfe(*arguments, "--json")
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
    return json.loads(result.stdout)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def _as_script(arguments: tuple[str, ...]) -> None:
    run_command_line(list(arguments))
