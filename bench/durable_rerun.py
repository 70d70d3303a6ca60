"""What a re-run of a durable function costs: 1,000 recorded calls of a task, delivered one by one, in one process.

python bench/durable_rerun.py [CALLS]: CPU time per re-run, the best of 20.
"""

from __future__ import annotations

import asyncio
import sys
import time

from msgspec import Raw

import wfe
from wfe.wire import payload
from wfe.wire.durable import CALL_TASK, Called, DurableCompletion, DurableRecord, encode_record
from wfe.wire.messages import NULL, TaskSpec
from wfe.worker.durable.turns import Turns

REPEATS = 20


@wfe.task
async def step(number: int) -> int:
    return number


@wfe.workflow
async def steps(wf: wfe.Durable, count: int) -> int:
    last = 0
    for number in range(count):
        last = await step(number)
    return last


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    calls = [Called(CALL_TASK, "step", 1, "durable_rerun.py:35", 1) for _ in range(count)]
    ends = [DurableCompletion(seq, 0, payload.encode_value(seq), None, 1_700_000_000_000 + seq) for seq in range(count)]
    record = DurableRecord(0, calls, 0, ends, payload.encode_value({"count": count}), started_ms=1_700_000_000_000)
    key = (steps.offered.name, 1)
    turns = Turns(asyncio.new_event_loop(), {key: steps.offered}, print, keep=0)
    encoded = Raw(encode_record(record))
    best_s = float("inf")
    for _ in range(REPEATS):
        spec = TaskSpec("run", 0, 0, 1, key[0], 1, "steps", NULL, durable=count, recorded=encoded)
        began_s = time.process_time()
        result = turns.turn(spec)
        best_s = min(best_s, time.process_time() - began_s)
        assert result.status == 0, result.error
    turns.close()
    print(f"{count} recorded calls: {best_s * 1e3:.1f} ms CPU ({best_s / count * 1e6:.1f} us a call)")


if __name__ == "__main__":
    main()
