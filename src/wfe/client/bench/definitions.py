"""The workloads' graphs, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wfe.model.definition import Definition, Map, Parallel, Set, Sleep, SubWorkflow, Task, WaitSignal
from wfe.model.policy import RetryPolicy

SLEEP = "bench_sleep"
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
INTEGERS = {"type": "array", "items": {"type": "integer"}}


@dataclass(frozen=True)
class Kind:
    """What tasks are like. ``payload_bytes`` above 0: each takes and gives a text of that length.

    ``work_ms``: each keeps a core busy for so long; ``wait_ms``: each occupies a slot for so long.
    """

    on_loop: bool = False
    payload_bytes: int = 0
    work_ms: float = 0.0
    wait_ms: float = 0.0

    @property
    def name(self) -> str:
        """What tells workflows of different kinds of tasks apart."""
        parts = ("async" if self.on_loop else "", f"{self.payload_bytes}b" if self.payload_bytes else "")
        spent = (f"work{self.work_ms:g}" if self.work_ms else "", f"wait{self.wait_ms:g}" if self.wait_ms else "")
        return "".join(f"-{part}".replace(".", "_") for part in (*parts, *spent) if part)

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        return {"data": TEXT} if self.payload_bytes else {}

    @property
    def text(self) -> str:
        return "x" * self.payload_bytes

    def task(self, id: str, data: str = "data") -> Task:
        """A node; ``data`` is the expression of what it takes, if it takes anything."""
        if self.work_ms or self.wait_ms:
            spent = ("bench_work", self.work_ms) if self.work_ms else ("bench_wait", self.wait_ms)
            return Task(id=id, task=spent[0], with_={"milliseconds": spent[1]})
        prefix = "bench_async_" if self.on_loop else "bench_"
        if self.payload_bytes:
            return Task(id=id, task=f"{prefix}pass", with_={"data": f"${{{data}}}"})
        return Task(id=id, task=f"{prefix}noop")


NOOP = Kind()


def chain(length: int, kind: Kind = NOOP) -> Definition:
    """``length`` tasks, one after the other, each of which takes what the one before gave."""
    output: Any
    nodes = tuple(
        kind.task(f"step_{place}", f"step_{place - 1}" if place > 1 else "data") for place in range(1, length + 1)
    )
    output = None if length else True
    if kind.payload_bytes and length:
        output = f"${{size(step_{length})}}"
    return Definition(f"bench-chain-{length}{kind.name}", params=kind.params, nodes=nodes, output=output)


def fanout(width: int, kind: Kind = NOOP) -> Definition:
    """One task, then one per item of the input, then one."""
    echo = "bench_async_echo" if kind.on_loop else "bench_echo"
    plain = Task(id="each", task=echo, with_={"value": "${number}"})
    each = plain if kind.name in ("", "-async") else kind.task("each")
    return Definition(
        f"bench-fanout-{width}{kind.name}",
        params={"numbers": INTEGERS, **kind.params},
        nodes=(
            kind.task("before"),
            Map(id="wide", items="numbers", as_="number", do=(each,), max_parallel=width),
            kind.task("behind"),
        ),
        output="${size(wide)}",
    )


def timer() -> Definition:
    """Waits until a time (ms since 1970), then asks a task what the time is: that much too late."""
    return Definition(
        "bench-timer",
        params={"due_ms": NUMBER},
        nodes=(Sleep(id="nap", until="due_ms"), Task(id="woken", task="bench_clock")),
        output="${woken - due_ms}",
    )


def signals(count: int) -> Definition:
    """Waits for so many signals, one after the other; the output is their sum."""
    nodes = tuple(WaitSignal(id=f"got_{place}", signal="go", schema=INTEGER) for place in range(count))
    return Definition(f"bench-signals-{count}", nodes=nodes, output=f"${{{' + '.join(node.id for node in nodes)}}}")


def waiting(length: int = 1) -> Definition:
    """Runs a task, waits for a signal, and runs ``length`` more."""
    rest = tuple(Task(id=f"after_{place}", task="bench_noop") for place in range(length))
    first = Task(id="before", task="bench_noop")
    return Definition(f"bench-waiting-{length}", nodes=(first, WaitSignal(id="go", signal="go"), *rest))


def mixed() -> tuple[Definition, Definition]:
    """What a soak runs: a map, a retry, a nap, a sub-workflow (the second definition) and a signal."""
    child = Definition(
        "bench-mixed-child",
        params={"value": INTEGER},
        nodes=(Task(id="echo", task="bench_echo", with_={"value": "${value}"}), Set(id="double", value="${echo * 2}")),
        output="${double}",
    )
    parent = Definition(
        "bench-mixed",
        params={"numbers": INTEGERS},
        nodes=(
            Map(
                id="wide",
                items="numbers",
                as_="number",
                do=(Task(id="each", task="bench_echo", with_={"value": "${number}"}),),
            ),
            Task(
                id="again",
                task="bench_flaky",
                with_={"value": "${size(wide)}"},
                retry=RetryPolicy(initial_delay_ms=10, jitter=0.0),
            ),
            Sleep(id="nap", duration_ms=20),
            SubWorkflow(id="child", workflow=child.workflow, with_={"value": "${again}"}),
            WaitSignal(id="told", signal="go", schema=INTEGER),
        ),
        output="${child + told}",
    )
    return parent, child


def dag(name: str, parents: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> Definition:
    """A task per name, each after its parents, all in one parallel block; the output is [start, end] by name."""
    nodes = tuple(
        Task(id=node, task=SLEEP, with_={"seconds": seconds[node]}, after=tuple(before))
        for node, before in parents.items()
    )
    return Definition(name, nodes=(Parallel(id="trace", do=nodes),), output={node: f"${{{node}}}" for node in parents})
