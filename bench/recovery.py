"""How long a shard that holds many open runs is away after SIGKILL: `python bench/recovery.py [--json]`.

Starts a server with two shards, opens runs that wait for a signal until one shard holds as many as wanted, kills that
shard, and asks it for one of its runs until it answers. A second client's signal to another of its runs shows that it
also takes commands. The target is 2 s for 10,000 runs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from wfe.bootstrap.oneshot import LocalServer
from wfe.client.sync import Client
from wfe.config import ServeOptions
from wfe.model.ids import partition_of

TARGET_S = 2.0
FLOW = """
workflow: waits
params: {number: integer}
nodes:
  - {set: "${number + 1}", id: more}
  - {signal: go, id: told}
output: "${more + told}"
"""


def open_runs(client: Client, runs: int) -> tuple[int, int, list[str]]:
    """Starts runs until one shard holds ``runs``: its index, its pid, and the ids of its runs."""
    shards = client.status().shards
    held: dict[int, list[str]] = {shard.index: [] for shard in shards}
    home = {partition: shard.index for shard in shards for partition in shard.partitions}
    number = 0
    while max(map(len, held.values())) < runs:
        started = client.start_many("waits", list(range(number, number + 1_000)))
        number += len(started)
        for run in started:
            held[home[partition_of(run.id)]].append(run.id)
    fullest = max(held, key=lambda index: len(held[index]))
    return fullest, shards[fullest].pid, held[fullest]


def measure(client: Client, runs: int) -> dict[str, Any]:
    index, pid, held = open_runs(client, runs)
    os.kill(pid, signal.SIGKILL)
    killed_s = time.monotonic()
    while client.status().shards[index].pid == pid and client.status().shards[index].state == "serving":
        time.sleep(0.001)
    noticed_s = time.monotonic()
    assert client.view(held[0]).status == "waiting"  # asked again by the client until the shard answers
    serving_s = time.monotonic()
    last = client.handle(held[-1])
    last.signal("go", 1)
    result = last.result(timeout_s=30)
    ended_s = time.monotonic()
    assert result == last.describe().input + 2, result
    shard = client.status().shards[index]
    return {
        "open_runs": len(held),
        "noticed_s": round(noticed_s - killed_s, 4),
        "serving_again_s": round(serving_s - killed_s, 4),
        "first_result_s": round(ended_s - killed_s, 4),
        "recovery_ms": shard.recovery_ms,
        "target_s": TARGET_S,
        "ok": serving_s - killed_s <= TARGET_S,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="open runs of the shard that is killed")
    parser.add_argument("--durability", choices=["sync", "os"], default="sync")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wfe-recovery-") as directory:
        app = Path(directory) / "waits.yaml"
        app.write_text(FLOW)
        options = ServeOptions(shards=2, log_level="error", durability=given.durability)
        server = LocalServer([str(app)], data=Path(directory) / "data", options=options)
        with server, server.connect() as client:
            report = measure(client, given.runs)
    if given.json:
        print(json.dumps(report))
    else:
        print(f"{report['open_runs']} open runs: serving again {report['serving_again_s']:.3f} s after SIGKILL")
        print(f"first result after {report['first_result_s']:.3f} s; target {TARGET_S:g} s")
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
