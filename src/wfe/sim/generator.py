"""Random definitions that can really run: every construct of the language, valid, and with outputs that can be checked.

Pure: chance comes in as a `Random`. The parameter is ``n``, an integer; tasks are those of `tasks`, which give back
what follows from their argument ``x``, or fail. Expressions are only of the forms that `interpreter` understands. How a
kind of node is made is in the table of `kinds`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random
from typing import Any

from wfe.core.validate import validate
from wfe.model.definition import Catch, Definition, Map, Node, Set, SubWorkflow, Task, WaitSignal
from wfe.sim.kinds import KINDS, SIGNALS

PLAIN_TASKS = ("echo", "echo", "flaky", "boom")
CONDITIONS = ("n > 3", "n < 5", "n == 4")
VALUED = (Task, Set, Map, WaitSignal, Catch, SubWorkflow)
CALLS_MAX = 2
"""Sub-workflows per definition, and none in maps of maps: they multiply."""
Names = tuple[tuple[str, bool], ...]
"""Values that surely exist, with whether they fit into text."""


class Generator:
    """``tasks``: names to choose from. ``children``: workflows that sub-workflows may name. ``endless``: signals may be
    awaited without a time limit."""

    def __init__(
        self,
        random: Random,
        *,
        tasks: Sequence[str] = PLAIN_TASKS,
        children: Sequence[str] = (),
        ends: bool = True,
        endless: bool = False,
    ) -> None:
        self.random = random
        self.tasks, self.children, self.ends, self.endless = tuple(tasks), tuple(children), ends, endless
        self._numbers = itertools.count(1)
        self.calls_left = 0
        self.maps = 0
        """Maps around what is being made."""

    def definition(self, name: str = "program", depth: int = 3) -> Definition:
        """A valid definition; its output is the list of the values of its outermost nodes."""
        while True:
            made = self._attempt(name, depth)
            if not any(finding.severity == "error" for finding in validate(made)):
                return made

    def _attempt(self, name: str, depth: int) -> Definition:
        self._numbers = itertools.count(1)
        self.calls_left, self.maps = CALLS_MAX, 0
        nodes = self.nodes(depth, (("n", True),))
        values = [node.id for node in nodes if isinstance(node, VALUED)]
        return Definition(
            name,
            params={"n": {"type": "integer"}},
            nodes=nodes,
            output=[f"${{{value}}}" for value in values],
            timeout_ms=self.random.choice((None, None, None, 5_000)),
        )

    # ---- what the makers of kinds use -------------------------------------------------------------------------------

    def id(self, kind: str) -> str:
        """A fresh node id."""
        return f"{kind}_{next(self._numbers)}"

    def nodes(self, depth: int, names: Names) -> tuple[Node, ...]:
        """A few nodes in a row; later ones see the values of earlier ones."""
        found: list[Node] = []
        for _ in range(self.random.randint(1, 4)):
            kinds = [kind for kind in KINDS.values() if kind.where(self, depth)]
            kind = self.random.choices(kinds, [kind.weight for kind in kinds])[0]
            node = kind.make(self, depth, names)
            found.append(node)
            if isinstance(node, (Task, Set)) and node.if_ is None:
                names = (*names, (node.id, False))
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
