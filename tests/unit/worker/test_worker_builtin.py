"""Tasks that every worker has: the engine's own, and those of plugins, found by real entry points."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wfe.errors import AppError
from wfe.worker.builtin import plugin_tasks, with_builtin


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with an installed distribution that contributes the node type ``greet.hello``."""
    info = tmp_path / "wfe_greeter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wfe-greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wfe.nodes]\ngreet.hello = wfe_greeter_plugin:hello\n")
    (tmp_path / "wfe_greeter_plugin.py").write_text(
        "import wfe\n\n\n@wfe.task(timeout='5s')\ndef hello(name: str) -> str:\n    return f'hello {name}'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugin_tasks.cache_clear()
    yield tmp_path
    sys.modules.pop("wfe_greeter_plugin", None)
    plugin_tasks.cache_clear()


def test_a_worker_offers_http_and_what_plugins_contribute(plugin: Path) -> None:
    offered = with_builtin({})
    assert ("wfe.http", 1) in offered
    greet = offered["greet.hello", 1]
    assert greet.function("ann") == "hello ann"
    assert greet.timeout_ms == 5_000


def test_an_app_may_replace_a_plugin_s_task(plugin: Path) -> None:
    own = with_builtin({})["wfe.http", 1]
    assert with_builtin({("greet.hello", 1): own})["greet.hello", 1] is own


def test_a_plugin_that_cannot_be_imported_is_named(plugin: Path) -> None:
    (plugin / "wfe_greeter_plugin.py").write_text("raise RuntimeError('half installed')\n")
    with pytest.raises(AppError, match=r"greet\.hello.*half installed"):
        plugin_tasks()


def test_a_plugin_that_names_no_task_is_refused(plugin: Path) -> None:
    (plugin / "wfe_greeter_plugin.py").write_text("hello = 1\n")
    with pytest.raises(AppError, match=r"no function with @wfe.task"):
        plugin_tasks()
