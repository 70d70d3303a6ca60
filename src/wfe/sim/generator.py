"""Random definitions that can really run: every construct of the language, valid, and with outputs that can be checked.

Pure: chance comes in as a `Random`. The parameter is ``n``, an integer; tasks are those of `tasks`, which give back
what follows from their argument ``x``, or fail. Expressions are only of the forms that `interpreter` understands. How a
kind of node is made is in the table of `kinds`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from random import Random
from typing import Any

from wfe.core.validate import validate
from wfe.model.definition import (
    Approval,
    Catch,
    Custom,
    Decision,
    Definition,
    Http,
    Map,
    Node,
    Race,
    Set,
    State,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
)
from wfe.sim.kinds import KINDS
from wfe.sim.kinds_control import OWN_LOCKS
from wfe.sim.kinds_outside import SIGNALS
from wfe.sim.pools import ASKING

PLAIN_TASKS = ("echo", "echo", "flaky", "boom")
CONDITIONS = ("n > 3", "n < 5", "n == 4")
VALUED = (
    Task, Set, Map, WaitSignal, Catch, SubWorkflow, State, Decision, Transform, Race, Approval, Http, Custom,
)  # fmt: skip
NAMED = (Task, Set, State, Decision, Transform, Http, Custom)
FOCUSED_WEIGHT_MAX = 3
"""So that of a few kinds each is met often."""
ALIKE = 0.2
"""Blocks of which all nodes are of one kind: they want the same."""
CALLS_MAX = 2
"""Sub-workflows per definition, and none in maps of maps: they multiply."""
Names = tuple[tuple[str, bool], ...]
"""Values that surely exist, with whether they fit into text."""


class Generator:
    """``tasks``: names to choose from. ``children``: workflows that sub-workflows may name. ``endless``: signals may be
    awaited without a time limit. ``outside``: with locks that all runs share, HTTP calls and tasks of plugins.
    ``only``: kinds to choose from, beside tasks; empty: all. ``asking``: how many tasks ask for labels or resources.
    """

    def __init__(
        self,
        random: Random,
        *,
        tasks: Sequence[str] = PLAIN_TASKS,
        children: Sequence[str] = (),
        ends: bool = True,
        endless: bool = False,
        outside: bool = False,
        only: Collection[type[Node]] = (),
        asking: float = ASKING,
    ) -> None:
        self.random = random
        self.asking = asking
        self._weights = {
            made: min(made.weight, FOCUSED_WEIGHT_MAX) if only else made.weight
            for kind, made in KINDS.items()
            if not only or kind in only or kind is Task
        }
        self.outside: bool = outside
        self.tasks, self.children, self.ends, self.endless = tuple(tasks), tuple(children), ends, endless
        self._numbers = itertools.count(1)
        self.calls_left = CALLS_MAX
        self.many: int = 0
        """Maps and loops around what is being made."""
        self.loops: int = 0
        self.locked: int = 0
        self.ordered: bool = True
        """Its siblings run one after another."""
        self.states: tuple[tuple[str, bool], ...] = ()
        """States that it may change, and whether each is a whole number."""
        self.counted = ""
        """The number of the iteration."""

    def definition(self, name: str = "program", depth: int = 3) -> Definition:
        """A valid definition; its output is the list of the values of its outermost nodes."""
        while True:
            made = self._attempt(name, depth)
            if not any(finding.severity == "error" for finding in validate(made)):
                return made

    def _attempt(self, name: str, depth: int) -> Definition:
        self._numbers, self.calls_left = itertools.count(1), CALLS_MAX
        nodes = self.nodes(depth, (("n", True),))
        values = [node.id for node in nodes if isinstance(node, VALUED)]
        return Definition(
            name,
            params={"n": {"type": "integer"}},
            nodes=nodes,
            output=[f"${{{value}}}" for value in values],
            timeout_ms=self.random.choice((None, None, None, 5_000)),
            locks=OWN_LOCKS,
        )

    # ---- what the makers of kinds use -------------------------------------------------------------------------------

    def id(self, kind: str) -> str:
        """A fresh node id."""
        return f"{kind}_{next(self._numbers)}"

    def nodes(
        self,
        depth: int,
        names: Names,
        *,
        ordered: bool = True,
        fresh: bool = False,
        chained: bool = True,
        least: int = 1,
        most: int = 4,
        counted: str = "",
    ) -> tuple[Node, ...]:
        """A few nodes of a block; later ones see the values of earlier ones if they are ``chained``.

        ``ordered``: they run in a row. ``fresh``: they change no state from outside. ``counted``: see `counted`.
        """
        around = self.ordered, self.states, self.counted
        if fresh:
            self.states = ()
        self.counted = counted or self.counted
        found: list[Node] = []
        alike = self.random.random() < ALIKE
        kind = None
        for _ in range(self.random.randint(least, most)):
            self.ordered = ordered
            if kind is None or not alike or not kind.where(self, depth):
                kinds = [kind for kind in self._weights if kind.where(self, depth)]
                kind = self.random.choices(kinds, [self._weights[kind] for kind in kinds])[0]
            node = kind.make(self, depth, names)
            found.append(node)
            if chained and isinstance(node, NAMED) and node.if_ is None:
                names = (*names, (node.id, False))
        self.ordered, self.states, self.counted = around
        return tuple(found)

    def condition(self) -> str:
        """Something that may hold."""
        return self.random.choice(CONDITIONS)

    def argument(self, names: Names) -> Any:
        """A template of names in sight; one in ten may be a fault."""
        name, textual = self.random.choice(names)
        if self.random.random() < 0.1:
            return f"${{{name} + 1}}"
        return self.random.choice((f"${{{name}}}", f"v ${{{name}}}" if textual else {"in": [f"${{{name}}}"]}, 7))


__all__ = ["PLAIN_TASKS", "SIGNALS", "Generator", "Names"]
