"""Labels and resources in the simulated world: what tasks ask for, what workers have, and that the two always fit.

Invariant: local workers, or the first remote one where there are none, have all that any task asks for, so that every
run can end.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from wfe.model.needs import (
    Amount,
    amount_text,
    label_texts,
    missing_labels,
    missing_resources,
    needs_of,
    read_labels,
    read_resources,
)
from wfe.sim.node import Violation

ALL_LABELS = ["gpu", "zone=eu"]
ALL_RESOURCES = ["gpu=2", "tape=1"]
_ASKED: tuple[dict[str, Any], ...] = (
    {"labels": ("gpu",)},
    {"labels": ("gpu", "zone=eu")},
    {"labels": ("zone",)},
    {"resources": {"gpu": 1}},
    {"resources": {"gpu": 2}},
    {"resources": {"gpu": 0.5, "tape": 1}},
    {"labels": ("gpu",), "resources": {"tape": 0.5}},
)
ASKING = 0.15
"""Of tasks, how many ask for something."""


def asked(random: Random, share: float) -> dict[str, Any]:
    """Fields of a task's node."""
    return random.choice(_ASKED) if random.random() < share else {}


def equipment(random: Random) -> tuple[list[str], list[str]]:
    """Labels and resources of a worker that need not have everything."""
    return random.choice(([], ["gpu"], ["zone=us"])), random.choice(([], ["gpu=1"], ["gpu=0.5", "tape=1"]))


class Equipped:
    """What one worker has. ``check`` whenever it holds more than before."""

    def __init__(self, labels: Iterable[str], resources: Iterable[str]) -> None:
        self.labels, self.resources = read_labels(labels), read_resources(resources)
        self._texts = label_texts(self.labels)

    def check(self, worker: str, held: Iterable[Any]) -> None:
        """``held``: the nodes of the tasks that it has. Violation if it lacks what one asks for, or all together."""
        free = dict(self.resources)
        for node in held:
            labels: tuple[str, ...] = getattr(node, "labels", ())
            resources: dict[str, Amount] = getattr(node, "resources", {})
            needs = needs_of(labels, resources)
            if needs is None:
                continue
            if lacking := missing_labels(needs, self._texts):
                raise Violation(f"{worker} has a task of {node.id}, but not {lacking}")
            if short := missing_resources(needs, free):
                raise Violation(f"{worker} has too many tasks for {[(n, amount_text(n, a)) for n, a in short]}")
            for name, amount in needs.resources:
                free[name] -= amount
