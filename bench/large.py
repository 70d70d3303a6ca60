"""`make bench-scale`: scale, overload and skew one after the other, and their tables and plots in docs/performance.md.

What was measured is kept in a JSON document after each part, and the page is written anew: whoever has to stop keeps
what there is, and ``--resume`` measures only what is missing. A part that fails is named at the end and costs no other;
what would begin after ``--minutes`` is left out. `python bench/large.py --divide 100 --dry-run` does the same a hundred
times smaller.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import overload
import scale
import skew
from pages import ROOT, replace_block, table, write_plot
from run import machine
from wfe.client.bench.definitions import Kind
from wfe.client.bench.plots import Series, lines
from wfe.errors import WfeError

Figures = dict[str, Any]
PARTS = [*scale.PARTS, "overload", "skew"]
RESULTS = ROOT / ".benchmarks" / "large.json"


def memory_of(figures: Figures) -> str:
    return ", ".join(f"{role} {size:,.0f}" for role, size in sorted(figures["memory_mb"].items()))


def scale_text(found: dict[str, Figures]) -> str:
    """What scale.py measured so far, as Markdown."""
    texts, facts = [], []
    if store := found.get("store"):
        steps = store["steps"]
        rows = [
            [f"{step['runs']:,}", f"{step['tasks_per_s']:,.0f}", f"{step['cpu_us_per_task'].get('shard', 0):.1f}"]
            for step in steps
        ]
        texts.append(table(["finished runs in the store", "W1 tasks/s", "shard CPU us/task"], rows))
    if flight := found.get("flight"):
        facts.append(
            f"{flight['runs']:,} runs in flight at once: {flight['tasks_per_s']:,.0f} tasks/s, "
            f"memory in MiB: {memory_of(flight)}"
        )
    if waiting := found.get("waiting"):
        share, restart = waiting["throughput_share"], waiting["restart"]
        facts += [
            f"{waiting['runs']:,} runs that wait: memory in MiB: {memory_of(waiting)} "
            f"({waiting['bytes_per_run']:,} bytes each), {waiting['resident_mb']:,.0f} resident with shared pages; "
            f"W1 beside them at {100 * share:.0f} % of an empty server",
            f"restart with them: ready after {restart['ready_s']} s, first result after {restart['first_result_s']} s",
        ]
    if kill := found.get("kill"):
        facts.append(
            f"SIGKILL of the shard with {kill['runs']:,} open runs: serving again after {kill['serving_again_s']} s"
        )
    if facts:
        texts.append("\n".join(f"- {fact}" for fact in facts))
    if store:
        plot = lines(
            "Cost of a task as the store fills",
            [Series("shard", [(step["runs"], step["cpu_us_per_task"].get("shard", 0)) for step in store["steps"]])],
            x="finished runs in the store",
            y="CPU us per task",
            logarithmic_x=True,
        )
        texts.append(write_plot("scale", plot))
    return "\n\n".join(texts)


def overload_text(figures: Figures, seconds: float) -> str:
    pace = seconds / max(len(figures["memory_mb"]) - 1, 1)
    points = [(place * pace, size) for place, size in enumerate(figures["memory_mb"])]
    plot = lines("Memory of the server under three times its capacity", [Series("MiB", points)], x="s", y="MiB")
    row = [
        f"{figures['peak_runs_per_s']:,.0f}", f"{figures['offered_per_s']:,.0f}",
        f"{figures['goodput_runs_per_s']:,.0f} ({100 * figures['goodput_share']:.0f} %)", f"{figures['refused']:,}",
        f"{figures['modest_start_p99_ms']}", f"{figures['modest_run_p99_ms']:,.0f}", str(figures["lost"]),
    ]  # fmt: skip
    columns = [
        "peak runs/s", "offered", "goodput (of the peak)", "refused", "a modest client's starts, p99 ms",
        "its runs, p99 ms", "lost",
    ]  # fmt: skip
    return f"{table(columns, [row])}\n\n{write_plot('overload', plot)}"


def skew_text(found: list[Figures]) -> str:
    rows = [
        [
            str(each["shards"]), f"{each['task_ms']:g} ms", f"{each['balanced_tasks_per_s']:,.0f}",
            f"{100 * each['one_shard_share']:.0f} %", f"{100 * each['one_partition_share']:.0f} %",
        ]
        for each in found
    ]  # fmt: skip
    return table(["shards", "task", "balanced tasks/s", "all on one shard", "all on one partition"], rows)


def measured(part: str, divide: int) -> Any:
    """The figures of one part."""
    if part == "overload":
        return overload.measure(overload_s(divide), 3.0, Kind(wait_ms=5.0))
    if part == "skew":
        seconds = max(5.0 / divide, 0.5)
        return [
            skew.measure(shards, Kind(wait_ms=wait_ms), seconds=seconds, slots=8, rounds=3 if divide == 1 else 1)
            for shards in (2, 4)
            for wait_ms in (1.0, 10.0)
        ]
    return scale.measure(part, scale.PARTS[part][1] // divide, max(scale.W1_RUNS // divide, 50))


def overload_s(divide: int) -> float:
    return max(60.0 / divide, 2.0)


def write_page(found: dict[str, Any], divide: int) -> None:
    """All that is known so far."""
    large = {name: found[name] for name in scale.PARTS if name in found}
    about = machine()
    where = f"wfe {about['wfe']}, Python {about['python']}, {about['system']}, {about['cores']} cores, {about['at']}."
    if large:
        replace_block("scale", f"{where}\n\n{scale_text(large)}")
    if "overload" in found:
        replace_block("overload", f"{where}\n\n{overload_text(found['overload'], overload_s(divide))}")
    if "skew" in found:
        replace_block("skew", f"{where}\n\n{skew_text(found['skew'])}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--divide", type=int, default=1, help="make everything so many times smaller")
    parser.add_argument("--dry-run", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--minutes", type=float, default=40.0, help="begin no further part after so long")
    parser.add_argument("--resume", action="store_true", help="keep what the JSON holds, measure what it does not")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    if given.resume and given.out.exists():
        found = json.loads(given.out.read_text(encoding="utf-8"))
    missing: dict[str, str] = {}
    until_s = time.monotonic() + 60 * given.minutes
    for part in given.only:
        if part in found:
            continue
        if time.monotonic() > until_s:
            missing[part] = f"left out: {given.minutes:g} minutes were over (--resume measures it)"
            continue
        try:
            found[part] = measured(part, given.divide)
        except (WfeError, OSError, RuntimeError, ValueError, AssertionError) as error:
            missing[part] = f"failed: {type(error).__name__}: {error}"
            continue
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if not given.dry_run:
            write_page(found, given.divide)
    print(json.dumps(found))
    for name, why in missing.items():
        print(f"{name} {why}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
