"""Reads the source of a workflow's function for what a stand-in value cannot see, before it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def check_source(function: Callable[..., Any]) -> None:
    """GraphError for the first construct that would draw something else than it says."""
