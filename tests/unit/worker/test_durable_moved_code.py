"""Code of a durable function in a file of another name: the errors that are recorded lead to the classes of today."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.durable_engine import play
from wfe.model.policy import ErrorInfo
from wfe.wire.durable import Called
from wfe.worker.durable.failures import exception_of, home_of
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.replay import Recorded, check
from wfe.worker.failure import error_info

__all__ = ["play"]

SOURCE = """
import wfe

class Bad(Exception): ...

class Group:
    class Worse(Exception): ...

@wfe.task
def fails(i: int) -> int: ...

@wfe.task
def mends(i: int) -> int: ...

@wfe.workflow
async def moved(wf: wfe.Durable, i: int) -> int:
    for _ in range(2):
        try:
            await wf.call(fails, i)
        except (Bad, Group.Worse):
            await wf.call(mends, i)
    return i
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def load(name: str) -> ModuleType:
        file = tmp_path / f"{name}.py"
        file.write_text(SOURCE)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def play_to_the_end(engine: Any, old: ModuleType) -> None:
    for seq, error in enumerate([old.Bad("bad"), None, old.Group.Worse("worse"), None]):
        engine.turn()
        engine.end(seq, None if error else 1, error)
    engine.turn()
    assert [call.name for call in engine.calls] == ["fails", "mends", "fails", "mends"]


def test_a_run_is_replayed_with_the_same_code_in_a_file_of_another_name(play, load, monkeypatch):
    old = load("moved_code")
    engine = play(old.moved, 3)
    play_to_the_end(engine, old)
    new = load("moved_code_v1")
    monkeypatch.delitem(sys.modules, "moved_code")

    found = Recorded(engine.record(), engine.taken, "completed")
    assert check(DurableFunction(new.moved.__wfe_workflow__), "run-1", found) == ""


def test_only_errors_of_the_file_that_the_function_lay_in_are_of_its_module_of_today(load):
    module = load("moved_today")
    home = home_of("moved_today", [Called(0, "fails", where="moved_before.py:7")])

    def raised(name: str) -> Exception:
        return exception_of(ErrorInfo(type="Bad", message="", types=("Bad", name, "Exception")), home)

    assert isinstance(raised("moved_before.Bad"), module.Bad)
    assert isinstance(raised("package.moved_before.Bad"), module.Bad)
    assert not isinstance(raised("others_before.Bad"), module.Bad)
    assert not isinstance(raised("wfe.Bad"), module.Bad)


def test_a_module_that_is_there_keeps_its_own_classes(load):
    today, before = load("moved_today"), load("moved_before")
    home = home_of("moved_today", [Called(0, "fails", where="moved_before.py:7")])
    made = exception_of(error_info(before.Bad("x")), home)
    assert isinstance(made, before.Bad)
    assert not isinstance(made, today.Bad)
