"""Messages about open approvals of all runs. See `messages`."""

from __future__ import annotations

from msgspec import Raw, Struct

NULL = Raw(b"\xc0")


class OpenApproval(Struct, array_like=True):
    """Somebody (``to``) is asked to decide. ``name`` is the signal that decides; ``level``: escalations so far."""

    run_id: str
    workflow: str
    node: str
    activation: int
    name: str
    to: Raw = NULL
    due_ms: int = 0
    level: int = 0
    key: str = ""
    form: Raw = NULL
    """The JSON Schema of the decision's ``data``; null: none."""


class ApprovalsQuery(Struct, array_like=True):
    """Open approvals of a partition, oldest run first, of runs after this id."""

    after: str = ""
    limit: int = 100
    workflow: str = ""


class ApprovalPage(Struct, array_like=True):
    approvals: list[OpenApproval]
    more: bool = False
