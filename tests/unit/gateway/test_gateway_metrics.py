"""Metrics: what Prometheus reads, its names as documented, and nothing per run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.http import HttpEnv
from wfe.gateway.metrics import ServerMetrics, _buckets
from wfe.wire.messages import Latency, ServerStatus, ShardStats, ShardStatus, WorkerStatus
from wfe.wire.stats import BUCKETS, RunTally, TaskTally

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


def a_status() -> ServerStatus:
    buckets = [0] * BUCKETS
    buckets[11] = 3
    stats = ShardStats(
        1, 2, 3, {"commits": 7, "starts_refused_busy": 2}, {"tasks_ready": 5}, {"commit": Latency(1, 500, 900, 950)},
        [TaskTally("order", 'ch"arge\n', 2, 1, 4_500_000, buckets)], [RunTally("order", 4, 2, 1, 0, 6_000, buckets)],
    )  # fmt: skip
    shards = [ShardStatus(0, "restarting", restarts=3), ShardStatus(1, "serving", stats=stats, recovery_ms=250)]
    workers = [WorkerStatus("a", True), WorkerStatus("b", False), WorkerStatus("c", False)]
    return ServerStatus("s", "degraded", "1.0", "data", "sync", 4, 0, shards, workers, 2)


def samples(status: ServerStatus | None) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in ServerMetrics(status).collect()
        for sample in family.samples
    }


def test_each_number_is_where_it_belongs() -> None:
    found = samples(a_status())
    assert found[("wfe_up",)] == 0
    assert (found["wfe_shard_up", "0"], found["wfe_shard_up", "1"]) == (0, 1)
    assert found["wfe_shard_restarts_total", "0"] == 3
    assert found["wfe_commits_total", "1"] == 7
    assert found["wfe_starts_refused_total", "busy", "1"] == 2
    assert found["wfe_tasks_ready", "1"] == 5
    assert found["wfe_stage_recent_seconds", "0.99", "1", "commit"] == 0.0009
    assert found["wfe_runs_ended_total", "1", "failed", "order"] == 1
    assert found["wfe_task_attempts_total", "failed", "1", 'ch"arge\n', "order"] == 1
    assert found["wfe_task_duration_seconds_sum", "1", 'ch"arge\n', "order"] == 4.5
    assert found["wfe_worker_processes", "false", "connected"] == 2


def test_a_server_that_is_away_is_down_and_no_error() -> None:
    assert samples(None) == {("wfe_up",): 0.0, ("wfe_gateway_streams",): 0.0}


def test_buckets_are_cumulative_and_hold_everything() -> None:
    counts = [0] * BUCKETS
    counts[1], counts[8], counts[9], counts[-1] = 1, 1, 1, 1
    found = dict(_buckets(counts, range(8, 37, 2), 1e-6))
    assert (found["0.000256"], found["0.001024"], found["+Inf"]) == (2, 3, 4)
    assert list(found.values()) == sorted(found.values())
    assert dict(_buckets([], range(8, 37, 2), 1e-6))["+Inf"] == 0


@pytest.fixture(scope="module")
def http() -> Iterator[HttpEnv]:
    with HttpEnv() as http:
        yield http


def test_prometheus_can_read_the_page(http: HttpEnv) -> None:
    text = "workflow: flow\nnodes: [{set: 1, id: one}]"
    http.ask("POST", "/api/v1/definitions", body=text.encode(), headers={"content-type": "application/yaml"})
    run_id = http.post("/api/v1/runs", {"workflow": "flow"}).json()["id"]
    http.env.skip("3s")
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["wfe_runs_ended"].samples[0].labels["workflow"] == "flow"
    assert run_id not in answer.text
    assert "wfe_gateway_process_resident_memory_bytes" in families


def test_metrics_need_the_token_unless_they_are_open(http: HttpEnv) -> None:
    assert http.get("/metrics", token=None).status == 401
    with HttpEnv(metrics_open=True) as open_one:
        assert open_one.get("/metrics", token=None).status == 200


def test_the_page_lists_every_metric_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(wfe_[a-z_]+)`", PAGE.read_text(), re.MULTILINE))
    collected = {
        family.name + ("_total" if family.type == "counter" else "") for family in ServerMetrics(a_status()).collect()
    }
    assert documented == collected
