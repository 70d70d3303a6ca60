"""Capacity planning: from a load and a calibration to processes, cores, memory, disk, latency, and what breaks first.

Pure. The model, in a few lines: costs per task are those that were measured; a process uses one core; every kind of
process is meant to be busy for at most `BUSY_SHARE` of the time; open runs are rate times duration (Little's law);
latency is what was measured at this very rate, or else read off the measured curve at the load of one shard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

BUSY_SHARE = 0.6
"""Above that, queues grow steeply; half of the maximum is where the targets of latency hold."""
SLOTS_MIN, SLOTS_MAX = 16, 64
"""Of a worker: its threads are cheap while they wait, but share one core."""
DAY_S = 86_400
CORES = "cores of this machine"
MIB = 1 << 20
GIB = 1 << 30


class Wanted(Struct, frozen=True, kw_only=True):
    """A load: runs per second, tasks per run, bytes of each task's value, how long a task takes.

    ``cpu_bound``: it keeps a core busy meanwhile, else it only waits.
    """

    rate: float
    steps: int
    payload_bytes: int = 0
    task_ms: float = 0.0
    cpu_bound: bool = False
    retention_days: float = 7.0

    @property
    def tasks_per_s(self) -> float:
        return self.rate * self.steps


class Point(Struct, frozen=True):
    """One step of the curve: tasks per second of one shard, and a run's latency per task, in ms."""

    tasks_per_s: float
    p50_ms: float
    p99_ms: float


class Calibration(Struct, frozen=True, kw_only=True):
    """What was measured on this machine, with tasks that do nothing. ``cpu_us``: per task and kind of process."""

    curve: list[Point]
    cpu_us: dict[str, float]
    commit_ms: float
    disk_bytes_per_run: float
    memory_bytes_per_open_run: float
    base_memory_mb: dict[str, float]
    cores: int
    memory_mb: float
    disk_free_bytes: float
    at_rate: Point | None = None
    """At the wanted rate, with random intervals; None: too few runs to meet each other, or more than a shard does."""

    @property
    def shard_tasks_per_s(self) -> float:
        """The most that one shard did."""
        return max(point.tasks_per_s for point in self.curve)


class Limit(Struct, frozen=True):
    """A resource: how much of it the load takes, and at which rate of runs it is used up."""

    what: str
    used_share: float
    breaks_at_runs_per_s: float


class Plan(Struct, frozen=True, kw_only=True):
    """The answer. ``fits``: this machine has the cores (and time to spare), memory and disk; if not, ``short_of`` says
    what it lacks. ``disk_full_after_days``: with nothing ever removed.

    Limits in the order in which they break.
    """

    shards: int
    workers: int
    slots_per_worker: int
    cores: float
    memory_mb: float
    disk_gb_per_day: float
    disk_gb_kept: float
    open_runs: float
    p50_ms: float
    p99_ms: float
    shard_busy_share: float
    fits: bool
    breaks_first: str
    limits: list[Limit]
    short_of: list[str]
    disk_full_after_days: float


