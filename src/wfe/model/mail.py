"""Bodies of mail: what partitions tell each other about runs, durably, in order, once."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from wfe.model.policy import ErrorInfo

NULL = Raw(b"\xc0")


class ChildStart(Struct, frozen=True, array_like=True, tag=1):
    """Start a run, awaited by ``parent`` (its node and activation) or detached (``parent`` empty)."""

    run_id: str
    workflow: str
    version: int
    input: Raw
    namespace: str
    key: str = ""
    priority: int = 0
    principal: str = ""
    parent: str = ""
    parent_node: int = 0
    parent_act: int = 0
    depth: int = 0


class ChildEnded(Struct, frozen=True, array_like=True, tag=2):
    """An awaited run has ended; ``run_id`` is the parent's."""

    run_id: str
    node: int
    act: int
    child: str
    status: str
    output: Raw = NULL
    error: ErrorInfo | None = None


class ChildControl(Struct, frozen=True, array_like=True, tag=3):
    """Cancel, pause or resume an awaited run because its parent was."""

    run_id: str
    action: str


MailBody: TypeAlias = ChildStart | ChildEnded | ChildControl
