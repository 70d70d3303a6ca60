"""What a workload measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

from wfe.client.bench.usage import Memory, Use, stages_ms
from wfe.wire.messages import ServerStatus

STAGES = ("admission", "decide", "commit", "queue", "execution", "result")


class FloorFigures(Protocol):
    """What one measurement of the floor (`bootstrap.floor`) gave."""

    @property
    def tasks(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def latencies_ms(self) -> list[float]: ...


class Floor(Protocol):
    """Measures the same bytes through the same pipes without an engine. ``widths``: tasks side by side per stage."""

    def __call__(self, widths: list[int], *, runs: int, at_once: int, payload: bytes) -> FloorFigures: ...


@dataclass(frozen=True)
class Report:
    """``p50_ms`` and ``p99_ms``: from submit to result of one run, as the client sees it. ``more``: by workload."""

    workload: str
    runs: int
    tasks: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.failed == 0

    @property
    def tasks_per_s(self) -> float:
        return round(self.tasks / self.seconds, 1) if self.seconds else 0.0

    def document(self, status: ServerStatus | None = None) -> dict[str, Any]:
        """The JSON form; with a status also the server's shape and its commit time."""
        return {
            "workload": self.workload,
            "tasks_per_s": self.tasks_per_s,
            "runs_per_s": round(self.runs / self.seconds, 1) if self.seconds else 0.0,
            "p50_ms": round(self.p50_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "runs": self.runs,
            "tasks": self.tasks,
            "seconds": round(self.seconds, 3),
            "failed": self.failed,
            **self.more,
            **(_shape(status) if status is not None else {}),
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` % of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of values in ms."""
    return {"p50_ms": round(percentile(values, 50), 3), "p99_ms": round(percentile(values, 99), 3)}


def costs(spent: Use, memory: Memory, tasks: int) -> dict[str, Any]:
    """What the server spent on so many tasks, per task. Without processes on this host only what its shards say."""
    found: dict[str, Any] = {}
    server = {role: seconds for role, seconds in spent.cpu_s.items() if role != "client"}
    if server:
        found["cpu_s_per_1000_tasks"] = round(1000 * sum(server.values()) / tasks, 5)
        found["cpu_us_per_task"] = {role: round(1e6 * seconds / tasks, 2) for role, seconds in spent.cpu_s.items()}
        found["rss_mb"] = memory.resident
        found["memory_mb"] = memory.own
        found["written_bytes_per_task"] = round(spent.written_bytes / tasks, 1)
    counters = spent.counters
    syncs = counters.get("commits", 0) + counters.get("checkpoint_steps", 0)
    found["log_bytes_per_task"] = round(counters.get("log_bytes", 0) / tasks, 1)
    found["events_per_task"] = round(counters.get("events", 0) / tasks, 2)
    found["syncs_per_task"] = round(syncs / tasks, 5)
    return found


def stages(status: ServerStatus, admissions_ms: Sequence[float]) -> dict[str, dict[str, float] | None]:
    """Latencies by stage: admission as the client sees it (until a start is durable), the others at the shard.

    Every stage is named in every report; None: no task went through it, or none that was followed.
    """
    found: dict[str, dict[str, float] | None] = dict.fromkeys(STAGES)
    if admissions_ms:
        found["admission"] = percentiles(admissions_ms)
    return found | stages_ms(status)


def floor_fields(ours: Sequence[float], floors: Sequence[FloorFigures]) -> dict[str, Any]:
    """Rates of the rounds beside the floor's, in the same order; the ratio is the median of the rounds' ratios."""
    rates = [figures.tasks / figures.seconds for figures in floors]
    latencies = [value for figures in floors for value in figures.latencies_ms]
    return {
        "floor_tasks_per_s": round(sum(figures.tasks for figures in floors) / sum(f.seconds for f in floors), 1),
        "floor_ratio": round(median(own / rate for own, rate in zip(ours, rates, strict=True)), 3),
        "floor_p50_ms": round(percentile(latencies, 50), 3),
        "floor_p99_ms": round(percentile(latencies, 99), 3),
        "floor_rounds_tasks_per_s": [round(rate, 1) for rate in rates],
    }


def _commits_us(status: ServerStatus) -> list[int]:
    """The median commit of each shard that has committed in the recent window."""
    found = [shard.stats.latencies.get("commit") for shard in status.shards if shard.stats is not None]
    return [latency.p50_us for latency in found if latency is not None and latency.count]


def _shape(status: ServerStatus) -> dict[str, Any]:
    commits = _commits_us(status)
    return {
        "shards": len(status.shards),
        "workers": len(status.workers),
        "durability": status.durability,
        "commit_ms": round(max(commits) / 1000, 3) if commits else None,
    }
