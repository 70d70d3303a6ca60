"""Capacity planning: the arithmetic, and a page that needs nothing but a browser."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest
from msgspec import structs

from wfe.client.bench import plan_page
from wfe.client.bench.plan import Calibration, Point, Wanted, document, latency_ms, make_plan
from wfe.client.bench.plots import Bar, Mark, Series, bars, lines

FOUND = Calibration(
    curve=[Point(1_000, 1.0, 2.0), Point(10_000, 2.0, 4.0), Point(50_000, 10.0, 30.0)],
    cpu_us={"shard": 12.0, "coordinator": 2.0, "worker": 6.0, "client": 4.0},
    commit_ms=0.3,
    disk_bytes_per_run=1_000.0,
    memory_bytes_per_open_run=4_096.0,
    base_memory_mb={"shard": 90.0, "coordinator": 25.0, "worker": 30.0},
    cores=2,
    memory_mb=4_096.0,
    disk_free_bytes=100 * 2.0**30,
)


def test_a_small_load_needs_one_of_each():
    plan = make_plan(Wanted(rate=10, steps=5), FOUND)
    assert (plan.shards, plan.workers, plan.fits) == (1, 1, True)
    assert plan.memory_mb == pytest.approx(145, abs=1)
    assert plan.p50_ms == 5 * 1.0


def test_shards_are_planned_to_be_busy_for_a_part_of_the_time_only():
    plan = make_plan(Wanted(rate=10_000, steps=10), FOUND)
    assert plan.shards == 4
    assert plan.shard_busy_share == 0.5
    assert not plan.fits
    assert plan.breaks_first == "disk within the retention"


def test_waiting_tasks_need_slots_and_busy_ones_need_cores():
    waits = make_plan(Wanted(rate=100, steps=10, task_ms=100), FOUND)
    assert waits.workers * waits.slots_per_worker >= 100 / 0.6
    assert waits.cores < 1
    busy = make_plan(Wanted(rate=100, steps=10, task_ms=100, cpu_bound=True), FOUND)
    assert busy.workers > 100
    assert busy.cores > 100
    assert busy.breaks_first == "cores of this machine"
    assert busy.short_of == ["cores of this machine", "memory of this machine"]


def test_open_runs_are_rate_times_duration_and_take_memory():
    plan = make_plan(Wanted(rate=1_000, steps=1, task_ms=60_000), FOUND)
    assert plan.open_runs == pytest.approx(60_000, rel=0.01)
    assert plan.memory_mb > 60_000 * 4_096 / (1 << 20)


def test_known_costs_give_known_answers():
    wanted = Wanted(rate=600, steps=10, payload_bytes=100, task_ms=8.0, retention_days=2)
    plan = make_plan(wanted, FOUND)
    assert (plan.shards, plan.workers) == (1, 2)  # 6,000 tasks/s of 8 ms: 80 slots at 60 %, 64 to a worker
    assert plan.slots_per_worker == 41
    assert plan.cores == round(6_000 * 20e-6 / 0.6, 2)
    median = 1.0 + 5_000 / 9_000
    assert plan.p50_ms == round(10 * (median + 8.0), 2)
    assert plan.open_runs == pytest.approx(600 * plan.p50_ms / 1_000, abs=0.1)
    assert plan.memory_mb == pytest.approx(25 + 90 + 2 * 30 + plan.open_runs * 4_096 / 2**20, abs=0.1)
    assert plan.disk_gb_kept == pytest.approx(2 * 600 * 86_400 * 1_000 / 2**30, abs=0.01)
    assert plan.disk_full_after_days == pytest.approx(100 * 2**30 / (600 * 86_400 * 1_000), abs=0.01)
    assert plan.fits
    assert plan.short_of == []


@pytest.mark.parametrize("cpu_bound", [False, True])
def test_more_runs_never_need_less(cpu_bound: bool):
    plans = [
        make_plan(Wanted(rate=rate, steps=5, task_ms=3.0, cpu_bound=cpu_bound), FOUND)
        for rate in (1, 10, 100, 1_000, 3_000, 10_000, 40_000)
    ]
    for less, more in itertools.pairwise(plans):
        assert less.shards <= more.shards
        assert less.workers * less.slots_per_worker <= more.workers * more.slots_per_worker
        assert less.cores <= more.cores
        assert less.memory_mb <= more.memory_mb
        assert less.disk_gb_per_day < more.disk_gb_per_day
        assert set(less.short_of) <= set(more.short_of)


def test_latency_is_what_was_measured_at_the_very_rate_if_it_was():
    measured = structs.replace(FOUND, at_rate=Point(6_000, 1.25, 9.0))
    plan = make_plan(Wanted(rate=600, steps=10), measured)
    assert (plan.p50_ms, plan.p99_ms) == (12.5, 90.0)
    several = make_plan(Wanted(rate=60_000, steps=1), measured)
    assert several.shards > 1
    assert several.p50_ms == make_plan(Wanted(rate=60_000, steps=1), FOUND).p50_ms


def test_disk_is_counted_per_day_and_for_the_retention():
    plan = make_plan(Wanted(rate=10, steps=1, retention_days=30), FOUND)
    assert plan.disk_gb_per_day == pytest.approx(10 * 86_400 * 1_000 / 2**30, abs=0.001)
    assert plan.disk_gb_kept == pytest.approx(30 * plan.disk_gb_per_day, rel=0.01)


def test_twice_the_rate_breaks_at_the_same_rate():
    small, large = (make_plan(Wanted(rate=rate, steps=10), FOUND) for rate in (100, 200))
    disk = [next(each for each in plan.limits if "disk" in each.what) for plan in (small, large)]
    assert disk[0].breaks_at_runs_per_s == pytest.approx(disk[1].breaks_at_runs_per_s, rel=0.01)
    assert small.limits == sorted(small.limits, key=lambda limit: limit.breaks_at_runs_per_s)


@pytest.mark.parametrize(
    ("load", "median"), [(0, 1.0), (1_000, 1.0), (5_500, 1.5), (10_000, 2.0), (50_000, 10.0), (90_000, 10.0)]
)
def test_latency_lies_between_the_points_that_were_measured(load: float, median: float):
    assert latency_ms(FOUND.curve, load)[0] == pytest.approx(median)


def test_the_page_needs_no_script_and_no_network():
    wanted = Wanted(rate=10_000, steps=10, payload_bytes=100)
    text = plan_page.page(wanted, FOUND, make_plan(wanted, FOUND), "today")
    assert not re.search(r"<script|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)
    assert "too small" in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_the_document_holds_load_plan_and_measurements():
    wanted = Wanted(rate=1, steps=1)
    made = document(wanted, FOUND, make_plan(wanted, FOUND))
    assert set(made) == {"load", "plan", "calibration"}
    assert made["calibration"]["shard_tasks_per_s"] == 50_000


def test_plots_are_well_formed_whatever_they_show():
    for drawing in (
        bars("a < b & c", [Bar("x", 1.0), Bar("y", 1_000_000.0, "much")], logarithmic=True),
        bars("none", []),
        bars("zero", [Bar("x", 0.0)]),
        lines("empty", []),
        lines("one", [Series("a", [(1, 0)])]),
        lines(
            "marked", [Series("a", [(0, 0), (9, 5)])], marks=[Mark("x", 3), Mark("y", 2, across=True), Mark("z", 99)]
        ),
        lines("marked", [Series("a", [(1, 0), (9, 5)])], marks=[Mark("none", 0)], logarithmic_x=True),
        lines("many", [Series("a", [(10**n, n) for n in range(1, 9)]), Series("b", [(5, 3)])], logarithmic_x=True),
    ):
        ElementTree.fromstring(drawing)


def test_a_machine_without_enough_memory_does_not_fit():
    small = structs.replace(FOUND, memory_mb=100.0)
    plan = make_plan(Wanted(rate=1, steps=1), small)
    assert not plan.fits
    assert plan.breaks_first == "memory of this machine"


def test_marks_outside_of_a_plot_are_left_out_and_labels_do_not_meet():
    drawing = lines("t", [Series("a", [(0, 1), (10, 2)])], marks=[Mark("inside", 5), Mark("outside", 50)])
    assert "inside" in drawing
    assert "outside" not in drawing
    close = lines("t", [Series("a", [(1, 1), (10, 2), (10.1, 3), (1_000, 4)])], logarithmic_x=True)
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="330.0"', close)]
    assert len(places) >= 2
    assert all(right - left >= 46 for left, right in itertools.pairwise(places))
