"""Bodies of mail: what partitions tell each other about runs, durably, in order, once."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from wfe.model.policy import ErrorInfo

NULL = Raw(b"\xc0")


class ChildStart(Struct, frozen=True, array_like=True, tag=1):
    """Start a run for a node of ``parent``; the input is an object of arguments by name.

    ``detached``: the node only awaits that the run was started.
    """

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
    detached: bool = False
    trace: str = ""


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
    """Cancel, pause or resume an awaited run because its parent was. ``compensate``: when cancelled."""

    run_id: str
    action: str
    compensate: bool = True


class ChildStarted(Struct, frozen=True, array_like=True, tag=4):
    """A detached run was started, or the key named one before: ``started`` is its id, ``child`` the one asked for."""

    run_id: str
    node: int
    act: int
    child: str
    started: str


class LockWanted(Struct, frozen=True, array_like=True, tag=5):
    """A node of ``run_id`` wants a lock that all runs share (`ids.lock_name`), to the lock's owner. First come, first
    served; asking again for the same place changes nothing."""

    lock: str
    run_id: str
    node: int
    act: int


class LockGiven(Struct, frozen=True, array_like=True, tag=6):
    """The node holds the lock now. A run that does not want it any more has said so before (`LockReleased`).

    ``refused``: it never will, too many wait for it.
    """

    run_id: str
    node: int
    act: int
    lock: str
    refused: bool = False


class LockReleased(Struct, frozen=True, array_like=True, tag=7):
    """The node neither holds nor wants the lock any more, to the lock's owner."""

    lock: str
    run_id: str
    node: int
    act: int


MailBody: TypeAlias = ChildStart | ChildEnded | ChildControl | ChildStarted | LockWanted | LockGiven | LockReleased
