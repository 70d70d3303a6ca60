"""How each kind of node is made at random. A function takes (generator, depth, names in sight) and gives a valid node.

To add a kind: a function here and a line in `KINDS`; a function and a line in `walks` that says what it means; what
its events must keep to, in `ledger`. A test names the kinds of the language that are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfe.model.definition import (
    Block,
    Branch,
    Catch,
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfe.sim.generator import Generator, Names

SIGNALS = ("go", "stop")
ITEMS = ("[1, 2, n]", "[1, 2, 3, 4, 5, 6]", "[n]", "[]")
CATCHES = (("ValueError",), ("KeyError", "TimedOut", "expression"), ("Exception",))


@dataclass(frozen=True, slots=True)
class Kind:
    """``weight``: how often, compared with others. ``where``: where it may be."""

    make: Callable[[Generator, int, Names], Node]
    weight: int = 1
    where: Callable[[Generator, int], bool] = lambda generator, depth: True


# ---- leaves ---------------------------------------------------------------------------------------------------------


def task(at: Generator, depth: int, names: Names) -> Node:
    random = at.random
    retry = random.choice(
        (
            None,
            RetryPolicy(max_attempts=2, initial_delay_ms=random.choice((0, 100, 1_000))),
            RetryPolicy(max_attempts=3, initial_delay_ms=50, on=("ValueError",)),
        )
    )
    return Task(
        id=at.id("task"),
        task=random.choice(at.tasks),
        with_={"x": at.argument(names)},
        retry=retry,
        timeout_ms=random.choice((None, None, None, 1_000)),
        redeliver=random.random() < 0.8,
        if_=at.condition() if random.random() < 0.1 else None,
    )


def set_(at: Generator, depth: int, names: Names) -> Node:
    return Set(
        id=at.id("set"),
        value={"v": at.argument(names)},
        if_=at.condition() if at.random.random() < 0.1 else None,
    )


def sleep(at: Generator, depth: int, names: Names) -> Node:
    return Sleep(id=at.id("sleep"), duration_ms=at.random.randint(0, 3_000))


def signal(at: Generator, depth: int, names: Names) -> Node:
    default: dict[str, Any] = {"default": "late"} if at.random.random() < 0.5 else {}
    limits: tuple[int | None, ...] = (0, 500, 2_000, None) if at.endless else (0, 500, 2_000)
    return WaitSignal(
        id=at.id("signal"), signal=at.random.choice(SIGNALS), timeout_ms=at.random.choice(limits), **default
    )


def end(at: Generator, depth: int, names: Names) -> Node:
    return End(id=at.id("end"), value=at.argument(names))


def fail(at: Generator, depth: int, names: Names) -> Node:
    return Fail(id=at.id("fail"), error=at.random.choice(("ValueError", "KeyError")), message="asked to")


def workflow(at: Generator, depth: int, names: Names) -> Node:
    at.calls_left -= 1
    return SubWorkflow(
        id=at.id("workflow"),
        workflow=at.random.choice(at.children),
        with_={"n": "${n}"},
        timeout_ms=at.random.choice((None, None, 4_000)),
    )


def start(at: Generator, depth: int, names: Names) -> Node:
    at.calls_left -= 1
    key: dict[str, Any] = {"key": f"child-{at.random.randint(1, 9)}"} if at.random.random() < 0.3 else {}
    return StartWorkflow(id=at.id("start"), workflow=at.random.choice(at.children), with_={"n": "${n}"}, **key)


# ---- blocks ---------------------------------------------------------------------------------------------------------


def when(at: Generator, depth: int, names: Names) -> Node:
    arms = [Branch(at.condition(), at.nodes(depth - 1, names))]
    if at.random.random() < 0.5:
        arms.append(Branch(None, at.nodes(depth - 1, names)))
    return When(id=at.id("when"), branches=tuple(arms))


def parallel(at: Generator, depth: int, names: Names) -> Node:
    return Parallel(id=at.id("parallel"), do=at.nodes(depth - 1, names))


def catch(at: Generator, depth: int, names: Names) -> Node:
    return Catch(id=at.id("catch"), errors=at.random.choice(CATCHES), do=at.nodes(depth - 1, names))


def block(at: Generator, depth: int, names: Names) -> Node:
    return Block(id=at.id("block"), do=at.nodes(depth - 1, names))


def map_(at: Generator, depth: int, names: Names) -> Node:
    item = at.id("item")
    at.maps += 1
    body = at.nodes(depth - 1, (*names, (item, True)))
    at.maps -= 1
    return Map(
        id=at.id("map"),
        items=at.random.choice(ITEMS),
        as_=item,
        do=body,
        max_parallel=at.random.randint(1, 4),
        tolerate_count=at.random.choice((None, None, 1, 100)),
    )


# ---- the table ------------------------------------------------------------------------------------------------------


def _ends(at: Generator, depth: int) -> bool:
    return at.ends


def _calls(at: Generator, depth: int) -> bool:
    return bool(at.children) and at.calls_left > 0 and at.maps < 2


def _deep(at: Generator, depth: int) -> bool:
    return depth > 0


KINDS: dict[type[Node], Kind] = {
    Task: Kind(task, 4),
    Set: Kind(set_),
    Sleep: Kind(sleep),
    WaitSignal: Kind(signal),
    End: Kind(end, where=_ends),
    Fail: Kind(fail, where=_ends),
    SubWorkflow: Kind(workflow, where=_calls),
    StartWorkflow: Kind(start, where=_calls),
    When: Kind(when, where=_deep),
    Parallel: Kind(parallel, where=_deep),
    Catch: Kind(catch, where=_deep),
    Map: Kind(map_, where=_deep),
    Block: Kind(block, where=_deep),
}
