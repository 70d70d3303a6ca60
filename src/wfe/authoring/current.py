"""Which drawing this thread is in, if any: how a task knows whether a call draws a node. Imports nothing heavy."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wfe.authoring.canvas import Canvas

CURRENT: ContextVar[Canvas | None] = ContextVar("wfe_canvas", default=None)


def current_canvas() -> Canvas | None:
    """The drawing that is going on here."""
    return CURRENT.get()
