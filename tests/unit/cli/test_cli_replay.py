"""`wfe replay`: what it says, and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import wfe
from wfe.bootstrap import replay as replaying
from wfe.bootstrap.replay import Replayed
from wfe.cli import replay

APP = "import wfe\n\n@wfe.task\ndef work() -> int:\n    return 1\n"


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "replay_app.py").write_text(APP)
    monkeypatch.setattr(sys, "path", list(sys.path))

    @contextmanager
    def nobody(address: str | None) -> Iterator[None]:
        yield

    monkeypatch.setattr(replay, "connected", nobody)

    def judged(outcomes: list[str], *which: str) -> Result:
        found = [Replayed(f"run-{number}", "flow", "completed", each, "why") for number, each in enumerate(outcomes)]
        monkeypatch.setattr(replaying, "replay", lambda *_: found)
        monkeypatch.setattr(replaying, "replay_live", lambda *_: found)
        arguments = [*which, "--app", str(tmp_path / "replay_app.py")]
        return CliRunner().invoke(replay.replay_command, arguments, standalone_mode=False)

    yield judged
    sys.modules.pop("replay_app", None)


def test_a_named_run_that_is_not_judged_is_no_success(judged):
    result = judged(["skipped"], "run-0")
    assert result.return_value == 1
    assert "run run-0 (flow) is not judged: why" in result.output
    assert "nothing was judged" in result.output
    assert judged(["same", "skipped"], "run-0", "run-1").return_value == 1


def test_runs_that_are_the_same_are_a_success_and_one_that_differs_is_not(judged):
    assert judged(["same", "same"], "run-0", "run-1").return_value == 0
    assert judged(["same", "differs"], "run-0", "run-1").return_value == 1


def test_of_all_live_runs_those_that_cannot_be_judged_are_told_only(judged):
    result = judged(["same", "skipped"], "--live")
    assert (result.return_value, "run-1 (flow) is not judged" in result.output) == (0, True)
    assert judged([], "--live").return_value == 0
    assert judged(["skipped"], "--live").return_value == 1


@pytest.mark.parametrize(
    ("workflow", "reason"),
    [("shop", "'shop' is a graph, which needs no replay"), ("bank", "the app has no durable function 'bank'")],
)
def test_a_run_of_a_graph_is_said_to_be_one(workflow, reason):
    @wfe.workflow(name="shop")
    def shop(wf: wfe.Graph) -> None:
        wf.sleep("1s")

    run = SimpleNamespace(id="run-0", describe=lambda: SimpleNamespace(workflow=workflow, status="completed"))
    client, app = SimpleNamespace(get=lambda _: run), SimpleNamespace(workflows={"shop": shop})
    (found,) = replaying.replay(client, app, ["run-0"])
    assert (found.outcome, found.workflow) == ("skipped", workflow)
    assert found.reason.startswith(reason)