def make_plan(wanted: Wanted, found: Calibration) -> Plan:
    """What a load needs on machines such as the one that was measured."""
    tasks = wanted.tasks_per_s
    shards = max(1, math.ceil(tasks / (BUSY_SHARE * found.shard_tasks_per_s)))
    own_us = found.cpu_us.get("worker", 0.0)
    busy_us = own_us + (wanted.task_ms * 1000 if wanted.cpu_bound else 0.0)
    per_slot_s = wanted.task_ms / 1000 + own_us / 1e6
    slots_needed = math.ceil(tasks * per_slot_s / BUSY_SHARE)
    workers = max(1, math.ceil(tasks * busy_us / 1e6 / BUSY_SHARE), math.ceil(slots_needed / SLOTS_MAX))
    slots = max(SLOTS_MIN, math.ceil(slots_needed / workers))
    server_us = sum(spent for role, spent in found.cpu_us.items() if role not in ("client", "worker"))
    cores_busy = tasks * (server_us + busy_us) / 1e6
    if found.at_rate is not None and shards == 1:
        p50, p99 = found.at_rate.p50_ms, found.at_rate.p99_ms
    else:
        p50, p99 = latency_ms(found.curve, tasks / shards)
    run_p50, run_p99 = (wanted.steps * (each + wanted.task_ms) for each in (p50, p99))
    open_runs = wanted.rate * run_p50 / 1000
    memory = _memory_mb(found, shards, workers, open_runs)
    per_day = wanted.rate * DAY_S * found.disk_bytes_per_run
    limits = [
        _limit("shards", tasks, shards * found.shard_tasks_per_s, wanted),
        _limit("worker slots", tasks, workers * slots / per_slot_s if per_slot_s else math.inf, wanted),
        _limit("worker processes", tasks, workers * 1e6 / busy_us if busy_us else math.inf, wanted),
        _limit(CORES, cores_busy, found.cores, wanted),
        _limit("memory of this machine", memory, found.memory_mb, wanted),
        _limit("disk within the retention", per_day * wanted.retention_days, found.disk_free_bytes, wanted),
    ]
    short_of = [limit.what for limit in limits if limit.used_share > (BUSY_SHARE if limit.what == CORES else 1)]
    limits.sort(key=lambda limit: limit.breaks_at_runs_per_s)
    return Plan(
        shards=shards,
        workers=workers,
        slots_per_worker=slots,
        cores=round(cores_busy / BUSY_SHARE, 2),
        memory_mb=round(memory, 1),
        disk_gb_per_day=round(per_day / GIB, 3),
        disk_gb_kept=round(per_day * wanted.retention_days / GIB, 2),
        open_runs=round(open_runs, 1),
        p50_ms=round(run_p50, 2),
        p99_ms=round(run_p99, 2),
        shard_busy_share=round(tasks / (shards * found.shard_tasks_per_s), 3),
        fits=not short_of,
        breaks_first=limits[0].what,
        limits=limits,
        short_of=short_of,
        disk_full_after_days=round(found.disk_free_bytes / per_day, 2) if per_day else math.inf,
    )


def latency_ms(curve: Sequence[Point], tasks_per_s: float) -> tuple[float, float]:
    """Latency per task (median, 99th percentile) of a shard at this load, by interpolation along its curve.

    Below the first point it is that point's; the curve's end is the shard's maximum, where it is the last one's.
    """
    ordered = sorted(curve, key=lambda point: point.tasks_per_s)
    before = ordered[0]
    for point in ordered:
        if point.tasks_per_s >= tasks_per_s:
            width = point.tasks_per_s - before.tasks_per_s
            along = (tasks_per_s - before.tasks_per_s) / width if width and tasks_per_s > before.tasks_per_s else 0.0
            return (
                before.p50_ms + along * (point.p50_ms - before.p50_ms),
                before.p99_ms + along * (point.p99_ms - before.p99_ms),
            )
        before = point
    return before.p50_ms, before.p99_ms


def _memory_mb(found: Calibration, shards: int, workers: int, open_runs: float) -> float:
    base = found.base_memory_mb
    processes = base.get("coordinator", 0.0) + shards * base.get("shard", 0.0) + workers * base.get("worker", 0.0)
    return processes + open_runs * found.memory_bytes_per_open_run / MIB


def _limit(what: str, used: float, available: float, wanted: Wanted) -> Limit:
    share = used / available if available else math.inf
    return Limit(what, round(share, 4), round(wanted.rate / share, 1) if share else math.inf)


def document(wanted: Wanted, found: Calibration, plan: Plan) -> dict[str, Any]:
    """The JSON form of the whole report."""
    import msgspec

    made: dict[str, Any] = {
        "load": msgspec.to_builtins(wanted) | {"tasks_per_s": wanted.tasks_per_s},
        "plan": msgspec.to_builtins(plan),
        "calibration": msgspec.to_builtins(found) | {"shard_tasks_per_s": found.shard_tasks_per_s},
    }
    return made
