"""`make bench`: a ten-minute subset of the benchmarks, into one JSON document and the tables of docs/performance.md.

W1 to W4 with the floor beside them, both ways of starting runs, W1 on a disk that is 3 ms slower, as async functions
with 100-byte payloads, and at half of its maximum, the parts (bench/parts, by pytest-benchmark), large payloads,
signals, a trace, a mixed load, timers. The document also names the machine, since no figure means anything without it.

It is written anew after each workload, most telling first: whoever has to stop keeps what there is, and ``--resume``
measures only what is missing. A workload that fails is named at the end and costs no other; what would begin after
``--minutes`` is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pages import ROOT, replace_block, table, write_plot
from wfe import __version__
from wfe.client.bench.plots import Bar, bars

RESULTS = ROOT / ".benchmarks" / "wfe.json"
Figures = dict[str, Any]
FLOOR = ["--floor", "--rounds", "5"]
TRACE = "FILE"
"""Stands for a trace that `a_trace` writes."""
COMMANDS: dict[str, tuple[str, list[str], list[str]]] = {
    # name: (what it shows, the command, what a quick run does instead)
    "W1": ("200 chains of 10 tasks", ["chain", "--runs", "20000", *FLOOR], ["--runs", "400"]),
    "W2": ("20 fan-outs 1 -> 100 -> 1", ["fanout", "--runs", "2000", *FLOOR], ["--runs", "40"]),
    "W3": ("a lone task", ["latency", "--runs", "5000", *FLOOR], ["--runs", "50"]),
    "W4": ("fan-in 1 -> 10,000 -> 1", ["fanin", "--runs", "60", *FLOOR], ["--runs", "5", "--width", "1000"]),
    "start_many": ("durable starts per second, in bulk", ["starts", "--runs", "100000"], ["--runs", "1000"]),
    "start": (
        "durable starts per second, 64 client tasks",
        ["starts", "--single", "--runs", "50000"],
        ["--runs", "500"],
    ),
    "W1, disk + 3 ms": (
        "W1, every commit takes 3 ms more",
        ["chain", "--commit-delay-ms", "3", "--runs", "5000", *FLOOR],
        ["--runs", "400"],
    ),
    "W1 async, 100 B": (
        "W1, async functions, 100-byte payloads",
        ["chain", "--async", "--payload-bytes", "100", "--runs", "10000", *FLOOR],
        ["--runs", "400"],
    ),
    "W1, half load": (
        "W1, runs at half of the maximum rate",
        ["chain", "--load", "50", "--runs", "1000"],
        ["--runs", "50"],
    ),
    "parts": ("", [], []),
    "W5": ("values of 1 MiB through 2 tasks", ["payload", "--runs", "200", *FLOOR], ["--runs", "10"]),
    "W7": ("signals, 64 at a time", ["signals", "--runs", "4000"], ["--runs", "50"]),
    "W8": ("a trace, 1,002 tasks", ["replay", TRACE, "--time-scale", "0.1"], []),
    "W9": ("a mixed load", ["soak", "--for", "20s"], ["--for", "1s", "--at-once", "5"]),
    "W6": ("100,000 timers due within a minute", ["timers"], ["--runs", "500", "--within", "1s"]),
}
STAGES = ("admission", "decide", "commit", "queue", "execution", "result")
FLOOR_COLOUR = "#94a3b8"
TIMEOUT_S = 150


class Failed(Exception):
    """A workload gave no figures: why."""


def bench(arguments: list[str]) -> Figures:
    """One `wfe bench` command's document. `Failed` when there is none."""
    command = [sys.executable, "-c", "from wfe.cli import main; main()", "bench", *arguments, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            raise Failed(f"{done.stdout[-500:]}\n{done.stderr[-2000:]}")
        found: Figures = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"it did not end within {TIMEOUT_S} s") from error
    except ValueError as error:
        raise Failed(f"its output is no JSON: {done.stdout[-500:]}") from error
    return found


