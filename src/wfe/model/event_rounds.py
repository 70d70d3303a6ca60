"""Events of people who change the course of a run: it goes on after a failure, from a point of another run, or without
a node. `event` says the rules and is the index. Tags 28 to 39.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw

from wfe.model.event_base import Event


class RunRestored(Event, frozen=True, array_like=True, tag=30):
    """The run goes on from this state: after its failure in a new ``round``, or as a fork of ``origin``.

    ``snapshot`` is an encoded `RunState`, of which everything is taken but what names the run. ``at``: the number of
    the origin's last event that counts. ``enabled``: places that open next, which a state does not hold; ``opened``:
    firings of nets whose boundary events are watched next.
    """

    time_ms: int
    round: int
    snapshot: Raw
    origin: str = ""
    at: int = 0
    enabled: list[int] = []
    opened: list[int] = []


class NodeSkipped(Event, frozen=True, array_like=True, tag=31):
    """Somebody ended an open node with a value of his; what it did is withdrawn."""

    node: int
    act: int
    value: Raw
    time_ms: int = 0


RoundEvent: TypeAlias = RunRestored | NodeSkipped
