"""Where the time of a process goes under a workload: `python bench/profiles.py chain|fanout [--role shard] [--wall]`.

Samples with py-spy (`pip install py-spy`; as root, or with leave to trace) and prints the functions by their own time
and by the time in them and what they call. Counted is the time in which Python runs (with --wall also what waits, such
as a commit for the disk); the percentages are given in microseconds of the process's CPU time per task, too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from engines import client_of, run, server
from wfe.client.bench import workloads
from wfe.client.bench.report import Report

RATE = 400
WARM_UP_S = 2


def sampled(text: str) -> tuple[Counter[str], Counter[str], int]:
    """Samples by function, alone and with what it calls, of py-spy's raw format (a stack and a count a line)."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    total = 0
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rsplit(":", 1)[0] for frame in stack.split(";")]
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    return own, within, total


async def load(found: Any, workload: str, role: str, seconds: int, wall: bool, out: Path) -> Report:
    """The workload, with py-spy on one process while it lasts."""
    async with client_of(found) as client:
        status = await client.status()
        pids = {"shard": status.shards[0].pid, "worker": status.workers[0].pid, "coordinator": found.pid}
        command = ["py-spy", "record", "--pid", str(pids[role]), "--rate", str(RATE), "--duration", str(seconds)]
        spy = subprocess.Popen(
            [*command, "--format", "raw", "--output", str(out), "--nonblocking", *([] if wall else ["--gil"])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            if workload == "chain":
                return await workloads.chain(client, runs=4_000 * (seconds + WARM_UP_S))
            return await workloads.fanout(client, runs=600 * (seconds + WARM_UP_S))
        finally:
            spy.wait()


def show(title: str, counts: Counter[str], total: int, us_per_task: float, rows: int) -> None:
    print(f"\n{title}")
    for name, count in counts.most_common(rows):
        print(f"{100 * count / total:6.1f} %  {us_per_task * count / total:6.2f} us  {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=["chain", "fanout"])
    parser.add_argument("--role", choices=["shard", "worker", "coordinator"], default="shard")
    parser.add_argument("--wall", action="store_true", help="count what waits, too")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=30)
    given = parser.parse_args()
    if shutil.which("py-spy") is None:
        raise SystemExit("py-spy is not installed: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="wfe-profile-") as directory:
        out = Path(directory) / "stacks"
        with server(Path(directory) / "data") as found:
            report = run(load(found, given.workload, given.role, given.seconds, given.wall, out))
        own, within, total = sampled(out.read_text(encoding="utf-8"))
    us_per_task = report.more["cpu_us_per_task"].get(given.role, 0.0)
    print(f"{given.workload}: {report.tasks_per_s:,.0f} tasks/s, {given.role} {us_per_task} us of CPU per task")
    show("own time", own, total, us_per_task, given.rows)
    show("with what it calls", within, total, us_per_task, given.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
