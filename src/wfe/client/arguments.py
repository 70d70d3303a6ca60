"""`wfe.args(a, b, c=1)`: one run's arguments, where a single value would not do (``start_many``, ``signal``)."""

from __future__ import annotations

from typing import Any


class Args:
    """Positional and keyword arguments of one call of a workflow."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs

    def __repr__(self) -> str:
        inside = [repr(value) for value in self.args] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"args({', '.join(inside)})"


def args(*values: Any, **named: Any) -> Args:
    """The arguments of one run: ``client.start_many(checkout, [wfe.args(a, b, c=1), ...])``."""
    return Args(values, named)
