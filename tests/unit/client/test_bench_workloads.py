"""The bench workloads: their graphs are valid, their numbers mean what they say, bad traces are refused."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.fake_front import FakeFront, FakeLink
from wfe.client import AsyncClient, aconnect_with
from wfe.client.bench import definitions, paced, rates, replay, waits, workloads
from wfe.client.bench.definitions import Kind as TaskKind
from wfe.client.bench.report import Report, percentile
from wfe.core.validate import validate
from wfe.errors import InvalidInput
from wfe.model.definition import walk
from wfe.model.policy import ErrorInfo
from wfe.wire.frames import Kind

TRACES = Path(os.environ.get("WFE_TRACES") or Path(__file__).parents[4] / "shared" / "wfinstances")


@pytest.fixture
def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
async def client(front: FakeFront) -> AsyncIterator[AsyncClient]:
    async with aconnect_with(front.link, "tcp://fake", "secret") as client:
        yield client


def a_trace(parents: dict[str, list[str]], seconds: dict[str, float], version: str = "1.5") -> dict[str, Any]:
    return {
        "name": "small",
        "schemaVersion": version,
        "workflow": {
            "specification": {"tasks": [{"id": task, "parents": before} for task, before in parents.items()]},
            "execution": {"tasks": [{"id": task, "runtimeInSeconds": value} for task, value in seconds.items()]},
        },
    }


DIAMOND = a_trace({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}, {"a": 1.0, "b": 2.0, "c": 5.0, "d": 1.5})


def written(tmp_path: Path, trace: object) -> Path:
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(trace))
    return file


def test_the_graphs_of_all_workloads_are_valid() -> None:
    dag = definitions.dag("d", {"t1": (), "t2": ("t1",)}, {"t1": 0.1, "t2": 0.2})
    kinds = [
        TaskKind(), TaskKind(on_loop=True), TaskKind(payload_bytes=100), TaskKind(True, 100), TaskKind(work_ms=1),
        TaskKind(wait_ms=0.5),
    ]  # fmt: skip
    shaped = [shape(10, kind) for shape in (definitions.chain, definitions.fanout) for kind in kinds]
    waits = [definitions.timer(), definitions.signals(3), definitions.waiting(), *definitions.mixed()]
    assert len({definition.workflow for definition in [*shaped, *waits]}) == len(shaped) + len(waits)
    for definition in (definitions.chain(0), *shaped, *waits, dag):
        assert [finding for finding in validate(definition) if finding.severity == "error"] == []
    assert len(list(walk(definitions.chain(10).nodes))) == 10


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([], 99) == 0
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([7], 99) == 7


async def test_a_chain_counts_runs_and_tasks(front: FakeFront, client: AsyncClient) -> None:
    report = await workloads.chain(client, chains=5, length=4, runs=40)
    assert (report.runs, report.tasks, report.failed) == (40, 160, 0)
    assert report.seconds > 0
    assert 0 < report.p50_ms <= report.p99_ms
    assert len(front.views) == 40 + 5
    assert {"tasks_per_s", "p50_ms", "p99_ms"} <= set(report.document(await client.status()))


async def test_runs_come_at_a_rate_and_none_waits_for_another(front: FakeFront) -> None:
    front.run = lambda name, value: None
    links: list[FakeLink] = []

    def link(address: str, on_frames: Any) -> FakeLink:
        links.append(front.link(address, on_frames))
        return links[-1]

    async with aconnect_with(link, "tcp://fake", "secret") as client:
        load = workloads.Load("chain", "hello", {}, [1], 1)
        offering = asyncio.ensure_future(paced.offer(client, load, 30, rate=1_000))
        while len(front.waiting) < 30:
            await asyncio.sleep(0)
        for number, run_id in enumerate(list(front.views)):
            error = ErrorInfo("Boom") if number == 0 else None
            links[0].deliver(front.end(run_id, "failed" if error else "completed", error=error))
        found = await offering
    assert (found.runs, found.failed, len(found.admissions_ms)) == (30, 1, 30)
    assert min(found.latencies_ms) > 0 <= min(found.admissions_ms)


async def test_a_share_of_the_maximum_is_offered(client: AsyncClient) -> None:
    report = await paced.chain(client, load_percent=50, chains=4, length=2, runs=10, peak_s=0.05, window_s=0.05)
    more = report.more
    assert more["offered_tasks_per_s"] == pytest.approx(more["peak_tasks_per_s"] / 2, rel=0.01)
    assert report.tasks == report.runs * 2 >= 20
    assert report.ok


async def test_a_load_is_a_rate_or_a_share(client: AsyncClient) -> None:
    with pytest.raises(InvalidInput, match="a rate or a share"):
        await paced.chain(client)
    with pytest.raises(InvalidInput, match="a rate or a share"):
        await paced.chain(client, rate=1, load_percent=1)


async def test_failed_runs_make_a_report_that_is_not_ok(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: ("failed", None, ErrorInfo("Boom"))
    report = await workloads.latency(client, runs=3)
    assert report.failed == 3
    assert not report.ok


async def test_a_fanout_gives_its_items_as_input(front: FakeFront, client: AsyncClient) -> None:
    report = await workloads.fanout(client, width=7, at_once=2, runs=4)
    assert report.tasks == 4 * 9
    assert front.sent(Kind.DEPLOY)


@dataclass
class BarePipes:
    """A floor of the test's own; ``asked``: the (runs, widths) that it was asked for."""

    asked: list[tuple[int, list[int]]] = field(default_factory=list)

    @dataclass
    class Figures:
        tasks: int
        seconds: float
        latencies_ms: list[float]

    def __call__(self, widths: list[int], *, runs: int, at_once: int, payload: bytes) -> Figures:
        self.asked.append((runs, widths))
        return self.Figures(runs * sum(widths), 1e-9, [0.5] * runs)


