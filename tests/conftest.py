"""Shared by all tests: which of them run one after the other, and how hypothesis behaves."""

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
ONE_AFTER_THE_OTHER = ("acceptance", "integration", "test_docs.py")
"""These start servers: under xdist they share one process, so that they do not take the machine from each other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).parts[0] in ONE_AFTER_THE_OTHER:
            item.add_marker(pytest.mark.xdist_group("servers"))
