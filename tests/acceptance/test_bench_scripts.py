"""The scripts of bench/ work at small sizes, and lose nothing at any."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import large  # noqa: E402
import pages  # noqa: E402
import run as whole  # noqa: E402
import scale  # noqa: E402
from wfe.client.bench import replay  # noqa: E402
from wfe.limits import RUN_CHUNKS_MAX  # noqa: E402

_spec = importlib.util.spec_from_file_location("peers_run", ROOT / "bench" / "peers" / "run.py")
assert _spec is not None
assert _spec.loader is not None
peers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(peers)


def script(name: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / name), *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_floor_alone_measures_every_shape():
    found = script("floor.py", "--divide", "200", "--durability", "none")
    assert set(found) == {"W1", "W2", "W3", "W4"}
    assert all(each["tasks_per_s"] > 0 < each["p50_ms"] <= each["p99_ms"] for each in found.values())


def test_a_server_that_is_watched_and_traced_does_the_same():
    found = script("watched.py", "--rounds", "1", "--runs", "30", "--sample", "1")
    assert found["ratio"] > 0
    assert set(found["cpu_us_per_task"]["watched"]) == {"coordinator", "gateway", "shard", "tracer", "worker"}
    assert found["seen"]["scrapes"] > 0


def test_runs_that_wait_are_there_after_a_restart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scale, "W1_ROUNDS", 1)
    found = scale.measure("waiting", 100, 20, durability="none")
    assert found["restart"]["first_result_s"] > 0
    assert [each["failed"] for each in (*found["w1_empty"], *found["w1_beside"])] == [0, 0]


def test_a_killed_shard_answers_for_its_open_runs():
    found = scale.measure("kill", 100, 20, durability="os")
    assert found["first_result_s"] >= found["serving_again_s"] > 0


def test_a_long_run_keeps_little_in_memory_and_comes_back():
    found = script("long_run.py", "--events", "20000")
    assert found["tenths"][-1]["events"] > 19_000
    # What is being written stays until the disk has it, and more comes meanwhile; without a bound it would be 10,000.
    assert all(tenth["chunks_in_memory"] <= 3 * RUN_CHUNKS_MAX for tenth in found["tenths"])
    assert found["tenths"][-1]["snapshot_bytes"] < 2 * found["tenths"][0]["snapshot_bytes"]


def test_nothing_that_was_accepted_is_lost_under_overload():
    found = script("overload.py", "--for", "1", "--slots", "4")
    assert found["accepted"] > 0
    assert (found["lost"], found["failed"]) == (0, 0)


def test_runs_are_put_on_one_shard_and_one_partition():
    (found,) = script("skew.py", "--shards", "2", "--wait-ms", "1", "--seconds", "0.2", "--rounds", "1")
    assert found["balanced_share"] == 1.0
    assert found["one_shard_tasks_per_s"] > 0 < found["one_partition_tasks_per_s"]


def test_a_block_of_a_page_is_replaced_and_the_rest_stays(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end of one -->\nafter\n")
    pages.replace_block("one", pages.table(["a"], [["1"]]), page)
    assert page.read_text() == "before\n<!-- one -->\n| a |\n| --- |\n| 1 |\n<!-- end of one -->\nafter\n"
    with pytest.raises(ValueError, match="no block 'two'"):
        pages.replace_block("two", "", page)


def test_the_performance_page_has_every_block_that_is_written_into_it():
    text = pages.PAGE.read_text(encoding="utf-8")
    for name in ("workloads", "parts", "peers", "scale", "overload", "skew"):
        assert f"<!-- {name} -->" in text
        assert f"<!-- end of {name} -->" in text


FIGURES = {
    "at": "2026-01-01 10:00 UTC", "tasks_per_s": 50.0, "p50_ms": 1.0, "p99_ms": 2.0, "commit_ms": 0.3,
    "memory_mb": {"shard": 90.0, "worker": 10.0}, "written_bytes_per_task": 250.0, "syncs_per_task": 0.03,
    "stages": {"admission": {"p50_ms": 1.5, "p99_ms": 9.0}, "queue": {"p50_ms": 0.5, "p99_ms": 3.0}, "result": None,
               "batch": {"p50_ms": 0.25, "p99_ms": 4.0}},
}  # fmt: skip


def test_the_tables_of_workloads_show_every_stage_and_the_load_at_half():
    half = {**FIGURES, "offered_tasks_per_s": 25.0, "peak_tasks_per_s": 50.0}
    found = {"W7": FIGURES, "W1, half load": half}
    (_, _, row, _) = whole.stage_table(found).splitlines()
    assert row.split(" | ")[:2] == ["| W7", "1.5 / 9"]
    assert row.split(" | ")[-3:] == ["100", "250", "0.03 |"]
    assert "ready to dispatched p50 0.5 ms, p99 3.0 ms" in whole.half_load(found)
    assert len(whole.workload_table(found).splitlines()) == 4


def test_benchmarks_that_were_stopped_go_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    measured: list[str] = []

    def measure(name: str, *, quick: bool) -> dict[str, Any]:
        measured.append(name)
        return FIGURES

    monkeypatch.setattr(whole, "measured", measure)
    out = tmp_path / "wfe.json"
    for arguments in (["--only", "W7"], ["--only", "W7", "W9", "--resume"]):
        monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(out), *arguments])
        assert whole.main() == 0
    assert measured == ["W7", "W9"]
    assert set(json.loads(out.read_text())["workloads"]) == {"W7", "W9"}
    monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(out), "--only", "W6", "--minutes", "-1"])
    assert whole.main() == 1
    assert "left out" in capsys.readouterr().err


def test_a_trace_that_is_written_can_be_replayed(tmp_path: Path):
    trace = replay.read_trace(whole.a_trace(tmp_path))
    assert len(trace.parents) == 1_002


def test_an_engine_that_fails_is_named_and_costs_no_other():
    def fine(workload: str) -> dict[str, Any]:
        return FIGURES

    def broken(workload: str) -> dict[str, Any]:
        raise peers.Failed("no disk")

    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    found = [peers.Engine("wfe", fine), peers.Engine("Other", broken), peers.Engine("Third", fine)]
    for number in (1, 2):
        peers.one_round(number, found, results, failures)
    assert failures == {"Other": "chain: no disk"}
    assert [len(results["Third"][work]) for work in peers.WORKLOADS] == [2, 2, 2]
    assert "| Third | 50 (50 to 50), wfe 1 times |" in peers.text_of(results)


def test_a_script_that_prints_no_figures_is_a_failure_with_its_reason():
    with pytest.raises(peers.Failed, match="no JSON"):
        peers.run_json([sys.executable, "-c", "print('hello')"])
    with pytest.raises(peers.Failed, match="exit code 3: broken"):
        peers.run_json([sys.executable, "-c", "import sys; print('broken', file=sys.stderr); sys.exit(3)"])


def test_large_benchmarks_that_were_stopped_go_on_and_one_that_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    measured: list[str] = []

    def measure(part: str, divide: int) -> dict[str, Any]:
        measured.append(part)
        if part == "kill" and len(measured) == 1:
            raise RuntimeError("no shard")
        return {"runs": 1_000, "serving_again_s": 0.4}

    monkeypatch.setattr(large, "measured", measure)
    common = ["large.py", "--dry-run", "--out", str(tmp_path / "large.json"), "--only", "kill", "flight"]
    monkeypatch.setattr(sys, "argv", common)
    assert large.main() == 1
    assert "kill failed: RuntimeError: no shard" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*common, "--resume"])
    assert large.main() == 0
    assert measured == ["kill", "flight", "kill"]
    text = large.scale_text({"kill": measure("kill", 1)})
    assert text == "- SIGKILL of the shard with 1,000 open runs: serving again after 0.4 s"
