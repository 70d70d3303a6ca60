"""`make bench`: a ten-minute subset of the benchmarks, into one JSON document and the tables of docs/performance.md.

The parts (bench/parts, by pytest-benchmark), then W1 to W4 with the floor beside them, W1 as async functions with
100-byte payloads, W1 on a disk that is 3 ms slower, both ways of starting runs, large payloads, timers and signals. The
document also names the machine, since no figure means anything without it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pages import ROOT, replace_block, table
from wfe import __version__

RESULTS = ROOT / ".benchmarks" / "wfe.json"
Figures = dict[str, Any]
FLOOR = ["--floor", "--rounds", "5"]
COMMANDS: dict[str, tuple[str, list[str], list[str]]] = {
    # name: (what it shows, the command, what a quick run does instead)
    "W1": ("200 chains of 10 tasks", ["chain", "--runs", "20000", *FLOOR], ["--runs", "400"]),
    "W2": ("20 fan-outs 1 -> 100 -> 1", ["fanout", "--runs", "2000", *FLOOR], ["--runs", "40"]),
    "W3": ("a lone task", ["latency", "--runs", "5000", *FLOOR], ["--runs", "50"]),
    "W4": ("fan-in 1 -> 10,000 -> 1", ["fanin", "--runs", "60", *FLOOR], ["--runs", "5", "--width", "1000"]),
    "W1 async, 100 B": (
        "W1, async functions, 100-byte payloads",
        ["chain", "--async", "--payload-bytes", "100", "--runs", "10000", *FLOOR],
        ["--runs", "400"],
    ),
    "W1, disk + 3 ms": (
        "W1, every commit takes 3 ms more",
        ["chain", "--commit-delay-ms", "3", "--runs", "5000", *FLOOR],
        ["--runs", "400"],
    ),
    "W5": ("values of 1 MiB through 2 tasks", ["payload", "--runs", "200", *FLOOR], ["--runs", "10"]),
    "W6": ("100,000 timers due within a minute", ["timers"], ["--runs", "500", "--within", "1s"]),
    "W7": ("signals, 64 at a time", ["signals", "--runs", "4000"], ["--runs", "50"]),
    "start_many": ("durable starts per second, in bulk", ["starts", "--runs", "200000"], ["--runs", "1000"]),
    "start": (
        "durable starts per second, 64 client tasks",
        ["starts", "--single", "--runs", "50000"],
        ["--runs", "500"],
    ),
}
TIMEOUT_S = 600


def bench(arguments: list[str]) -> Figures:
    """One `wfe bench` command's document."""
    command = [sys.executable, "-c", "from wfe.cli import main; main()", "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise SystemExit(f"wfe bench {' '.join(arguments)} failed:\n{done.stdout[-500:]}\n{done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout)
    return found


def parts(quick: bool) -> dict[str, Figures]:
    """Medians of bench/parts: microseconds per round, and per unit (event, task, message)."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "parts.json"
        command = [sys.executable, "-m", "pytest", "-q", str(ROOT / "bench" / "parts"), "-p", "no:cacheprovider"]
        options = [f"--benchmark-json={out}", f"--benchmark-max-time={0.05 if quick else 1.0}"]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        document = json.loads(out.read_text(encoding="utf-8"))
    found = {}
    for each in document["benchmarks"]:
        median_us = each["stats"]["median"] * 1e6
        units = each["extra_info"].get("units", 1)
        found[each["name"].removeprefix("test_")] = {
            "median_us": round(median_us, 3),
            "per": each["extra_info"].get("per", "round"),
            "us_per_unit": round(median_us / units, 4),
        }
    return found


def machine() -> Figures:
    return {
        "wfe": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def workload_table(found: dict[str, Figures]) -> str:
    rows = []
    for name, figures in found.items():
        what, command, _ = COMMANDS[name]
        ratio = f"{100 * figures['floor_ratio']:.0f} %" if "floor_ratio" in figures else ""
        floor = f"{figures['floor_tasks_per_s']:,.0f}" if "floor_ratio" in figures else ""
        if name == "W3":
            ratio = f"p50 {figures['p50_ms'] / figures['floor_p50_ms']:.2f} x"
            floor = f"p50 {figures['floor_p50_ms']:.2f} ms"
        rows.append(
            [
                f"{name}: {what}", f"`wfe bench {' '.join(command)}`", f"{figures['tasks_per_s']:,.0f}",
                f"{figures['p50_ms']:,.2f} / {figures['p99_ms']:,.2f}", floor, ratio,
                f"{1000 * figures.get('cpu_s_per_1000_tasks', 0):.1f}", f"{figures['commit_ms']}",
            ]
        )  # fmt: skip
    columns = ["workload", "command", "per s", "p50 / p99 ms", "floor", "of the floor", "CPU us/task", "commit ms"]
    return table(columns, rows)


def parts_table(found: dict[str, Figures]) -> str:
    rows = [[name.replace("_", " "), f"{each['us_per_unit']:.3g}", each["per"]] for name, each in sorted(found.items())]
    return table(["part", "us", "per"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COMMANDS), help="only these workloads, and no parts")
    parser.add_argument("--quick", action="store_true", help="sizes that show that it works, and mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    given = parser.parse_args()
    document: Figures = {"machine": machine(), "parts": {}, "workloads": {}}
    if given.only is None:
        print("parts ...", file=sys.stderr)
        document["parts"] = parts(given.quick)
    for name in given.only or COMMANDS:
        _, command, small = COMMANDS[name]
        figures = document["workloads"][name] = bench([*command, *(small if given.quick else [])])
        ratio = f", {100 * figures['floor_ratio']:.0f} % of the floor" if "floor_ratio" in figures else ""
        line = f"{name:16} {figures['tasks_per_s']:>10,.0f} /s, p50 {figures['p50_ms']} ms, p99 {figures['p99_ms']} ms"
        print(line + ratio, file=sys.stderr)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(workload_table(document["workloads"]))
    if document["parts"]:
        print(parts_table(document["parts"]))
    if given.write:
        about = document["machine"]
        where = (
            f"wfe {about['wfe']}, Python {about['python']}, {about['system']}, {about['cores']} cores, {about['at']}."
        )
        replace_block("workloads", f"{where}\n\n{workload_table(document['workloads'])}")
        if document["parts"]:
            replace_block("parts", parts_table(document["parts"]))
    print(f"written to {given.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
