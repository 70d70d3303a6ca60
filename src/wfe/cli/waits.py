"""What a run waits for, as lines for people: a map with a hundred open items waits for one thing, not for a hundred.

Reads documents only. Invariant: nothing that differs in more than its item, times and attempt is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LIKE_SHOWN = 3
"""Of waits that differ only in the item of a map."""

Wait = dict[str, Any]


def condensed(waits: list[tuple[str, Wait]]) -> Iterator[tuple[str, Wait | None]]:
    """The texts with their waits; where there are many alike the first few, then one text that counts the others."""
    from wfe.wire.runs import WAITING_MAX

    alike: dict[Any, list[tuple[str, Wait]]] = {}
    for text, wait in waits:
        alike.setdefault(_kind_of(wait), []).append((text, wait))
    for found in alike.values():
        shown = len(found) if len(found) <= LIKE_SHOWN + 1 else LIKE_SHOWN
        yield from found[:shown]
        if more := len(found) - shown:
            yield f"and {more} more of node {_node_of(found[0][1])} likewise", None
    if len(waits) >= WAITING_MAX:
        yield f"perhaps more: no more than {WAITING_MAX} are told", None


def _kind_of(wait: Wait) -> Any:
    """Equal for waits that are alike. A child's run is one of its own, with its own reasons."""
    return wait["kind"], _node_of(wait), wait["detail"], wait.get("reason", "")


def _node_of(wait: Wait) -> str:
    node: str = wait["node"]
    return node.partition("[")[0]
