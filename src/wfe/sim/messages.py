"""What people of the simulated world say to runs: signals by number, and what helps a run that waits for one. Pure."""

from __future__ import annotations

from typing import Any

from wfe.limits import PAYLOAD_BYTES_MAX
from wfe.model.definition import Approval, Definition, Map, walk
from wfe.sim.kinds_outside import DECISIONS, GROWTH, SIGNALS, TRANSIENT

NAMES = (*SIGNALS, *SIGNALS, TRANSIENT, TRANSIENT, DECISIONS, GROWTH)
WRONG = "neither a decision nor a list"
HUGE = "x" * PAYLOAD_BYTES_MAX
"""With its length in front it is larger than any payload may be."""
WRONG_INPUTS = ("no number", None, [1], {"n": 1}, 1.5, True)
HUGE_SHARE = 0.01


def message(number: int, wanted: str = "") -> tuple[str, str, Any]:
    """(name, correlation, payload): the same number says the same. Few are wrong. ``wanted``: the name, if any will do
    otherwise."""
    name = wanted or NAMES[number % len(NAMES)]
    number //= len(NAMES)
    style = number % 20
    if name == DECISIONS:
        return name, "", WRONG if style == 0 else {"approved": style > 5, "by": "somebody", "data": number % 7}
    if name == GROWTH:
        return name, "", WRONG if style == 0 else None if style < 4 else [number % 5 + 1] * (style % 3)
    if style < 12:
        return name, "", number
    return name, str(number % 6 + 1) if style < 16 else f"order {number % 6 + 1}", number


def answer(name: str, number: int) -> Any:
    """A payload that lets go on whoever waits for this signal."""
    return {DECISIONS: {"approved": number % 2 == 0}, GROWTH: None}.get(name, number)


def is_refused(definition: Definition, name: str, payload: Any) -> bool:
    """Whether a payload is none that those who wait for the name could take."""
    if payload != WRONG:
        return False
    return any(
        (isinstance(node, Approval) and node.approval == name) or (isinstance(node, Map) and node.grow == name)
        for node in walk(definition.nodes)
    )


def is_wrong_input(value: Any) -> bool:
    """Whether a value is no input of the programs that are made."""
    return isinstance(value, bool) or not isinstance(value, int)