async def test_the_floor_takes_turns_with_the_engine_and_does_the_same(client: AsyncClient) -> None:
    floor = BarePipes()
    report = await workloads.chain(client, chains=2, length=3, runs=10, options=workloads.Options(4, floor))
    assert floor.asked[1:] == [(3, [1, 1, 1]), (3, [1, 1, 1]), (2, [1, 1, 1]), (2, [1, 1, 1])]
    assert report.runs == 10
    assert len(report.more["rounds_tasks_per_s"]) == 4
    assert 0 <= report.more["floor_ratio"] < 1
    assert report.more["floor_tasks_per_s"] > report.tasks_per_s


async def test_payloads_go_through_every_task(front: FakeFront, client: AsyncClient) -> None:
    report = await workloads.payload(client, size_bytes=1_000, length=2, at_once=2, runs=4)
    assert report.tasks == 8
    assert report.more["payload_mib_per_s"] > 0
    assert all(len(view.input) > 1_000 for view in front.views.values())


async def test_signals_are_counted_and_their_sum_is_checked(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: ("completed", 3, None)
    assert (await waits.signals(client, runs=4, each=3, at_once=2)).failed == 0
    report = await waits.signals(client, runs=4, each=2, at_once=2)
    assert (report.tasks, report.failed) == (8, 4)


async def test_a_timer_that_wakes_early_is_a_failure(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: ("completed", 7.0, None)
    report = await waits.timers(client, runs=3, within_s=0.1)
    assert (report.failed, report.p99_ms) == (0, 7.0)
    front.run = lambda name, value: ("completed", -50.0, None)
    assert (await waits.timers(client, runs=3, within_s=0.1)).failed == 3


@pytest.mark.parametrize("single", [True, False])
async def test_starts_are_counted_once_however_they_are_made(
    front: FakeFront, client: AsyncClient, single: bool
) -> None:
    report = await rates.starts(client, runs=30, single=single, clients=4)
    assert (report.runs, report.failed) == (30, 0)
    assert len(front.views) == 60  # those of the warm-up, too


def test_a_trace_is_read_with_its_critical_path(tmp_path: Path) -> None:
    trace = replay.read_trace(written(tmp_path, DIAMOND))
    assert trace.parents == {"t1": (), "t2": ("t1",), "t3": ("t1",), "t4": ("t2", "t3")}
    assert trace.critical_path_s() == pytest.approx(7.5)
    assert trace.edges == 4


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        ({}, "no WfFormat"),
        ([], "no WfFormat"),
        (a_trace({"a": []}, {"a": 1}, version="1.4"), "schema version 1.4"),
        (a_trace({"a": ["z"]}, {"a": 1}), "'z'"),
        (a_trace({"a": []}, {}), "'a'"),
        (a_trace({"a": ["b"], "b": ["a"]}, {"a": 1, "b": 1}), "wait for each other"),
        (a_trace({}, {}), "no tasks"),
    ],
)
def test_a_trace_that_cannot_be_run_is_refused(tmp_path: Path, trace: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        replay.read_trace(written(tmp_path, trace))


def test_two_tasks_of_one_id_are_not_taken_for_one(tmp_path: Path) -> None:
    trace = a_trace({"a": []}, {"a": 1})
    trace["workflow"]["specification"]["tasks"] *= 2
    with pytest.raises(InvalidInput, match="two tasks of one id"):
        replay.read_trace(written(tmp_path, trace))


async def test_a_replay_notices_tasks_that_began_before_their_parents_ended(
    tmp_path: Path, front: FakeFront, client: AsyncClient
) -> None:
    now = time.monotonic()
    right = {"t1": [now, now + 1], "t2": [now + 1, now + 2], "t3": [now + 1, now + 2], "t4": [now + 2, now + 3]}
    trace = replay.read_trace(written(tmp_path, DIAMOND))
    front.run = lambda name, value: ("completed", right, None)
    report: Report = await replay.replay(client, trace, time_scale=0.01)
    assert report.ok
    assert report.more["critical_path_s"] == pytest.approx(0.075)
    wrong = {**right, "t4": [now + 1.5, now + 3]}
    front.run = lambda name, value: ("completed", wrong, None)
    report = await replay.replay(client, trace, time_scale=0.01)
    assert report.more["started_too_early"] == ["t4"]
    assert not report.ok


@pytest.mark.skipif(not (TRACES / "INDEX.json").exists(), reason="no traces: WFE_TRACES names their directory")
def test_recorded_traces_have_the_shape_that_their_index_says() -> None:
    for entry in json.loads((TRACES / "INDEX.json").read_text()):
        trace = replay.read_trace(TRACES / entry["file"])
        assert (len(trace.parents), trace.edges) == (entry["tasks"], entry["edges"])
        assert trace.critical_path_s() == pytest.approx(entry["critical_path_s"], abs=0.1)
        definition = definitions.dag("trace", trace.parents, dict.fromkeys(trace.parents, 0.0))
        assert [finding for finding in validate(definition) if finding.severity == "error"] == []
