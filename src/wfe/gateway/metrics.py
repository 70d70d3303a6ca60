"""Prometheus metrics of the server, made from its status at each scrape. docs/observability.md lists them (tested).

Stable: names and labels are only ever added. Per shard, workflow and task, never per run. Counters begin anew with a
shard's process, as Prometheus expects; that is why each carries its shard. Durations come from the shards in buckets by
powers of two; every second power is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from wfe.errors import WfeError
from wfe.gateway.access import require_metrics_access
from wfe.gateway.state import Gateway
from wfe.wire.messages import ServerStatus, ShardStatus
from wfe.wire.stats import BUCKETS

COUNTERS = {
    "commits": "Commits of the log.",
    "events": "Events of runs that were committed.",
    "log_bytes": "Bytes of events that were committed.",
    "tasks_dispatched": "Attempts that were handed to workers.",
    "tasks_lost": "Attempts that were lost with their worker.",
    "results_stale": "Results that came too late to count.",
    "timers_fired": "Timers that were due.",
    "mail_taken": "Letters from other partitions that were taken.",
    "mail_resends": "Letters that were sent again.",
    "requests_refused": "Requests of clients that were refused.",
    "runs_quarantined": "Runs that were set aside because of a defect.",
    "log_lines": "Lines that tasks printed and logged.",
    "log_lines_dropped": "Lines of tasks that found no room in the shard.",
}
"""Counters of a shard by the name it has there; here ``wfe_<name>_total``."""
GAUGES = {
    "runs_open": "Runs that have not ended.",
    "runs_in_memory": "Runs in a shard's memory.",
    "tasks_ready": "Tasks that wait for a worker.",
    "tasks_running": "Tasks that are with a worker.",
    "workers": "Workers that are connected to the shard.",
    "timers": "Timers that are armed.",
    "log_tail_bytes": "Bytes of the log that no store holds yet.",
    "mail_unacknowledged": "Letters to other partitions that are under way.",
    "memory_bytes": "Resident memory of the shard's process.",
    "disk_free_bytes": "Free bytes of the file system that holds the data.",
}
REFUSALS = {"starts_refused_busy": "busy", "starts_refused_disk": "disk", "starts_refused_memory": "memory"}
TASK_BITS = range(8, 37, 2)
"""Buckets of tasks: 256 us to 19 hours."""
RUN_BITS = range(2, 33, 2)
"""Buckets of runs: 4 ms to 49 days."""


class ServerMetrics(Collector):
    """One scrape: what a status says. ``status`` None: the server did not answer."""

    def __init__(self, status: ServerStatus | None, streams: int = 0) -> None:
        self._status, self._streams = status, streams

    def collect(self) -> Iterable[Metric]:
        """Every family, in the order of the documentation."""
        up = GaugeMetricFamily("wfe_up", "Whether the server answers and all of it serves.")
        up.add_metric([], float(self._status is not None and self._status.state == "serving"))
        yield up
        streams = GaugeMetricFamily("wfe_gateway_streams", "Open event streams and long polls of this gateway.")
        streams.add_metric([], self._streams)
        yield streams
        if self._status is not None:
            yield from _server(self._status)
            yield from _shards(self._status.shards)
            yield from _workflows(self._status.shards)
            yield from _tasks(self._status.shards)


def _server(status: ServerStatus) -> Iterator[Metric]:
    info = GaugeMetricFamily("wfe_server_info", "What serves.", labels=["version", "durability"])
    info.add_metric([status.version, status.durability], 1)
    yield info
    workflows = GaugeMetricFamily("wfe_workflows", "Workflows that are registered, by name.")
    workflows.add_metric([], status.workflows)
    yield workflows
    workers = GaugeMetricFamily("wfe_worker_processes", "Worker processes by their state.", labels=["state", "local"])
    counts: dict[tuple[str, str], int] = {}
    for worker in status.workers:
        key = (worker.state, "true" if worker.local else "false")
        counts[key] = counts.get(key, 0) + 1
    for labels, count in sorted(counts.items()):
        workers.add_metric(labels, count)
    yield workers


def _shards(shards: list[ShardStatus]) -> Iterator[Metric]:
    up = GaugeMetricFamily("wfe_shard_up", "Whether the shard serves.", labels=["shard"])
    restarts = CounterMetricFamily("wfe_shard_restarts", "Starts after the first.", labels=["shard"])
    recovery = GaugeMetricFamily("wfe_shard_recovery_seconds", "What the last recovery took.", labels=["shard"])
    recent = GaugeMetricFamily(
        "wfe_stage_recent_seconds", "Time per stage over the last ten seconds.", labels=["shard", "stage", "quantile"]
    )
    refused = CounterMetricFamily("wfe_starts_refused", "Starts that were refused.", labels=["shard", "reason"])
    for shard in shards:
        name = str(shard.index)
        up.add_metric([name], float(shard.state == "serving"))
        restarts.add_metric([name], shard.restarts)
        recovery.add_metric([name], shard.recovery_ms / 1000)
        if shard.stats is None:
            continue
        for stage, latency in shard.stats.latencies.items():
            recent.add_metric([name, stage, "0.5"], latency.p50_us / 1e6)
            recent.add_metric([name, stage, "0.99"], latency.p99_us / 1e6)
        for counter, reason in REFUSALS.items():
            refused.add_metric([name, reason], shard.stats.counters.get(counter, 0))
    yield from (up, restarts, recovery, recent, refused)
    for name, text in COUNTERS.items():
        yield _of_shards(CounterMetricFamily(f"wfe_{name}", text, labels=["shard"]), shards, name)
    for name, text in GAUGES.items():
        yield _of_shards(GaugeMetricFamily(f"wfe_{name}", text, labels=["shard"]), shards, name)


def _of_shards(
    family: CounterMetricFamily | GaugeMetricFamily, shards: list[ShardStatus], name: str
) -> CounterMetricFamily | GaugeMetricFamily:
    for shard in shards:
        if shard.stats is not None:
            value = (shard.stats.counters if name in COUNTERS else shard.stats.gauges).get(name, 0)
            family.add_metric([str(shard.index)], value)
    return family


def _workflows(shards: list[ShardStatus]) -> Iterator[Metric]:
    labels = ["shard", "workflow"]
    started = CounterMetricFamily("wfe_runs_started", "Runs that were started.", labels=labels)
    ended = CounterMetricFamily("wfe_runs_ended", "Runs that have ended.", labels=[*labels, "status"])
    took = HistogramMetricFamily("wfe_run_duration_seconds", "From start to end of a run.", labels=labels)
    for shard in shards:
        for run in shard.stats.runs if shard.stats is not None else ():
            where = [str(shard.index), run.workflow]
            started.add_metric(where, run.started)
            for status, count in (("completed", run.completed), ("failed", run.failed), ("cancelled", run.cancelled)):
                ended.add_metric([*where, status], count)
            took.add_metric(where, _buckets(run.buckets, RUN_BITS, 1e-3), run.sum_ms / 1e3)
    yield from (started, ended, took)


def _tasks(shards: list[ShardStatus]) -> Iterator[Metric]:
    labels = ["shard", "workflow", "task"]
    attempts = CounterMetricFamily("wfe_task_attempts", "Attempts that have ended.", labels=[*labels, "outcome"])
    took = HistogramMetricFamily("wfe_task_duration_seconds", "Execution of an attempt in its worker.", labels=labels)
    for shard in shards:
        for task in shard.stats.tasks if shard.stats is not None else ():
            where = [str(shard.index), task.workflow, task.task]
            attempts.add_metric([*where, "done"], task.done)
            attempts.add_metric([*where, "failed"], task.failed)
            took.add_metric(where, _buckets(task.buckets, TASK_BITS, 1e-6), task.sum_us / 1e6)
    yield from (attempts, took)


def _buckets(counts: list[int], bits: range, unit_s: float) -> list[tuple[str, float]]:
    """Cumulative counts: a duration of n bits is below two to the power of n units."""
    padded = (list(counts) + [0] * BUCKETS)[:BUCKETS]
    found = [(repr(round((1 << each) * unit_s, 6)), float(sum(padded[: each + 1]))) for each in bits]
    return [*found, ("+Inf", float(sum(padded)))]


@get(
    "/metrics",
    guards=[require_metrics_access],
    tags=["health"],
    summary="Metrics for Prometheus",
    responses={200: ResponseSpec(str, description="Text format.", media_type="text/plain", generate_examples=False)},
)
async def metrics(gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """Of all shards, and of this process."""
    try:
        status = await gateway.client.status()
    except (WfeError, TimeoutError):
        status = None
    registry = CollectorRegistry()
    registry.register(ServerMetrics(status, gateway.streams.taken))
    ProcessCollector(namespace="wfe_gateway", registry=registry)
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


ROUTES = [metrics]
