"""wfe beside its peers, in turns: `make bench-peers`, or `python bench/peers/run.py --help`.

Every engine runs in an environment of its own, made in a temporary directory (or kept with --environments), with its
durable settings: wfe syncs every commit (graphs, and durable functions beside them), DBOS writes each step to SQLite,
Celery uses a Redis that syncs every write, Restate's server has its own settings.
A peer is a script ``NAME_peer.py`` of this directory and a line in `PEERS`.

A round measures every engine on every workload, one after the other; the page and the JSON document are written anew
after each round, so that whoever has to stop keeps what there is. An engine that cannot be installed or fails is named
at the end and costs no other; no round begins that would not end within ``--minutes``. Writes tables and plots into
docs/performance.md unless --dry-run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from pages import ROOT, replace_block, table, write_plot  # noqa: E402
from run import machine  # noqa: E402
from wfe.client.bench.plots import COLOURS, Bar, bars  # noqa: E402

RESULTS = ROOT / ".benchmarks" / "peers.json"
Figures = dict[str, Any]


class Peer(NamedTuple):
    """``packages``: of its environment, the first one gives its version; none: it is wfe, in ours. ``needs``: a command
    that must be there. ``npm``: a package of Node's beside them. ``script``: another than ``NAME_peer.py``."""

    title: str
    packages: list[str]
    needs: str = ""
    npm: str = ""
    script: str = ""
    options: tuple[str, ...] = ()


_RESTATE = (["restate-sdk", "hypercorn"], "npm", "@restatedev/restate-server", "restate_peer.py")
PEERS = {
    "durable": Peer("wfe, durable functions", []),
    "dbos": Peer("DBOS {version} on SQLite", ["dbos"]),
    "celery": Peer("Celery {version} on Redis", ["celery", "redis", "packaging"], "redis-server"),
    "restate": Peer("Restate (SDK {version}), ctx.run", *_RESTATE),
    "restate_calls": Peer("Restate (SDK {version}), calls", *_RESTATE, ("--calls",)),
}
WORKLOADS = {
    # name: (title, what decides, a peer's arguments, wfe's)
    "chain": ("W1: 200 chains of 10, tasks/s", ["--runs", "200", "--at-once", "200"], ["--runs", "4000"]),
    "fanout": ("W2: 20 fan-outs of 100, tasks/s", ["--runs", "20", "--at-once", "20"], ["--runs", "400"]),
    "latency": ("W3: a lone task, p50 ms", ["--runs", "100", "--at-once", "1"], ["--runs", "500"]),
}
QUICK = {"chain": ["--runs", "20"], "fanout": ["--runs", "2"], "latency": ["--runs", "10"]}
TIMEOUT_S = 120
INSTALL_TIMEOUT_S = 240


class Failed(Exception):
    """An engine gave no figures: why."""


class Engine(NamedTuple):
    """``measure``: a workload's figures; `Failed` when there are none."""

    title: str
    measure: Callable[[str], Figures]


