"""The five steps of docs/plugins.md, taken with the example package."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plugins import PACKAGE, install
from wfe.testing import Env
from wfe.worker.builtin import plugin_tasks

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BOOKING = next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def env(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Env]:
    """An engine in a process that has the plugin, in a directory of its own."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    plugin_tasks.cache_clear()
    (tmp_path / "booking.yaml").write_text(BOOKING)
    with Env("booking.yaml") as env:
        yield env
    sys.modules.pop("wfe_table", None)
    plugin_tasks.cache_clear()


@pytest.mark.parametrize("name", ["wfe_table.py", "pyproject.toml"])
def test_the_page_shows_the_package_as_it_is(name: str) -> None:
    assert (PACKAGE / name).read_text(encoding="utf-8") in PAGE


def test_a_node_of_the_plugin_runs(env: Env, tmp_path: Path) -> None:
    assert [env.run("booking", {"id": id_, "total": "80"}) for id_ in ("o-1", "o-2")] == [1, 2]
    rows = [line.split(",") for line in (tmp_path / "orders.csv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["o-1", "80"], ["o-2", "80"]]


def test_a_task_that_runs_again_after_a_crash_finds_its_row(site: Path, env: Env, tmp_path: Path) -> None:
    def scenario(env: Env) -> int:
        (tmp_path / "orders.csv").unlink(missing_ok=True)
        env.run("booking", {"id": "o-1", "total": "80"})
        return len((tmp_path / "orders.csv").read_text().splitlines())

    assert Env.crash_everywhere(scenario, apps=["booking.yaml"]) == 1


def test_a_test_may_mock_the_node_by_its_type(env: Env, tmp_path: Path) -> None:
    table = env.mock("table.append").returns(7)
    assert env.run("booking", {"id": "o-1", "total": "80"}) == 7
    assert table.calls[0].row == ["o-1", "80"]
    assert not (tmp_path / "orders.csv").exists()