def a_trace(directory: Path) -> Path:
    """A WfFormat trace like those of real science: a task, five hundred pairs of tasks side by side, and a last one."""
    dice = random.Random(1)
    parents: dict[str, list[str]] = {"split": []}
    for number in range(500):
        parents |= {f"align_{number}": ["split"], f"call_{number}": [f"align_{number}"]}
    parents["merge"] = [f"call_{number}" for number in range(500)]
    workflow = {
        "specification": {"tasks": [{"id": task, "parents": before} for task, before in parents.items()]},
        "execution": {"tasks": [{"id": task, "runtimeInSeconds": dice.uniform(0.5, 8.0)} for task in parents]},
    }
    file = directory / "trace.json"
    file.write_text(json.dumps({"name": "fork-join", "schemaVersion": "1.5", "workflow": workflow}), encoding="utf-8")
    return file


def parts(quick: bool) -> dict[str, Figures]:
    """Medians of bench/parts: microseconds per round, and per unit (event, task, message)."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "parts.json"
        command = [sys.executable, "-m", "pytest", "-q", str(ROOT / "bench" / "parts"), "-p", "no:cacheprovider"]
        options = [f"--benchmark-json={out}", f"--benchmark-max-time={0.05 if quick else 1.0}"]
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise Failed(done.stdout[-2000:])
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
        if figures.get("ratio"):
            floor, ratio = "critical path", f"{figures['ratio']} x its time"
        rows.append(
            [
                f"{name}: {what}", f"`wfe bench {' '.join(command)}`", f"{figures['tasks_per_s']:,.0f}",
                f"{figures['p50_ms']:,.2f} / {figures['p99_ms']:,.2f}", floor, ratio,
                f"{1000 * figures.get('cpu_s_per_1000_tasks', 0):.1f}", f"{figures['commit_ms']}",
            ]
        )  # fmt: skip
    columns = ["workload", "command", "per s", "p50 / p99 ms", "floor", "of the floor", "CPU us/task", "commit ms"]
    return table(columns, rows)


def stage_table(found: dict[str, Figures]) -> str:
    """Where the time goes, and what a task costs in memory, bytes and syncs."""
    rows = []
    for name, figures in found.items():
        cells = [
            f"{each['p50_ms']:.3g} / {each['p99_ms']:.3g}" if (each := figures.get("stages", {}).get(stage)) else ""
            for stage in STAGES
        ]
        memory = sum(figures.get("memory_mb", {}).values())
        cost = [
            f"{memory:,.0f}",
            f"{figures.get('written_bytes_per_task', 0):,.0f}",
            f"{figures['syncs_per_task']:.3g}",
        ]
        rows.append([name, *cells, *cost])
    return table(["p50 / p99 ms", *STAGES, "memory MiB", "bytes written/task", "syncs/task"], rows)


def half_load(found: dict[str, Figures]) -> str:
    """The targets of latency at half of the maximum: until a task leaves, until a result is durable."""
    figures = found.get("W1, half load")
    if figures is None:
        return ""
    dispatch, update = figures["stages"]["queue"], figures["stages"]["batch"]
    return (
        f"\n\nAt half of the maximum ({figures['offered_tasks_per_s']:,.0f} of {figures['peak_tasks_per_s']:,.0f} "
        f"tasks/s, random arrivals): ready to dispatched p50 {dispatch['p50_ms']} ms, p99 {dispatch['p99_ms']} ms, "
        f"from a result's arrival to its commit p50 {update['p50_ms']} ms, p99 {update['p99_ms']} ms."
    )


def plots(found: dict[str, Figures]) -> str:
    """Rates beside the floor's, as pictures."""
    beside = {name: each for name, each in found.items() if "floor_ratio" in each and name != "W3"}
    if not beside:
        return ""
    ratio = [
        Bar(name, 100 * each["floor_ratio"], f"{100 * each['floor_ratio']:.0f} %") for name, each in beside.items()
    ]
    rate = []
    for name, each in beside.items():
        rate += [
            Bar(name, each["tasks_per_s"], f"{each['tasks_per_s']:,.0f}"),
            Bar("its floor", each["floor_tasks_per_s"], f"{each['floor_tasks_per_s']:,.0f}", FLOOR_COLOUR),
        ]
    return (
        f"\n\n{write_plot('workloads', bars('Tasks per second, and of the bare pipes in the same run', rate))}"
        f"\n\n{write_plot('floor', bars('Share of the floor', ratio))}"
    )


