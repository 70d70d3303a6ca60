"""One run that goes on and on: `python bench/long_run.py [--events N] [--json]`.

A loop of one task after the other, in one process without sockets (`parts/played.py`), so that the processor time of
the shard per task can be told: in each tenth of the run, with the size of its snapshot and what of it waits for a
checkpoint; and at last how long a shard takes to come back with that run. As fast as new: the last tenth costs what the
first did.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "parts"))

from msgspec import Raw
from msgspec.msgpack import encode
from played import PlayedShard

from wfe.core.canonical import definition_hash
from wfe.model.definition import Definition, Loop, Task
from wfe.partition.entry import Entry

Figures = dict[str, Any]
EVENTS_PER_TURN = 4
"""Of the loop: an iteration begins, its task opens, is done, and the iteration ends."""


def endless() -> Definition:
    """One task after the other, for ever."""
    return Definition("endless", nodes=(Loop(id="l", max_iterations=None, do=(Task(id="t", task="bench_noop"),)),))


def the_run(played: PlayedShard) -> Entry:
    (entry,) = [entry for partition in played.shard.core.partitions.values() for entry in partition.entries.values()]
    return entry


def last_event(played: PlayedShard) -> int:
    """Of the run, wherever it is: what its store has of it need not come into memory."""
    core = played.shard.core
    held = [entry.run.seq for partition in core.partitions.values() for entry in partition.entries.values()]
    return max([*held, *(row.seq for store in core.disk.stores.values() for row in store.open_runs())])


def measure(events: int, directory: Path) -> Figures:
    """Each tenth of the run, and its recovery."""
    definition = endless()
    digest = definition_hash(definition)
    played = PlayedShard(directory, durability="sync")  # while it syncs, the thread that writes stores gets its turn
    gc.collect()
    gc.freeze()
    played._start(definition, digest, Raw(encode({})), 1)
    tenths: list[Figures] = []
    done = 0
    while len(tenths) < 10:
        begun, first = time.thread_time(), done
        while done - first < events // EVENTS_PER_TURN // 10:
            played._turn(definition, digest)
            done += played._work()
            played.back.clear()
        entry = the_run(played)
        tenths.append(
            {
                "events": entry.run.seq,
                "cpu_us_per_task": round(1e6 * (time.thread_time() - begun) / (done - first), 1),
                "snapshot_bytes": len(entry.snapshot()),
                "chunks_in_memory": len(entry.chunks),
                "log_tail_bytes": played.shard.checkpoints.tail_bytes,
            }
        )
    played._turn(definition, digest)  # commits the last results
    seq = the_run(played).run.seq
    played.close()
    gc.unfreeze()
    begun = time.thread_time()
    again = PlayedShard(directory, epoch=2)
    again.shard.recovery.tail.finish()
    recovered_s = time.thread_time() - begun
    assert seq == last_event(again), "every event that was committed is there"
    again.close()
    ratio = tenths[-1]["cpu_us_per_task"] / tenths[0]["cpu_us_per_task"]
    return {"tenths": tenths, "last_to_first": round(ratio, 3), "recovered_s": round(recovered_s, 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wfe-long-") as directory:
        figures = measure(given.events, Path(directory))
    print(json.dumps(figures) if given.json else json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
