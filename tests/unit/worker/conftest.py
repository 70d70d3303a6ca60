"""A coroutine that nobody awaits is a mistake of the code that made it: here it fails a test."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
NEVER_AWAITED = (
    "error:coroutine .* was never awaited:RuntimeWarning",
    "error:Exception ignored in. <coroutine:pytest.PytestUnraisableExceptionWarning",
)
"""Python warns as it lets the coroutine go, where an exception cannot be raised: pytest warns of that in turn."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            for rule in NEVER_AWAITED:
                item.add_marker(pytest.mark.filterwarnings(rule))
