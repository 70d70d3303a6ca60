"""Replays a trace in WfFormat 1.5 (https://wfcommons.org): its graph, each task lasting its recorded time, scaled.

The lower bound of the makespan is the critical path: the longest sum of run times along dependencies.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import msgspec

from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.report import Report, costs, stages
from wfe.client.bench.usage import Meter
from wfe.errors import InvalidInput
from wfe.limits import DURATION_MAX_MS
from wfe.model.malformed import MALFORMED

SCHEMA_VERSION = "1.5"
CLOCK_SLACK_S = 0.001
"""Workers of one host share a monotonic clock; this much disagreement is no violation."""


class _SpecifiedTask(msgspec.Struct):
    id: str
    parents: list[str] = []


class _Specification(msgspec.Struct):
    tasks: list[_SpecifiedTask]


class _ExecutedTask(msgspec.Struct):
    id: str
    runtime_s: float = msgspec.field(name="runtimeInSeconds")


class _Execution(msgspec.Struct):
    tasks: list[_ExecutedTask]


class _Workflow(msgspec.Struct):
    specification: _Specification
    execution: _Execution


class _Trace(msgspec.Struct):
    schema_version: str = msgspec.field(name="schemaVersion")
    workflow: _Workflow
    name: str = ""


@dataclass(frozen=True)
class Trace:
    """``parents`` and ``seconds`` by node; nodes are ``t1``, ``t2`` ... in the order of the file."""

    name: str
    parents: Mapping[str, Sequence[str]]
    seconds: Mapping[str, float]

    @property
    def edges(self) -> int:
        return sum(map(len, self.parents.values()))

    def critical_path_s(self) -> float:
        """The longest path through the graph, in recorded seconds."""
        ends: dict[str, float] = {}
        for node in TopologicalSorter(self.parents).static_order():
            ends[node] = self.seconds[node] + max((ends[parent] for parent in self.parents[node]), default=0.0)
        return max(ends.values(), default=0.0)


def read_trace(path: Path) -> Trace:
    """A trace from its file. InvalidInput when it is none of WfFormat 1.5, names unknown tasks, or has a cycle."""
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=_Trace)
    except MALFORMED as error:
        raise InvalidInput(f"{path}: is no WfFormat {SCHEMA_VERSION} trace: {error}") from error
    if raw.schema_version != SCHEMA_VERSION:
        raise InvalidInput(f"{path}: has schema version {raw.schema_version}, not {SCHEMA_VERSION}")
    nodes = {task.id: f"t{place}" for place, task in enumerate(raw.workflow.specification.tasks, 1)}
    if len(nodes) < len(raw.workflow.specification.tasks):
        raise InvalidInput(f"{path}: has two tasks of one id")
    recorded = {task.id: task.runtime_s for task in raw.workflow.execution.tasks}
    try:
        parents = {
            nodes[task.id]: tuple(nodes[parent] for parent in dict.fromkeys(task.parents))
            for task in raw.workflow.specification.tasks
        }
        seconds = {node: recorded[task] for task, node in nodes.items()}
        TopologicalSorter(parents).prepare()
    except KeyError as error:
        raise InvalidInput(f"{path}: names a task {error} that it does not hold or did not time") from error
    except CycleError as error:
        raise InvalidInput(f"{path}: its tasks wait for each other: {' -> '.join(error.args[1])}") from error
    if late := [task for task, seconds in recorded.items() if not 0 <= seconds <= DURATION_MAX_MS / 1000]:
        raise InvalidInput(f"{path}: task {late[0]!r} ran for {recorded[late[0]]} s")
    if not parents:
        raise InvalidInput(f"{path}: has no tasks")
    return Trace(raw.name or path.stem, parents, seconds)


async def replay(client: AsyncClient, trace: Trace, *, time_scale: float, file: str = "") -> Report:
    """One run of a trace, after one whose tasks last no time.

    ``more``: makespan, scaled critical path, their ratio, and the tasks that started too early.
    """
    if time_scale < 0:
        raise InvalidInput("--time-scale must not be negative")
    scaled = {node: seconds * time_scale for node, seconds in trace.seconds.items()}
    definition = definitions.dag(_workflow_name(trace.name), trace.parents, scaled)
    warm_up = definitions.dag("bench-replay-warm-up", trace.parents, dict.fromkeys(trace.parents, 0.0))
    await client.deploy(definition, warm_up)
    await (await client.start(warm_up.workflow)).result()
    meter = Meter(client)
    await meter.begin()
    started = time.perf_counter()
    run = await client.start(definition.workflow)
    admission_s = time.perf_counter() - started
    times: dict[str, Any] = await run.result()
    makespan_s = time.perf_counter() - started
    await meter.end()
    assert meter.status is not None, "the meter has begun and ended"
    critical_s = trace.critical_path_s() * time_scale
    early = _early(trace, times)
    more = {
        "trace": file or trace.name,
        "time_scale": time_scale,
        "edges": trace.edges,
        "makespan_s": round(makespan_s, 4),
        "critical_path_s": round(critical_s, 4),
        "ratio": round(makespan_s / critical_s, 3) if critical_s else None,
        "total_work_s": round(sum(scaled.values()), 3),
        "started_too_early": early,
        **costs(meter.spent, meter.memory(), len(trace.parents)),
        "stages": stages(meter.status, [admission_s * 1000]),
    }
    return Report("replay", 1, len(trace.parents), makespan_s, makespan_s * 1000, makespan_s * 1000, len(early), more)


def _early(trace: Trace, times: Mapping[str, Sequence[float]]) -> list[str]:
    """Tasks that did not run, or began before a parent had ended."""
    return [
        node
        for node, parents in trace.parents.items()
        if node not in times or any(times[node][0] + CLOCK_SLACK_S < times[parent][1] for parent in parents)
    ]


def _workflow_name(name: str) -> str:
    kept = "".join(char if char.isalnum() or char in "-_" else "-" for char in name)[:100]
    return f"bench-replay-{kept}"