def parts_table(found: dict[str, Figures]) -> str:
    rows = [[name.replace("_", " "), f"{each['us_per_unit']:.3g}", each["per"]] for name, each in sorted(found.items())]
    return table(["part", "us", "per"], rows)


def keep(document: Figures, out: Path, *, write: bool) -> None:
    """The document so far, and what of it the page shows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if not write:
        return
    about, workloads = document["machine"], document["workloads"]
    times = sorted({each["at"] for each in workloads.values()} or {about["at"]})
    when = times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"
    where = f"wfe {about['wfe']}, Python {about['python']}, {about['system']}, {about['cores']} cores, {when}."
    if workloads:
        text = f"{where}\n\n{workload_table(workloads)}{half_load(workloads)}\n\n{stage_table(workloads)}"
        replace_block("workloads", text + plots(workloads))
    if document["parts"]:
        replace_block("parts", f"{where}\n\n{parts_table(document['parts'])}")


def begun_before(out: Path) -> Figures:
    """What an earlier run has measured already. Workloads that there are no longer are left behind."""
    if not out.exists():
        return {}
    found: Figures = json.loads(out.read_text(encoding="utf-8"))
    found["workloads"] = {name: each for name, each in found["workloads"].items() if name in COMMANDS and "at" in each}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COMMANDS), help="only these")
    parser.add_argument("--quick", action="store_true", help="sizes that show that it works, and mean nothing")
    parser.add_argument("--minutes", type=float, default=9.5, help="begin no further workload after so long")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--resume", action="store_true", help="keep what the JSON holds, measure what it does not")
    given = parser.parse_args()
    document: Figures = {"machine": machine(), "parts": {}, "workloads": {}}
    if given.resume:
        document = begun_before(given.out) | {"machine": machine()}
        document = {"parts": {}, "workloads": {}, **document}
    until_s = time.monotonic() + 60 * given.minutes
    missing: dict[str, str] = {}
    for name in given.only or COMMANDS:
        if name in document["workloads"] or (name == "parts" and document["parts"]):
            continue
        if time.monotonic() > until_s:
            missing[name] = f"left out: {given.minutes:g} minutes were over (--resume measures it)"
            continue
        try:
            if name == "parts":
                document["parts"] = parts(given.quick)
            else:
                document["workloads"][name] = figures = measured(name, quick=given.quick)
                print(summary(name, figures), file=sys.stderr, flush=True)
        except Failed as error:
            missing[name] = f"failed: {error}"
        keep(document, given.out, write=given.write)
    print(workload_table(document["workloads"]) + half_load(document["workloads"]))
    print(stage_table(document["workloads"]))
    if document["parts"]:
        print(parts_table(document["parts"]))
    for name, why in missing.items():
        print(f"{name} {why}", file=sys.stderr)
    print(f"written to {given.out}", file=sys.stderr)
    return 1 if missing else 0


def measured(name: str, *, quick: bool) -> Figures:
    """One workload's document, with the time at which it was measured."""
    _, command, small = COMMANDS[name]
    with tempfile.TemporaryDirectory() as directory:
        trace = str(a_trace(Path(directory)))
        found = bench([*(trace if each == TRACE else each for each in command), *(small if quick else [])])
    return found | {"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def summary(name: str, figures: Figures) -> str:
    ratio = f", {100 * figures['floor_ratio']:.0f} % of the floor" if "floor_ratio" in figures else ""
    line = f"{name:16} {figures['tasks_per_s']:>10,.0f} /s, p50 {figures['p50_ms']} ms, p99 {figures['p99_ms']} ms"
    return line + ratio


if __name__ == "__main__":
    sys.exit(main())
