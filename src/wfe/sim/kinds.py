"""How each kind of node is made at random. A function takes (generator, depth, names in sight) and gives a valid node.

To add a kind: a function here and a line in `KINDS`; a function and a line in `walks` that says what it means; what
its events must keep to, in `ledger`. A test names the kinds of the language that are missing. Those of loops, races,
locks and computing nodes are in `kinds_control`, those that wait for the outside and compensate in `kinds_outside`,
nets in `kinds_nets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfe.model.definition import (
    Approval,
    Assign,
    Block,
    Branch,
    BreakIf,
    Catch,
    Compensate,
    CompensateWith,
    Custom,
    Decision,
    DurableCall,
    Emit,
    End,
    Fail,
    Graph,
    Http,
    Lock,
    Loop,
    Map,
    Node,
    Parallel,
    Race,
    Set,
    Sleep,
    StartWorkflow,
    State,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
    When,
)
from wfe.model.policy import RetryPolicy
from wfe.sim import kinds_control as control
from wfe.sim import kinds_nets as nets
from wfe.sim import kinds_outside as outside
from wfe.sim.pools import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfe.sim.generator import Generator, Names

CATCHES = (("ValueError",), ("KeyError", "TimedOut", "expression"), ("Exception",), ("Exception",), ("Exception",))


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
        **(asked(random, at.asking) if at.outside else {}),
    )


def set_(at: Generator, depth: int, names: Names) -> Node:
    return Set(
        id=at.id("set"),
        value={"v": at.argument(names)},
        if_=at.condition() if at.random.random() < 0.1 else None,
    )


def sleep(at: Generator, depth: int, names: Names) -> Node:
    return Sleep(id=at.id("sleep"), duration_ms=at.random.randint(0, 200 if at.locked else 3_000))


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
    return Parallel(id=at.id("parallel"), do=at.nodes(depth - 1, names, fresh=True, ordered=False))


def catch(at: Generator, depth: int, names: Names) -> Node:
    return Catch(id=at.id("catch"), errors=at.random.choice(CATCHES), do=at.nodes(depth - 1, names))


def block(at: Generator, depth: int, names: Names) -> Node:
    return Block(id=at.id("block"), do=at.nodes(depth - 1, names))


# ---- the table ------------------------------------------------------------------------------------------------------


def _ends(at: Generator, depth: int) -> bool:
    return at.ends


def _calls(at: Generator, depth: int) -> bool:
    return bool(at.children) and at.calls_left > 0 and at.many < 2 and not at.locked


def _deep(at: Generator, depth: int) -> bool:
    return depth > 0


def _many(at: Generator, depth: int) -> bool:
    return depth > 0 and at.many < 3


def _in_order(at: Generator, depth: int) -> bool:
    return at.ordered


def _in_loop(at: Generator, depth: int) -> bool:
    return at.loops > 0


KINDS: dict[type[Node], Kind] = {
    Task: Kind(task, 8),
    Set: Kind(set_, 2),
    Sleep: Kind(sleep, 2),
    WaitSignal: Kind(outside.signal, 2),
    Approval: Kind(outside.approval),
    End: Kind(end, where=_ends),
    Fail: Kind(fail, where=_ends),
    SubWorkflow: Kind(workflow, 2, where=_calls),
    StartWorkflow: Kind(start, 2, where=_calls),
    State: Kind(control.state, 2, where=_in_order),
    Assign: Kind(control.assign, 8, where=lambda at, depth: bool(at.states) and at.ordered),
    Decision: Kind(control.decision),
    Transform: Kind(control.transform),
    Emit: Kind(control.emit),
    Http: Kind(control.http, where=lambda at, depth: at.outside),
    Custom: Kind(control.custom, where=lambda at, depth: at.outside),
    BreakIf: Kind(control.break_if, 3, where=_in_loop),
    CompensateWith: Kind(outside.compensate_with, 2),
    Compensate: Kind(outside.compensate),
    When: Kind(when, 2, where=_deep),
    Parallel: Kind(parallel, 2, where=_deep),
    Catch: Kind(catch, 4, where=_deep),
    Block: Kind(block, where=_deep),
    Map: Kind(outside.map_, 3, where=_many),
    Loop: Kind(control.loop, 2, where=_many),
    Race: Kind(control.race, 2, where=_deep),
    Lock: Kind(control.lock, 4, where=lambda at, depth: depth > 0 and not at.locked),
    Graph: Kind(nets.graph, 4, where=_many),
}
NEVER: dict[type[Node], str] = {DurableCall: "it is alone in its definition: `durable` makes functions of their own"}
"""Kinds that are not made, and why."""
