"""Random definitions that can really run: every construct of the language, valid, and with outputs that can be checked.

Pure: chance comes in as a `Random`. The parameter is ``n``, an integer; tasks are those of `TASKS`, which give back
their argument ``x`` or fail. Expressions are only of the forms that `interpreter` understands. A new kind of node must
come with its case here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from wfe.core.validate import validate
from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.policy import RetryPolicy

SIGNALS = ("go", "stop")
PLAIN_TASKS = ("echo", "echo", "flaky", "boom")
CONDITIONS = ("n > 3", "n < 5", "n == 4")
ITEMS = ("[1, 2, n]", "[1, 2, 3, 4, 5, 6]", "[n]", "[]")
CATCHES = (("ValueError",), ("KeyError", "TimedOut"), ("Exception",))
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
        self._random = random
        self._tasks, self._children, self._ends, self._endless = tuple(tasks), tuple(children), ends, endless
        self._numbers = itertools.count(1)
        self._calls_left = 0
        self._maps = 0

    def definition(self, name: str = "program", depth: int = 3) -> Definition:
        """A valid definition; its output is the list of the values of its outermost nodes."""
        while True:
            made = self._attempt(name, depth)
            if not any(finding.severity == "error" for finding in validate(made)):
                return made

    def _attempt(self, name: str, depth: int) -> Definition:
        self._numbers = itertools.count(1)
        self._calls_left, self._maps = CALLS_MAX, 0
        nodes = tuple(self._nodes(depth, (("n", True),)))
        values = [node.id for node in nodes if isinstance(node, VALUED)]
        return Definition(
            name,
            params={"n": {"type": "integer"}},
            nodes=nodes,
            output=[f"${{{value}}}" for value in values],
            timeout_ms=self._random.choice((None, None, None, 5_000)),
        )

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def _nodes(self, depth: int, names: Names) -> list[Node]:
        found: list[Node] = []
        for _ in range(self._random.randint(1, 4)):
            node = self._node(depth, names)
            found.append(node)
            if isinstance(node, (Task, Set)) and node.if_ is None:
                names = (*names, (node.id, False))
        return found

    def _node(self, depth: int, names: Names) -> Node:
        random = self._random
        kinds = ["task"] * 4 + ["set", "sleep", "signal"]
        if self._ends:
            kinds += ["end", "fail"]
        if self._children and self._calls_left and self._maps < 2:
            kinds += ["workflow", "start"]
        if depth:
            kinds += ["when", "parallel", "catch", "map", "block"]
        kind = random.choice(kinds)
        make: Callable[[int, Names], Node] = getattr(self, f"_{kind}")
        return make(depth, names)

    def _if(self) -> str | None:
        return self._random.choice(CONDITIONS) if self._random.random() < 0.1 else None

    def _argument(self, names: Names) -> Any:
        name, textual = self._random.choice(names)
        return self._random.choice((f"${{{name}}}", f"v ${{{name}}}" if textual else {"in": [f"${{{name}}}"]}, 7))

    # ---- leaves -----------------------------------------------------------------------------------------------------

    def _task(self, depth: int, names: Names) -> Node:
        random = self._random
        retry = random.choice(
            (
                None,
                RetryPolicy(max_attempts=2, initial_delay_ms=random.choice((0, 100, 1_000))),
                RetryPolicy(max_attempts=3, initial_delay_ms=50, on=("ValueError",)),
            )
        )
        return Task(
            id=self._id("task"),
            task=random.choice(self._tasks),
            with_={"x": self._argument(names)},
            retry=retry,
            timeout_ms=random.choice((None, None, None, 1_000)),
            redeliver=random.random() < 0.8,
            if_=self._if(),
        )

    def _set(self, depth: int, names: Names) -> Node:
        return Set(id=self._id("set"), value={"v": self._argument(names)}, if_=self._if())

    def _sleep(self, depth: int, names: Names) -> Node:
        return Sleep(id=self._id("sleep"), duration_ms=self._random.randint(0, 3_000))

    def _signal(self, depth: int, names: Names) -> Node:
        random = self._random
        default: dict[str, Any] = {"default": "late"} if random.random() < 0.5 else {}
        limits: tuple[int | None, ...] = (0, 500, 2_000, None) if self._endless else (0, 500, 2_000)
        return WaitSignal(
            id=self._id("signal"), signal=random.choice(SIGNALS), timeout_ms=random.choice(limits), **default
        )

    def _end(self, depth: int, names: Names) -> Node:
        return End(id=self._id("end"), value=self._argument(names))

    def _fail(self, depth: int, names: Names) -> Node:
        return Fail(id=self._id("fail"), error=self._random.choice(("ValueError", "KeyError")), message="asked to")

    def _workflow(self, depth: int, names: Names) -> Node:
        self._calls_left -= 1
        return SubWorkflow(
            id=self._id("workflow"),
            workflow=self._random.choice(self._children),
            with_={"n": "${n}"},
            timeout_ms=self._random.choice((None, None, 4_000)),
        )

    def _start(self, depth: int, names: Names) -> Node:
        self._calls_left -= 1
        key: dict[str, Any] = {"key": f"child-{self._random.randint(1, 9)}"} if self._random.random() < 0.3 else {}
        return StartWorkflow(
            id=self._id("start"), workflow=self._random.choice(self._children), with_={"n": "${n}"}, **key
        )

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def _when(self, depth: int, names: Names) -> Node:
        arms = [Branch(self._random.choice(CONDITIONS), tuple(self._nodes(depth - 1, names)))]
        if self._random.random() < 0.5:
            arms.append(Branch(None, tuple(self._nodes(depth - 1, names))))
        return When(id=self._id("when"), branches=tuple(arms))

    def _parallel(self, depth: int, names: Names) -> Node:
        return Parallel(id=self._id("parallel"), do=tuple(self._nodes(depth - 1, names)))

    def _catch(self, depth: int, names: Names) -> Node:
        return Catch(id=self._id("catch"), errors=self._random.choice(CATCHES), do=tuple(self._nodes(depth - 1, names)))

    def _block(self, depth: int, names: Names) -> Node:
        return Block(id=self._id("block"), do=tuple(self._nodes(depth - 1, names)))

    def _map(self, depth: int, names: Names) -> Node:
        item = self._id("item")
        self._maps += 1
        body = tuple(self._nodes(depth - 1, (*names, (item, True))))
        self._maps -= 1
        return Map(
            id=self._id("map"),
            items=self._random.choice(ITEMS),
            as_=item,
            do=body,
            max_parallel=self._random.randint(1, 4),
            tolerate_count=self._random.choice((None, None, 1, 100)),
        )
