"""What a workload measured."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wfe.client.aclient import AsyncClient
from wfe.wire.messages import ServerStatus

REPORT_WAIT_S = 2.0
REPORT_POLL_S = 0.1


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


async def measured_status(client: AsyncClient) -> ServerStatus:
    """The server's status once its shards have reported commits (they do so every heartbeat), if they do soon."""
    deadline = asyncio.get_running_loop().time() + REPORT_WAIT_S
    while True:
        status = await client.status()
        if _commits_us(status) or asyncio.get_running_loop().time() > deadline:
            return status
        await asyncio.sleep(REPORT_POLL_S)


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
