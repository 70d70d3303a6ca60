"""Shared by all tests: in which order they run, and how hypothesis behaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Slow machines must not turn a property into a timed assertion; CI repeats the same examples, people get fresh ones.
settings.register_profile("wfe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("wfe"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "wfe")

HERE = Path(__file__).parent
FIRST = ("acceptance", "test_docs.py", "chaos", "integration", "powerloss", "sim", "patterns", "property", "fuzz")
"""What takes longest, in this order; the rest follows. Processes take one file after the other from the front, so that
short ones are left for the end and none of them has a long one to itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        top = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        return FIRST.index(top) if top in FIRST else len(FIRST)

    items.sort(key=rank)
