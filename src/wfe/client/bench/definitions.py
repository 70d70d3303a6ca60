"""The workloads' graphs, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wfe.model.definition import Definition, Map, Parallel, Task

NOOP, ECHO, SLEEP = "bench_noop", "bench_echo", "bench_sleep"
INTEGERS = {"type": "array", "items": {"type": "integer"}}


def chain(length: int) -> Definition:
    """``length`` no-op tasks, one after the other."""
    nodes = tuple(Task(id=f"step_{place}", task=NOOP) for place in range(1, length + 1))
    return Definition(f"bench-chain-{length}", nodes=nodes)


def fanout(width: int) -> Definition:
    """One task, then one per item of the input, then one."""
    return Definition(
        f"bench-fanout-{width}",
        params={"numbers": INTEGERS},
        nodes=(
            Task(id="before", task=NOOP),
            Map(
                id="wide",
                items="numbers",
                as_="number",
                do=(Task(id="each", task=ECHO, with_={"value": "${number}"}),),
                max_parallel=width,
            ),
            Task(id="behind", task=NOOP),
        ),
        output="${size(wide)}",
    )


def dag(name: str, parents: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> Definition:
    """A task per name, each after its parents, all in one parallel block; the output is [start, end] by name."""
    nodes = tuple(
        Task(id=node, task=SLEEP, with_={"seconds": seconds[node]}, after=tuple(before))
        for node, before in parents.items()
    )
    return Definition(name, nodes=(Parallel(id="trace", do=nodes),), output={node: f"${{{node}}}" for node in parents})
