"""What walks of several kinds share: how a leaf ends, and what a catch or a map tells of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfe.model.definition import Node
from wfe.model.policy import ErrorInfo
from wfe.sim.facts import Walked

if TYPE_CHECKING:
    from wfe.sim.interpreter import Interpreter
    from wfe.sim.ledger_kinds import Place


def told(error: ErrorInfo) -> dict[str, Any]:
    """An error as a value."""
    return {
        "failed": True, "type": error.type, "message": error.message, "node": error.node, "attempts": error.attempts,
    }  # fmt: skip


def ended(at: Interpreter, node: Node, place: Place, *, may_fail: bool) -> Walked | None:
    """What is the same for all leaves; None: the node has ended with a value."""
    if place in at.facts.faults:
        if not may_fail:
            raise at.book.fail(f"{node.id} fails with {at.facts.faults[place]}")
        return Walked(faults=[at.facts.faults[place]])
    return None if place in at.facts.nodes else Walked(stuck=True)
