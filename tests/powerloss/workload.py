"""Runs a real shard on real LMDB and notes what it acknowledged, for the recorder. ``workload.py DATA DURABILITY``.

Acknowledgements are lines of JSON in DATA/acks, so that they stand in the recording among the writes and syncs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.powerloss import Acknowledged, LmdbHost, definitions
from wfe.wire import messages as m
from wfe.wire.frames import Kind

RUNS = 40


def main(data: Path, durability: str) -> None:
    acks = os.open(data / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    host = LmdbHost(data, durability, definitions())
    host.hello()
    told = Acknowledged()

    def acknowledge() -> None:
        """Note whatever has left the shard since the last time."""
        fresh = told.take(host)
        if fresh:
            os.write(acks, (json.dumps(fresh) + "\n").encode())

    waiting: list[str] = []
    for number in range(RUNS):
        host.start("chain", number, key=f"key-{number}" if number % 3 == 0 else "")
        if number % 4 == 0:
            waiting.append(host.start("waiting").run_id)
        if number % 10 == 0:
            host.start("parent", [number, number + 1])
        for _ in range(number % 5):
            step(host, acknowledge)
        if number % 6 == 5:
            host.now_ms += 100  # idle for long enough: the shard checkpoints
        if len(waiting) > 3:
            run_id = waiting.pop(0)
            host.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", m.Raw(b"\x07"), f"event-{number}"))
        acknowledge()
    for _ in range(60):
        host.now_ms += 20
        step(host, acknowledge)


def step(host: Any, acknowledge: Any) -> None:
    host.turn()
    host.work()
    acknowledge()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
