"""Commands to a run, as data: those that must not be lost when a defect of wfe meets them.

They are kept in the run's state (`RunState.deferred`) and applied again at its resume, so they are part of the journal:
tags are never reused, fields are only appended with a default. A place is a key (`model.state`).
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from wfe.model.policy import ErrorInfo
from wfe.model.state import NULL


class Begin(Struct, frozen=True, array_like=True, tag=1):
    """The run's first turn: open what has no predecessor."""


class TaskEnded(Struct, frozen=True, array_like=True, tag=2):
    """The end of an attempt; ``status`` as in `TaskResult`."""

    key: int
    attempt: int
    status: int
    value: Raw = NULL
    error: ErrorInfo | None = None
    previous: Raw = NULL
    turn: Raw = NULL


class TaskLost(Struct, frozen=True, array_like=True, tag=3):
    key: int
    attempt: int
    spent: bool
    previous: Raw = NULL


class Signal(Struct, frozen=True, array_like=True, tag=4):
    name: str
    payload: Raw
    event_id: str
    correlation: str = ""


class ChildOver(Struct, frozen=True, array_like=True, tag=5):
    """An awaited sub-workflow has ended."""

    key: int
    child: str
    status: str
    output: Raw = NULL
    error: ErrorInfo | None = None


class ChildBegun(Struct, frozen=True, array_like=True, tag=6):
    """A detached run was started."""

    key: int
    child: str
    started: str


class Control(Struct, frozen=True, array_like=True, tag=7):
    """Cancel or pause, by the parent."""

    action: str
    command_id: str
    compensate: bool = True


class LockGotten(Struct, frozen=True, array_like=True, tag=8):
    """A lock that all runs share is held now, or never will be (``refused``)."""

    key: int
    lock: str
    refused: bool = False


Command: TypeAlias = Begin | TaskEnded | TaskLost | Signal | ChildOver | ChildBegun | Control | LockGotten
