"""The tasks of simulated workers: what each gives back, which depends on its argument ``x`` alone, and how it may end.

The workers and the auditor agree on this page and on nothing else.
"""

from __future__ import annotations

from typing import Any

from wfe.limits import BLOB_BYTES_MIN

TASKS = ("echo", "flaky", "boom", "odd", "slow", "twice", "poison", "stubborn", "beating")
LARGE = "large"
"""Gives a value that is kept by reference."""
PAD = "x" * BLOB_BYTES_MIN
HTTP, CUSTOM = "wfe.http", "plugin"
"""What the engine's own worker does, and what a plugin contributes."""


def padded(x: Any) -> list[Any]:
    """A value of its own for each argument: its name is that of its content."""
    return [x, f"{PAD}{x}"]


def given(task: str, x: Any) -> Any:
    """What an attempt gives back when it succeeds."""
    if task == LARGE:
        return padded(x)
    return {"odd": [x, None, 1.5], HTTP: {"status": 200, "headers": {}, "body": x}}.get(task, x)


def argument(task: str, arguments: dict[str, Any]) -> Any:
    """What a task's result depends on."""
    return arguments["request"]["body"]["x"] if task == HTTP else arguments["x"]
