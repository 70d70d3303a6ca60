"""What the surface tests share: results within a bounded time, and waiting for what a run or a task says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wfe.client import Client, Run

T_S = 30


def result_of(client: Client, workflow: Any, *args: Any, **kwargs: Any) -> Any:
    """Starts a run and gives its result."""
    return client.start(workflow, *args, **kwargs).result(timeout_s=T_S)


def until(run: Run[Any], holds: Callable[[Any], Any]) -> Any:
    """The run as soon as this holds of it; it must not end before."""
    while not holds(info := run.describe()):
        assert info.status not in ("completed", "failed", "cancelled"), info
    return info


def signals(info: Any) -> set[str]:
    """The names of the signals that a run waits for."""
    return {waiting.detail for waiting in info.waiting_for if waiting.kind == "signal"}


def until_file(file: Path) -> None:
    """Waits for a task that says something by making a file."""
    while not file.exists():
        time.sleep(0.01)
