"""What to say when a re-run does not do what is recorded: both sequences, with file and line, and the ways out."""

from __future__ import annotations

from collections.abc import Sequence

from wfe.wire.durable import CALL_NAMES, Called

SHOWN_BEFORE, SHOWN_AFTER = 4, 2
_WAY_OUT = 'A change that live runs must not see stands behind `if wf.version("change-id"):`'


def describe(call: Called | None) -> str:
    """``task charge (app.py:12)``."""
    if call is None:
        return "nothing"
    words = CALL_NAMES.get(call.kind, f"call of kind {call.kind}")
    return f"{words}{f' {call.name}' if call.name else ''} ({call.where})"


def difference(function: str, reason: str, recorded: Sequence[Called], made: Sequence[Called], at: int) -> str:
    """``at``: the number of the first call that differs; what comes after it is shown as far as it is known."""
    first, last = max(0, at - SHOWN_BEFORE), at + SHOWN_AFTER
    rows = [("", "recorded", "this code")]
    for number in range(first, last + 1):
        if number < max(len(recorded), len(made), at + 1):
            rows.append(
                (
                    f"{'>' if number == at else ' '} {number}",
                    describe(recorded[number] if number < len(recorded) else None),
                    describe(made[number]) if number < len(made) else ("nothing" if number == at else ""),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows)
    return f"{function!r} does not do on its re-run what is recorded: {reason}\n{table}\n{_WAY_OUT}"
