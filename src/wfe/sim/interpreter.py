"""A slow interpreter of definitions, independent of `core`: whether a run may have ended as it did.

It walks the tree of the definition and works out every value for itself. What is chance (how a task ended, which signal
came, what failed first) it takes from the history; everything else must follow.
"""

from __future__ import annotations

from wfe.sim.ledger import RunBook


def check_run(book: RunBook) -> None:
    """`Violation` when the run's end does not follow from what happened in it."""
