"""wfe beside DBOS (SQLite) and Celery (Redis), alternating: `make bench-peers`, or `python bench/peers/run.py --help`.

Every engine runs in an environment of its own, made in a temporary directory (or kept with --environments), with its
durable settings: wfe syncs every commit, DBOS writes each step to SQLite, Celery uses a Redis that syncs every write.
Celery needs a ``redis-server``. Writes a table and a plot into docs/performance.md unless --dry-run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pages import replace_block, table, write_plot
from wfe.client.bench.plots import COLOURS, Bar, bars

HERE = Path(__file__).resolve().parent
PACKAGES = {"dbos": ["dbos"], "celery": ["celery", "redis", "packaging"]}
WORKLOADS = {
    "chain": ("W1: 200 chains of 10, tasks/s", ["--runs", "200", "--at-once", "200"], ["--runs", "4000"]),
    "fanout": ("W2: 20 fan-outs of 100, tasks/s", ["--runs", "20", "--at-once", "20"], ["--runs", "400"]),
    "latency": ("W3: a lone task, p50 ms", ["--runs", "100", "--at-once", "1"], ["--runs", "500"]),
}
TIMEOUT_S = 600
Figures = dict[str, Any]


def environment(name: str, base: Path) -> Path:
    """The Python of an engine's own environment, made if it is not there; its packages come from the index."""
    where = base / name
    python = where / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"installing {', '.join(PACKAGES[name])} ...", file=sys.stderr)
        venv.create(where, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
    return python


def version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def run_json(command: list[str]) -> Figures:
    """The last line of a command's output, as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def engines(base: Path) -> dict[str, Callable[[str], Figures]]:
    """How to run a workload on each engine, by the engine's name and version."""
    dbos, celery = environment("dbos", base), environment("celery", base)
    if shutil.which("redis-server") is None:
        raise SystemExit("Celery needs redis-server: install it (Debian: apt-get install redis-server)")
    wfe = [sys.executable, "-c", "from wfe.cli import main; main()", "bench"]

    def ours(workload: str) -> Figures:
        return run_json([*wfe, workload, *WORKLOADS[workload][2], "--json"])

    def peer(python: Path, script: str) -> Callable[[str], Figures]:
        return lambda workload: run_json([str(python), str(HERE / script), workload, *WORKLOADS[workload][1]])

    return {
        "wfe": ours,
        f"DBOS {version(dbos, 'dbos')} on SQLite": peer(dbos, "dbos_peer.py"),
        f"Celery {version(celery, 'celery')} on Redis": peer(celery, "celery_peer.py"),
    }


def shown(workload: str, figures: list[Figures]) -> float:
    """What a workload is judged by: the median of the rounds."""
    return median(each["p50_ms" if workload == "latency" else "tasks_per_s"] for each in figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each engine has its turn")
    parser.add_argument("--environments", type=Path, help="keep the peers' environments here")
    parser.add_argument("--dry-run", action="store_true", help="leave docs/performance.md alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wfe-peers-") as temporary:
        found = engines(given.environments or Path(temporary))
        results: dict[str, dict[str, list[Figures]]] = {name: {work: [] for work in WORKLOADS} for name in found}
        for number in range(given.rounds):
            for workload in WORKLOADS:
                for name, run in found.items():
                    figures = run(workload)
                    results[name][workload].append(figures)
                    line = f"round {number + 1} {workload:8} {name:24} {figures['tasks_per_s']:>10} tasks/s"
                    print(f"{line}  p50 {figures['p50_ms']} ms", file=sys.stderr)
    rows = []
    for name, by_workload in results.items():
        cells = [f"{shown(work, figures):,.4g}" if work == "latency" else f"{shown(work, figures):,.0f}"
                 for work, figures in by_workload.items()]  # fmt: skip
        rows.append([name, *cells])
    text = table(["engine", *(title for title, *_ in WORKLOADS.values())], rows)
    print(text)
    if not given.dry_run:
        plots = []
        for work, (title, *_) in WORKLOADS.items():
            heights = [
                Bar(name, shown(work, results[name][work]), colour=COLOURS[place]) for place, name in enumerate(results)
            ]
            plots.append(write_plot(f"peers-{work}", bars(title, heights, logarithmic=True)))
        note = f"Medians of {given.rounds} rounds in which the engines took turns."
        replace_block("peers", "\n\n".join([note, text, *plots]))
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
