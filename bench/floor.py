"""The floor alone: `python bench/floor.py [--json]`. The engine's pipes without an engine, on the shapes of W1 to W4.

What it is stands in `wfe.bootstrap.floor`; `wfe bench ... --floor` alternates with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from wfe.bootstrap.floor import Floor
from wfe.client.bench.report import percentile

SHAPES: dict[str, tuple[list[int], int, int]] = {
    # name: (tasks side by side per stage, runs, runs at once)
    "W1": ([1] * 10, 20_000, 200),
    "W2": ([1, 100, 1], 2_000, 20),
    "W3": ([1], 2_000, 1),
    "W4": ([1, 10_000, 1], 60, 1),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--durability", choices=["sync", "os", "none"], default="sync")
    parser.add_argument("--commit-delay-ms", type=float, default=0.0, help="play a disk that is slower by so much")
    parser.add_argument("--divide", type=int, default=1, help="make everything so many times smaller")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with Floor(durability=given.durability, commit_delay_ms=given.commit_delay_ms) as floor:
        for name, (widths, runs, at_once) in SHAPES.items():
            floor.measure(widths, runs=max(runs // given.divide // 10, 1), at_once=at_once)
            figures = floor.measure(widths, runs=max(runs // given.divide, 1), at_once=at_once)
            found[name] = {
                "tasks_per_s": round(figures.tasks / figures.seconds, 1),
                "p50_ms": round(percentile(figures.latencies_ms, 50), 3),
                "p99_ms": round(percentile(figures.latencies_ms, 99), 3),
            }
            if not given.json:
                print(f"{name}  {figures.tasks / figures.seconds:>10,.0f} tasks/s  p50 {found[name]['p50_ms']} ms")
    if given.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
