"""What a server does right now: rates between two statuses, per shard, workflow and task. Pure; for `wfe top`.

A shard that started anew in between counts from zero again: its own rates are those since its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wfe.wire.messages import ServerStatus, ShardStats


@dataclass(frozen=True, slots=True)
class ShardRate:
    """One shard."""

    index: int
    state: str
    runs_open: int = 0
    tasks_ready: int = 0
    tasks_running: int = 0
    tasks_per_s: float = 0.0
    events_per_s: float = 0.0
    commit_p99_ms: float = 0.0
    memory_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkflowRate:
    """One workflow, over all shards. ``mean_s``: from start to end of the runs that ended."""

    workflow: str
    started_per_s: float
    ended_per_s: float
    failed: int
    failed_total: int
    mean_s: float


@dataclass(frozen=True, slots=True)
class TaskRate:
    """One task of a workflow, over all shards. ``mean_ms``: of the execution of the attempts that ended."""

    workflow: str
    task: str
    attempts_per_s: float
    failed: int
    failed_total: int
    mean_ms: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Busiest first."""

    state: str
    workers: int
    shards: list[ShardRate] = field(default_factory=list)
    workflows: list[WorkflowRate] = field(default_factory=list)
    tasks: list[TaskRate] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "state": self.state,
            "workers": self.workers,
            **{
                name: [{each: getattr(row, each) for each in row.__slots__} for row in getattr(self, name)]
                for name in ("shards", "workflows", "tasks")
            },
        }


def rates(before: ServerStatus, after: ServerStatus) -> Rates:
    """What happened between the two, by the shards' own clocks."""
    shards: list[ShardRate] = []
    runs: dict[str, _Sum] = {}
    tasks: dict[tuple[str, str], _Sum] = {}
    earlier = {shard.index: shard.stats for shard in before.shards}
    for shard in after.shards:
        new = shard.stats
        if new is None:
            shards.append(ShardRate(shard.index, shard.state))
            continue
        old = earlier.get(shard.index)
        if old is None or old.epoch != new.epoch or new.time_ms <= old.time_ms:
            old = ShardStats(new.index, new.epoch, new.time_ms - 1_000)
        seconds = (new.time_ms - old.time_ms) / 1000
        shards.append(_shard(shard.state, old, new, seconds))
        _add_runs(runs, old, new, seconds)
        _add_tasks(tasks, old, new, seconds)
    workflows = [
        WorkflowRate(name, each.begun, each.ended, each.failed, each.failed_total, each.mean / 1e3)
        for name, each in sorted(runs.items(), key=lambda item: (-item[1].begun - item[1].ended, item[0]))
    ]
    busiest = [
        TaskRate(*name, each.ended, each.failed, each.failed_total, each.mean / 1e3)
        for name, each in sorted(tasks.items(), key=lambda item: (-item[1].ended, item[0]))
    ]
    workers = sum(worker.state == "connected" for worker in after.workers)
    return Rates(after.state, workers, shards, workflows, busiest)


@dataclass(slots=True)
class _Sum:
    """Over all shards: rates per second, and counts of failures between the two and at all."""

    begun: float = 0.0
    ended: float = 0.0
    failed: int = 0
    failed_total: int = 0
    took: int = 0
    count: int = 0

    @property
    def mean(self) -> float:
        return self.took / self.count if self.count else 0.0


def _shard(state: str, old: ShardStats, new: ShardStats, seconds: float) -> ShardRate:
    def per_s(counter: str) -> float:
        return (new.counters.get(counter, 0) - old.counters.get(counter, 0)) / seconds

    commit = new.latencies.get("commit")
    return ShardRate(
        new.index,
        state,
        new.gauges.get("runs_open", 0),
        new.gauges.get("tasks_ready", 0),
        new.gauges.get("tasks_running", 0),
        per_s("tasks_dispatched"),
        per_s("events"),
        commit.p99_us / 1e3 if commit is not None else 0.0,
        new.gauges.get("memory_bytes", 0) / (1 << 20),
    )


def _add_runs(sums: dict[str, _Sum], old: ShardStats, new: ShardStats, seconds: float) -> None:
    past = {run.workflow: run for run in old.runs}
    for run in new.runs:
        total = sums.setdefault(run.workflow, _Sum())
        ended = run.completed + run.failed + run.cancelled
        started, failed, took = run.started, run.failed, run.sum_ms
        total.failed_total += run.failed
        if (one := past.get(run.workflow)) is not None:
            ended -= one.completed + one.failed + one.cancelled
            started, failed, took = started - one.started, failed - one.failed, took - one.sum_ms
        total.begun += started / seconds
        total.ended += ended / seconds
        total.failed += failed
        total.took += took
        total.count += ended


def _add_tasks(sums: dict[tuple[str, str], _Sum], old: ShardStats, new: ShardStats, seconds: float) -> None:
    past = {(task.workflow, task.task): task for task in old.tasks}
    for task in new.tasks:
        total = sums.setdefault((task.workflow, task.task), _Sum())
        ended, failed, took = task.done + task.failed, task.failed, task.sum_us
        total.failed_total += task.failed
        if (one := past.get((task.workflow, task.task))) is not None:
            ended, failed, took = ended - one.done - one.failed, failed - one.failed, took - one.sum_us
        total.ended += ended / seconds
        total.failed += failed
        total.took += took
        total.count += ended
