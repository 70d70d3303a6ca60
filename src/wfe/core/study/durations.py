"""How long nodes took in runs of the past: read out of their histories. Pure.

A node's time in one activation is that from the first event about it to the last: it includes the wait for a worker and
the pauses between attempts. A node that was activated several times in a run (in a map, a loop, a net) has their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct


class PastEvent(Protocol):
    """What is needed of an event of a history (`wfe.client.views.HistoryItem` has it)."""

    @property
    def type(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def activation(self) -> int: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def data(self) -> Any: ...


class NodeTimes(Struct, frozen=True):
    """A node in the runs in which it ran: in how many, and its time per run."""

    runs: int
    mean_ms: float
    max_ms: int


def times_of_run(events: Iterable[PastEvent]) -> dict[str, int]:
    """Node -> ms, of the nodes that began in a run. ``events`` in order."""
    began: dict[tuple[str, int], int] = {}
    ended: dict[tuple[str, int], int] = {}
    for event in events:
        # Several tasks that become ready at once are one event, which names them in its data.
        several = event.data.get("nodes") if event.type == "TasksOpened" and isinstance(event.data, Mapping) else None
        for node in several or [event.node]:
            if node:
                place = node, event.activation
                began.setdefault(place, event.time_ms)
                ended[place] = event.time_ms
    found: dict[str, int] = {}
    for place, begin_ms in began.items():
        found[place[0]] = found.get(place[0], 0) + ended[place] - begin_ms
    return found


def times_of_runs(runs: Iterable[Mapping[str, int]]) -> dict[str, NodeTimes]:
    """The same over several runs."""
    lists: dict[str, list[int]] = {}
    for times in runs:
        for node, time_ms in times.items():
            lists.setdefault(node, []).append(time_ms)
    return {node: NodeTimes(len(times), sum(times) / len(times), max(times)) for node, times in lists.items()}
