"""All runs on one partition, or on one shard's: do the workers of the others help?

`python bench/skew.py [--shards 2 4] [--wait-ms 1 10] [--json]`: chains of tasks that occupy a slot for so long, spread
over all partitions, over those of one shard, and on a single one, in turn. Workers lend their credit to the shard that
has more than it can give out (the target is 80 % of the balanced rate for tasks of 1 ms, 95 % for 10 ms).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from engines import client_of, run, server
from wfe.client.aclient import AsyncClient
from wfe.client.bench import definitions
from wfe.client.bench.definitions import Kind
from wfe.model.ids import partition_of_key

NAMESPACE = "default"
LENGTH = 10
Figures = dict[str, Any]


class Keys:
    """Keys whose runs land on given partitions."""

    def __init__(self, workflow: str, partitions: int) -> None:
        self._workflow, self._partitions = workflow, partitions
        self._numbers = itertools.count()

    def on(self, wanted: frozenset[int]) -> str:
        """The next key for one of these partitions."""
        while True:
            key = f"{time.time_ns():x}-{next(self._numbers)}"
            if partition_of_key(NAMESPACE, self._workflow, key, self._partitions) in wanted:
                return key


async def rate(client: AsyncClient, workflow: str, keys: list[str], at_once: int) -> float:
    """Tasks per second of one run per key, ``at_once`` in flight."""
    left = iter(keys)

    async def lane() -> None:
        for key in left:
            await (await client.start(workflow, key=key)).result()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(lane())
    return len(keys) * LENGTH / (time.perf_counter() - began)


async def compare(client: AsyncClient, kind: Kind, seconds: float, at_once: int, rounds: int) -> Figures:
    """Rounds of balanced, one shard, one partition; their rates and shares."""
    definition = definitions.chain(LENGTH, kind)
    await client.deploy(definition)
    status = await client.status()
    keys = Keys(definition.workflow, status.partitions)
    owned = [frozenset(shard.partitions) for shard in status.shards]
    loads = {
        "balanced": frozenset(range(status.partitions)),
        "one_shard": owned[0],
        "one_partition": frozenset([min(owned[0])]),
    }
    everywhere = [keys.on(loads["balanced"]) for _ in range(2 * at_once)]
    runs = max(at_once, int(seconds * await rate(client, definition.workflow, everywhere, at_once) / LENGTH))
    found: dict[str, list[float]] = {name: [] for name in loads}
    for _ in range(rounds):
        for name, wanted in loads.items():
            given = [keys.on(wanted) for _ in range(runs)]
            found[name].append(await rate(client, definition.workflow, given, at_once))
    rates = {name: median(values) for name, values in found.items()}
    shares = {f"{name}_share": round(value / rates["balanced"], 3) for name, value in rates.items()}
    return {**{f"{name}_tasks_per_s": round(value, 1) for name, value in rates.items()}, **shares}


def measure(shards: int, kind: Kind, *, seconds: float, slots: int, rounds: int) -> Figures:
    """One server with as many workers as shards."""
    with tempfile.TemporaryDirectory(prefix="wfe-skew-") as directory:

        async def whole(found: Any) -> Figures:
            async with client_of(found) as client:
                return await compare(client, kind, seconds, 4 * shards * slots, rounds)

        with server(Path(directory) / "data", shards=shards, workers=shards, slots=slots) as found:
            return {"shards": shards, "task_ms": kind.work_ms or kind.wait_ms, **run(whole(found))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--wait-ms", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--slots", type=int, default=8, help="tasks that one worker runs at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = [
        measure(shards, Kind(wait_ms=wait_ms), seconds=given.seconds, slots=given.slots, rounds=given.rounds)
        for shards in given.shards
        for wait_ms in given.wait_ms
    ]
    print(json.dumps(found, indent=None if given.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
