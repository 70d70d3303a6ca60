"""How a bug is planted: a function of production code is replaced for a while."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import mock


def around(owner: Any, name: str, wrong: Callable[..., Any]) -> Any:
    """A patch: ``wrong(original, *arguments)`` instead of the original."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any, **named: Any) -> Any:
        return wrong(original, *arguments, **named)

    return mock.patch.object(owner, name, patched)


def nothing(original: Any, *arguments: Any, **named: Any) -> None:
    return None


def always(original: Any, *arguments: Any) -> bool:
    return True


def no_match(original: Any, *arguments: Any) -> bool:
    return False