def environment(peer: Peer, where: Path) -> Path:
    """The Python of a peer's own environment, made if it is not there; its packages come from the index."""
    if not peer.packages:
        return Path(sys.executable)
    python = where / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if peer.needs and shutil.which(peer.needs) is None:
        raise Failed(f"needs {peer.needs}: install it (Debian: apt-get install {peer.needs})")
    try:
        if not (where / "complete").exists():
            print(f"installing {', '.join(peer.packages)} ...", file=sys.stderr, flush=True)
            venv.create(where, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "-q", *peer.packages]
            subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT_S, capture_output=True, text=True)
            if peer.npm:
                install = ["npm", "install", "--no-save", "--prefix", where, peer.npm]
                subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT_S, capture_output=True, text=True)
            (where / "complete").touch()
    except subprocess.CalledProcessError as error:
        raise Failed(f"cannot be installed: {str(error.stderr).strip()[-300:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"cannot be installed: {error}") from error
    return python


def version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def run_json(command: list[str]) -> Figures:
    """The last line of a command's output, as JSON. What it started ends with it."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, told = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"did not end within {TIMEOUT_S} s") from error
    finally:
        _end_group(process.pid)
        process.wait()
    if process.returncode:
        raise Failed(f"exit code {process.returncode}: {told.strip()[-1_000:]}")
    try:
        found: Figures = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise Failed(f"its output is no JSON: {out[-300:]!r}") from error
    return found


def _end_group(group: int) -> None:
    """Servers and workers that a script left behind."""
    if os.name == "posix":
        try:
            os.killpg(group, 9)
        except ProcessLookupError:
            return  # as it should be: nobody is left


def engines(names: list[str], base: Path, *, quick: bool, failures: dict[str, str]) -> list[Engine]:
    """wfe, and every peer that could be installed."""
    wfe = [sys.executable, "-c", "from wfe.cli import main; main()", "bench"]

    def ours(workload: str) -> Figures:
        return run_json(
            [*wfe, workload, *(QUICK if quick else {k: w[2] for k, w in WORKLOADS.items()})[workload], "--json"]
        )

    def of_peer(python: Path, script: str, options: tuple[str, ...]) -> Callable[[str], Figures]:
        def measure(workload: str) -> Figures:
            sizes = QUICK[workload] if quick else WORKLOADS[workload][2] if python == Path(sys.executable) else []
            arguments = [*WORKLOADS[workload][1], *sizes, *options]
            return run_json([str(python), str(HERE / script), workload, *arguments])

        return measure

    found = [Engine("wfe", ours)]
    for name in names:
        peer = PEERS[name]
        try:
            script = peer.script or f"{name}_peer.py"
            python = environment(peer, base / script.removesuffix("_peer.py"))
            title = peer.title.format(version=version(python, peer.packages[0]) if peer.packages else "")
        except Failed as failed:
            failures[name] = str(failed)
            continue
        found.append(Engine(title, of_peer(python, script, peer.options)))
    return found


Results = dict[str, dict[str, list[Figures]]]
"""Engine -> workload -> rounds."""


def one_round(number: int, found: list[Engine], results: Results, failures: dict[str, str]) -> None:
    """Every engine on every workload; one that fails is left out from then on."""
    for workload in WORKLOADS:
        for engine in found:
            if engine.title in failures:
                continue
            try:
                figures = engine.measure(workload)
            except Failed as failed:
                failures[engine.title] = f"{workload}: {failed}"
                continue
            results.setdefault(engine.title, {}).setdefault(workload, []).append(figures)
            line = f"round {number} {workload:8} {engine.title:24} {figures['tasks_per_s']:>10,} tasks/s"
            print(f"{line}  p50 {figures['p50_ms']} ms", file=sys.stderr, flush=True)


def shown(workload: str, figures: list[Figures]) -> float:
    """What a workload is judged by: the median of the rounds."""
    return median(each["p50_ms" if workload == "latency" else "tasks_per_s"] for each in figures)


def cell(workload: str, figures: list[Figures], ours: list[Figures]) -> str:
    """The median, its spread over the rounds, and how many times as good wfe is."""
    if not figures:
        return "failed"
    key = "p50_ms" if workload == "latency" else "tasks_per_s"
    values = [each[key] for each in figures]
    mine, best = shown(workload, figures), shown(workload, ours)
    form = ",.3g" if workload == "latency" else ",.0f"
    spread = f" ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""
    times = mine / best if workload == "latency" else best / mine
    return f"{mine:{form}}{spread}" + (f", wfe {times:,.3g} times" if figures is not ours else "")


def text_of(results: Results) -> str:
    """The table."""
    ours = results["wfe"]
    rows = [
        [name, *(cell(work, by_workload.get(work, []), ours[work]) for work in WORKLOADS)]
        for name, by_workload in results.items()
    ]
    return table(["engine", *(title for title, *_ in WORKLOADS.values())], rows)


def write_page(results: Results, rounds: int) -> None:
    """Table and plots into docs/performance.md."""
    about = machine()
    plots = []
    for work, (title, *_) in WORKLOADS.items():
        rows = [
            Bar(name, shown(work, by_workload[work]), colour=COLOURS[place % len(COLOURS)])
            for place, (name, by_workload) in enumerate(results.items())
            if by_workload.get(work)
        ]
        plots.append(write_plot(f"peers-{work}", bars(title, rows, logarithmic=True)))
    note = (
        f"Medians (least to most) of {rounds} rounds in which the engines took turns: Python {about['python']}, "
        f"{about['cores']} cores, {about['at']}."
    )
    replace_block("peers", "\n\n".join([note, text_of(results), *plots]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each engine has its turn")
    parser.add_argument("--minutes", type=float, default=11.0, help="begin no round that would end later")
    parser.add_argument("--only", nargs="*", choices=list(PEERS), default=list(PEERS), help="these peers beside wfe")
    parser.add_argument("--environments", type=Path, help="keep the peers' environments here")
    parser.add_argument("--quick", action="store_true", help="sizes that show that it works, and mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--dry-run", action="store_true", help="leave docs/performance.md alone")
    given = parser.parse_args()
    begun = time.monotonic()
    failures: dict[str, str] = {}
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="wfe-peers-") as temporary:
        found = engines(given.only, given.environments or Path(temporary), quick=given.quick, failures=failures)
        longest_s = 0.0
        for number in range(1, given.rounds + 1):
            round_begun = time.monotonic()
            if round_begun - begun + longest_s > 60 * given.minutes:
                print(f"round {number} is left out: {given.minutes:g} minutes would be over", file=sys.stderr)
                break
            one_round(number, found, results, failures)
            longest_s = max(longest_s, time.monotonic() - round_begun)
            if any(work not in results.get("wfe", {}) for work in WORKLOADS):
                break  # without ours there is nothing to compare
            given.out.parent.mkdir(parents=True, exist_ok=True)
            document = {"machine": machine(), "rounds": number, "results": results, "failures": failures}
            given.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            if not given.dry_run:
                write_page(results, number)
    for name, why in failures.items():
        print(f"{name}: {why}", file=sys.stderr)
    if "wfe" not in failures:
        print(text_of(results))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
