"""What a shard does that has reached its limit of memory: it refuses new runs, makes room, and takes some again."""

from __future__ import annotations

import ctypes

import psutil
import pytest
from msgspec import Raw

from support.shard_cases import TASKS, chain, waiting
from support.shards import Host, encode
from wfe.limits import HEARTBEAT_MS, MEMORY_GROWTH_PERCENT, MEMORY_OVER_PERCENT
from wfe.shard import checkpoints
from wfe.shard.machine import memory_of
from wfe.shard.memory import MemoryGate, give_back
from wfe.wire import messages as m
from wfe.wire.frames import Kind

LIMIT_BYTES = 1_000
GROWTH_BYTES = LIMIT_BYTES * MEMORY_GROWTH_PERCENT // 100


class Process:
    """Takes ``own_bytes``, of which the allocator gives ``spare_bytes`` back when it is asked."""

    def __init__(self) -> None:
        self.own_bytes = self.spare_bytes = 0
        self.runs = 0
        self.gate = MemoryGate(lambda: self.own_bytes, self.give_back)

    def give_back(self) -> None:
        self.own_bytes, self.spare_bytes = self.own_bytes - self.spare_bytes, 0

    def refuses(self, own_bytes: int, runs: int) -> bool:
        self.own_bytes = own_bytes
        return self.gate.closed(LIMIT_BYTES, runs)


@pytest.fixture
def process() -> Process:
    return Process()


def test_below_the_limit_nothing_is_refused_and_what_falls_below_it_is_taken_at_once(process: Process) -> None:
    assert not process.refuses(LIMIT_BYTES - 1, 100)
    assert process.refuses(LIMIT_BYTES, 100)
    assert not process.refuses(LIMIT_BYTES - 1, 100)
    assert process.refuses(LIMIT_BYTES, 100), "it is no more over it than it was"


def test_a_process_that_gives_nothing_back_takes_runs_again_once_a_quarter_of_them_has_left(process: Process) -> None:
    assert process.refuses(LIMIT_BYTES, 100)
    assert process.refuses(LIMIT_BYTES, 76)
    assert not process.refuses(LIMIT_BYTES, 75)
    assert not process.refuses(LIMIT_BYTES, 100), "they found room in what the process has"
    assert not process.refuses(LIMIT_BYTES + GROWTH_BYTES - 1, 110)
    assert process.refuses(LIMIT_BYTES + GROWTH_BYTES, 111), "they did not"
    assert process.refuses(LIMIT_BYTES + GROWTH_BYTES, 100)
    assert not process.refuses(LIMIT_BYTES + GROWTH_BYTES, 83)


def test_what_the_allocator_gives_back_counts_at_once(process: Process) -> None:
    assert process.refuses(LIMIT_BYTES, 100)
    process.spare_bytes = 500
    assert not process.refuses(LIMIT_BYTES, 75)
    assert not process.refuses(LIMIT_BYTES - 1, 200), "it was far below its limit again"
    assert process.refuses(LIMIT_BYTES, 201)


def test_with_nothing_in_memory_nothing_is_refused_for_longer_than_a_heartbeat(process: Process) -> None:
    for own_bytes in range(LIMIT_BYTES, 3 * LIMIT_BYTES, 100):
        if process.refuses(own_bytes, 0):
            assert not process.refuses(own_bytes, 0)


def test_a_process_that_gives_nothing_back_and_never_rests_does_not_grow_for_ever(process: Process) -> None:
    runs = taken = 0
    for _ in range(2_000):
        if not process.refuses(max(process.own_bytes, runs * 10), runs):
            runs, taken = runs + 20, taken + 20
        runs -= min(runs, 5)
    burst_bytes = 20 * 10
    assert process.own_bytes <= LIMIT_BYTES * (100 + MEMORY_OVER_PERCENT) // 100 + burst_bytes
    assert taken > 2_000, "it has gone on taking some"


def begin(shard: Host, runs: int) -> None:
    wanted = [m.StartRun(shard.run_id(0), Raw(encode(None))) for _ in range(runs)]
    shard.ask(Kind.START, 0, wanted, workflow="waiting")
    for _ in range(30):
        shard.now_ms += 100
        shard.turn()


def rest(shard: Host) -> None:
    shard.now_ms += HEARTBEAT_MS
    shard.turn()


def test_while_memory_is_short_runs_that_only_wait_leave_it() -> None:
    shard = Host(waiting(), chain(), tasks=TASKS)
    has_task = shard.start("chain", 1).run_id
    begin(shard, 5)
    core = shard.shard.core
    assert core.live_runs == 6, "there is room for all"
    core.memory_full = True
    rest(shard)
    assert core.live_runs == 1
    assert any(has_task in partition.entries for partition in core.partitions.values())
    for run_id in core.partitions[0].evicted:
        assert shard.get(run_id).status == "waiting"


def test_it_goes_on_with_the_partition_where_it_stopped_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVICT_LOOK_RUNS", 1)
    shard = Host(waiting(), chain(), tasks=TASKS)
    core = shard.shard.core
    for number in core.partitions:
        wanted = m.StartRun(shard.run_id(number), Raw(encode(None)))
        shard.ask(Kind.START, number, [wanted], workflow="waiting")
    begin(shard, 0)
    live = core.live_runs
    assert live == len(core.partitions) > 1
    core.memory_full = True
    for left in reversed(range(live)):
        rest(shard)
        assert core.live_runs == left


def test_give_back_returns_what_lies_between_things_that_are_held() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("not glibc: it gives memory back by itself, or cannot")
    process = psutil.Process()
    blocks = [bytes(4_000) for _ in range(20_000)]
    held = blocks[::50]
    full_bytes = memory_of(process)[1]
    del blocks
    give_back()
    assert len(held) == 400
    assert full_bytes - memory_of(process)[1] > 40_000_000


def test_where_no_c_library_can_be_asked_nothing_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_windows_does(name: str | None) -> None:
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr(ctypes, "CDLL", as_windows_does)
    give_back()
