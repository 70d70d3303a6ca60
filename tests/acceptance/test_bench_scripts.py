"""The scripts of bench/ work at small sizes, and lose nothing at any."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import pages  # noqa: E402
import scale  # noqa: E402


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


def test_runs_that_wait_are_there_after_a_restart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scale, "W1_ROUNDS", 1)
    found = scale.measure("waiting", 100, 20, durability="none")
    assert found["restart"]["first_result_s"] > 0
    assert [each["failed"] for each in (*found["w1_empty"], *found["w1_beside"])] == [0, 0]


def test_a_killed_shard_answers_for_its_open_runs():
    found = scale.measure("kill", 100, 20, durability="os")
    assert found["first_result_s"] >= found["serving_again_s"] > 0


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
