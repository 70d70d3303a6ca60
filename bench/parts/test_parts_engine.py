"""What the parts around the core cost: messages, the log, the ready queue, timers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from wfe.client.bench import definitions
from wfe.core.canonical import definition_hash
from wfe.core.compile import compile_plan
from wfe.journal.log import Chunk, ShardLog
from wfe.lmdb.layout import open_log
from wfe.model.event import EventChunk, TaskDone, TasksOpened
from wfe.model.ids import mint_run_id
from wfe.model.state import NULL, RunState
from wfe.partition.entry import Entry, decode_events, encode_events
from wfe.partition.ready import ReadyQueue
from wfe.partition.timers import TimerHeap
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header
from wfe.wire.messages import Dispatch, Results, TaskResult, TaskSpec

NOW_MS = 1_700_000_000_000
FRAME = 100
RUN_IDS = [mint_run_id(0, NOW_MS, number) for number in range(200)]
INPUT = Raw(msgspec.msgpack.encode({"data": "x" * 100}))
encode = msgspec.msgpack.Encoder().encode


def specs() -> Dispatch:
    return Dispatch(1, [TaskSpec(run, 3, 0, 1, "bench_noop", 1, "step_3", INPUT) for run in RUN_IDS[:FRAME]])


def results() -> Results:
    return Results(1, [TaskResult(run, 3, 0, 1, 0, INPUT, None, 12) for run in RUN_IDS[:FRAME]])


@pytest.mark.parametrize("message", [specs(), results()], ids=["dispatch", "results"])
def test_a_frame_of_a_hundred_is_encoded(benchmark: Any, message: Any) -> None:
    assert len(benchmark(encode, message)) > FRAME * 100
    benchmark.extra_info.update(per="message", units=FRAME)


@pytest.mark.parametrize("message", [specs(), results()], ids=["dispatch", "results"])
def test_a_frame_of_a_hundred_is_decoded(benchmark: Any, message: Any) -> None:
    body = encode(message)
    found = benchmark(msgspec.msgpack.Decoder(type(message)).decode, body)
    assert encode(found) == body
    benchmark.extra_info.update(per="message", units=FRAME)


def test_a_header_goes_there_and_back(benchmark: Any) -> None:
    head = Header(PROTOCOL, int(Kind.START), 3, 77, "checkout", 1, "0" * 32)
    assert benchmark(lambda: decode_header(encode_header(head))) == head
    benchmark.extra_info.update(per="header", units=1)


def chunk_events() -> list[Any]:
    return [TaskDone(3, 0, 1, NULL), TasksOpened(0, (4,))]


def test_the_events_of_a_run_are_encoded(benchmark: Any) -> None:
    events = chunk_events()
    assert benchmark(encode_events, (NOW_MS, events))
    benchmark.extra_info.update(per="event", units=len(events))


def test_the_events_of_a_run_are_decoded(benchmark: Any) -> None:
    data = encode_events((NOW_MS, chunk_events()))
    found = benchmark(decode_events, data)
    assert isinstance(found, EventChunk)
    benchmark.extra_info.update(per="event", units=len(found.events))


@pytest.fixture(params=["sync", "none"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShardLog]:
    opened = ShardLog(open_log(tmp_path, 0, durability=request.param), 1)
    yield opened
    opened.close()


def test_a_batch_of_200_runs_is_committed(benchmark: Any, log: ShardLog) -> None:
    events = encode_events((NOW_MS, chunk_events()))
    chunks = [Chunk(0, 1, run_id, 1, 2, events) for run_id in RUN_IDS]

    def commit() -> None:
        log.trim(max(log.append(chunks) - 64, 0))

    benchmark.pedantic(commit, rounds=500, warmup_rounds=20)
    benchmark.extra_info.update(per="task", units=len(RUN_IDS))


def entries() -> list[Entry]:
    definition = definitions.chain(10)
    plan = compile_plan(definition, definition_hash(definition))
    return [Entry(0, RunState(run_id, definition.workflow, 1, plan.hash, NULL, NOW_MS), plan) for run_id in RUN_IDS]


def test_the_ready_queue_takes_and_gives(benchmark: Any) -> None:
    queue, waiting = ReadyQueue(), entries()
    kind = ("bench_noop", 1)
    kinds = frozenset([kind])

    def there_and_back() -> int:
        for entry in waiting:
            queue.push(0, kind, entry, 3)
        return len(queue.take(kinds, FRAME)) + len(queue.take(kinds, FRAME))

    assert benchmark(there_and_back) == 2 * FRAME
    benchmark.extra_info.update(per="task", units=len(waiting))


def test_timers_are_armed_and_fire_among_a_hundred_thousand(benchmark: Any) -> None:
    heap = TimerHeap()
    for number in range(100_000):
        heap.arm(NOW_MS + 1_000_000 + number, RUN_IDS[number % 200], number)
    clock = itertools.count(NOW_MS)

    def arm_and_fire() -> int:
        now_ms = next(clock)
        for number in range(FRAME):
            heap.arm(now_ms, RUN_IDS[number], number)
        return len(heap.take_due(now_ms, 1_000))

    assert benchmark(arm_and_fire) == FRAME
    benchmark.extra_info.update(per="timer", units=FRAME)
