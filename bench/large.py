"""`make bench-scale`: scale, overload and skew one after the other, and their tables and plots in docs/performance.md.

`python bench/large.py --divide 100 --dry-run` does the same a hundred times smaller.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import overload
import scale
import skew
from pages import replace_block, table, write_plot
from wfe.client.bench.definitions import Kind
from wfe.client.bench.plots import Series, lines

Figures = dict[str, Any]
ALL = ["scale", "overload", "skew"]


def memory_of(figures: Figures) -> str:
    return ", ".join(f"{role} {size:,.0f}" for role, size in sorted(figures["memory_mb"].items()))


def scale_text(found: dict[str, Figures]) -> str:
    """What scale.py measured, as Markdown."""
    store, flight, waiting, kill = (found[name] for name in ("store", "flight", "waiting", "kill"))
    steps = [
        [f"{step['runs']:,}", f"{step['tasks_per_s']:,.0f}", f"{step['cpu_us_per_task'].get('shard', 0):.1f}"]
        for step in store["steps"]
    ]
    share, restart = waiting["throughput_share"], waiting["restart"]
    facts = [
        f"{flight['runs']:,} runs in flight at once: {flight['tasks_per_s']:,.0f} tasks/s, "
        f"memory in MiB: {memory_of(flight)}",
        f"{waiting['runs']:,} runs that wait: memory in MiB: {memory_of(waiting)} "
        f"({waiting['bytes_per_run']:,} bytes each); W1 beside them at {100 * share:.0f} % of an empty server",
        f"restart with them: ready after {restart['ready_s']} s, first result after {restart['first_result_s']} s",
        f"SIGKILL of the shard with {kill['runs']:,} open runs: serving again after {kill['serving_again_s']} s",
    ]
    plot = lines(
        "Cost of a task as the store fills",
        [Series("shard", [(step["runs"], step["cpu_us_per_task"].get("shard", 0)) for step in store["steps"]])],
        x="finished runs in the store",
        y="CPU us per task",
        logarithmic_x=True,
    )
    columns = ["finished runs in the store", "W1 tasks/s", "shard CPU us/task"]
    return "\n\n".join([table(columns, steps), "\n".join(f"- {fact}" for fact in facts), write_plot("scale", plot)])


def overload_text(figures: Figures, seconds: float) -> str:
    pace = seconds / max(len(figures["memory_mb"]) - 1, 1)
    points = [(place * pace, size) for place, size in enumerate(figures["memory_mb"])]
    plot = lines("Memory of the server under three times its capacity", [Series("MiB", points)], x="s", y="MiB")
    row = [
        f"{figures['peak_runs_per_s']:,.0f}", f"{figures['offered_per_s']:,.0f}",
        f"{figures['goodput_runs_per_s']:,.0f} ({100 * figures['goodput_share']:.0f} %)", f"{figures['refused']:,}",
        f"{figures['admission_p50_ms']} / {figures['admission_p99_ms']}", str(figures["lost"]),
    ]  # fmt: skip
    columns = ["peak runs/s", "offered", "goodput (of the peak)", "refused", "admitted starts p50 / p99 ms", "lost"]
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--divide", type=int, default=1, help="make everything so many times smaller")
    parser.add_argument("--dry-run", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument(
        "--only", nargs="+", choices=["scale", "overload", "skew"], default=["scale", "overload", "skew"]
    )
    given = parser.parse_args()
    found: dict[str, Any] = {}
    texts: dict[str, str] = {}
    if "scale" in given.only:
        w1_runs = max(scale.W1_RUNS // given.divide, 50)
        found["scale"] = {
            name: scale.measure(name, runs // given.divide, w1_runs) for name, (_, runs) in scale.PARTS.items()
        }
        texts["scale"] = scale_text(found["scale"]) if not given.dry_run else ""
    if "overload" in given.only:
        seconds = max(60.0 / given.divide, 2.0)
        found["overload"] = overload.measure(seconds, 3.0, Kind(wait_ms=5.0))
        texts["overload"] = overload_text(found["overload"], seconds) if not given.dry_run else ""
    if "skew" in given.only:
        seconds = max(5.0 / given.divide, 0.5)
        found["skew"] = [
            skew.measure(shards, Kind(wait_ms=wait_ms), seconds=seconds, slots=8, rounds=3 if given.divide == 1 else 1)
            for shards in (2, 4)
            for wait_ms in (1.0, 10.0)
        ]
        texts["skew"] = skew_text(found["skew"]) if not given.dry_run else ""
    if not given.dry_run:
        for name, text in texts.items():
            replace_block(name, text)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
