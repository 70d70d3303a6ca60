"""Random workflows that can really run: every construct, tasks that succeed, fail at times, or always."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

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
    Task,
    WaitSignal,
    When,
)  # fmt: skip
from wfe.model.policy import RetryPolicy

SIGNALS = ("go", "stop")


def tasks() -> dict[str, Callable[..., Any]]:
    """Fresh task functions; ``flaky`` fails at every third call of the run."""
    calls = itertools.count(1)

    def flaky(x: Any) -> Any:
        if next(calls) % 3 == 0:
            raise ValueError("flaky")
        return x

    def boom(x: Any) -> Any:
        raise KeyError("boom")

    return {"echo": lambda x: x, "flaky": flaky, "boom": boom}


class _Ids:
    def __init__(self) -> None:
        self._number = itertools.count(1)

    def __call__(self, kind: str) -> str:
        return f"{kind}_{next(self._number)}"


@st.composite
def programs(draw: st.DrawFn, depth: int = 3, ends: bool = True) -> Definition:
    """A definition with one parameter ``n`` (an integer) and the values of its top-level tasks as output."""
    ids = _Ids()
    nodes = tuple(draw(_nodes(ids, depth, ("n",), ends)))
    values = [node.id for node in nodes if isinstance(node, (Task, Set, Map, WaitSignal, Catch))]
    timeout_ms = draw(st.sampled_from([None, None, None, 5_000]))
    return Definition(
        "program",
        params={"n": {"type": "integer"}},
        nodes=nodes,
        output=[f"${{{v}}}" for v in values],
        timeout_ms=timeout_ms,
    )


@st.composite
def _nodes(draw: st.DrawFn, ids: _Ids, depth: int, names: tuple[str, ...], ends: bool) -> list[Node]:
    found: list[Node] = []
    for _ in range(draw(st.integers(1, 4))):
        node = draw(_node(ids, depth, names, ends))
        found.append(node)
        if isinstance(node, (Task, Set)):
            names = (*names, node.id)
    return found


@st.composite
def _node(draw: st.DrawFn, ids: _Ids, depth: int, names: tuple[str, ...], ends: bool) -> Node:
    name = draw(st.sampled_from(names))
    leaves = ["task", "task", "task", "set", "sleep", "signal"] + (["end", "fail"] if ends else [])
    kind = draw(st.sampled_from(leaves + (["when", "parallel", "catch", "map", "block"] if depth else [])))
    inner = _nodes(ids, depth - 1, names, ends)
    match kind:
        case "task":
            retry = draw(
                st.sampled_from([None, RetryPolicy(max_attempts=2), RetryPolicy(max_attempts=3, on=("ValueError",))])
            )
            argument = draw(st.sampled_from([f"${{{name}}}", f"v ${{{name}}}", 7]))
            task = draw(st.sampled_from(["echo", "echo", "flaky", "boom"]))
            return Task(id=ids("task"), task=task, with_={"x": argument}, retry=retry, redeliver=draw(st.booleans()))
        case "set":
            return Set(id=ids("set"), value={"v": f"${{{name}}}"})
        case "sleep":
            return Sleep(id=ids("sleep"), duration_ms=draw(st.integers(0, 3_000)))
        case "signal":
            default = {"default": "late"} if draw(st.booleans()) else {}
            return WaitSignal(
                id=ids("signal"),
                signal=draw(st.sampled_from(SIGNALS)),
                timeout_ms=draw(st.integers(0, 2_000)),
                **default,
            )
        case "end":
            return End(id=ids("end"), value=f"${{{name}}}")
        case "fail":
            return Fail(id=ids("fail"), error=draw(st.sampled_from(["ValueError", "KeyError"])), message="asked to")
        case "when":
            arms = [Branch(draw(st.sampled_from(["n > 3", "n < 5", "n == 4"])), tuple(draw(inner)))]
            if draw(st.booleans()):
                arms.append(Branch(None, tuple(draw(inner))))
            return When(id=ids("when"), branches=tuple(arms))
        case "parallel":
            return Parallel(id=ids("parallel"), do=tuple(draw(inner)))
        case "catch":
            errors = draw(st.sampled_from([("ValueError",), ("KeyError", "TimedOut"), ("Exception",)]))
            return Catch(id=ids("catch"), errors=errors, do=tuple(draw(inner)))
        case "block":
            return Block(id=ids("block"), do=tuple(draw(inner)))
        case _:
            item = ids("item")
            body = tuple(draw(_nodes(ids, depth - 1, (*names, item), ends)))
            return Map(
                id=ids("map"),
                items=f"[1, 2, {draw(st.sampled_from(['n', '3, 4, 5, 6']))}]",
                as_=item,
                do=body,
                max_parallel=draw(st.integers(1, 4)),
                tolerate_count=draw(st.sampled_from([None, None, 1, 100])),
            )
