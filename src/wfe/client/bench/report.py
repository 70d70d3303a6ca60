"""What a workload measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wfe.wire.messages import ServerStatus


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

    def document(self, status: ServerStatus | None = None) -> dict[str, Any]:
        """The JSON form; with a status also the server's shape and its commit time."""
        return {
            "workload": self.workload,
            "tasks_per_s": round(self.tasks / self.seconds, 1) if self.seconds else 0.0,
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


def _shape(status: ServerStatus) -> dict[str, Any]:
    commits = [
        shard.stats.latencies["commit"].p50_us
        for shard in status.shards
        if shard.stats is not None and "commit" in shard.stats.latencies
    ]
    return {
        "shards": len(status.shards),
        "workers": len(status.workers),
        "durability": status.durability,
        "commit_ms": round(max(commits) / 1000, 3) if commits else None,
    }
