"""One task in many is followed through the shard; what is measured is where it waited."""

from __future__ import annotations

from msgspec import structs

from support.shard_cases import TASKS, chain, host
from support.shards import Host
from wfe.observe import LatencyWindow
from wfe.shard import stages
from wfe.shard.stages import Stages
from wfe.wire import messages as m
from wfe.wire.frames import Kind


class Clock:
    """Moves only when the test says so."""

    def __init__(self) -> None:
        self.us = 1_000_000

    def __call__(self) -> int:
        return self.us


def test_a_followed_tasks_time_is_split_into_queue_execution_and_result():
    shard = Host(chain(1), tasks=TASKS)
    shard.hello(credit=0)
    clock = Clock()
    latencies: dict[str, LatencyWindow] = {}
    follow = shard.shard.core.stages = Stages(latencies, clock)
    shard.start("chain", 1)
    clock.us += 500
    shard.worker_frame(Kind.CREDIT, m.Credit(1, 1 << 20))
    shard.turn()
    (task,) = shard.dispatched()
    clock.us += 3_000
    shard.results([structs.replace(shard.execute(task), started_us=1_000)])
    found = {name: window.summary(shard.now_ms).max_us for name, window in latencies.items()}
    assert found == {"queue": 500, "execution": 1_000, "result": 2_000}
    assert not follow.followed


def test_one_task_in_many_is_followed():
    shard = host(chain(1))
    latencies: dict[str, LatencyWindow] = {}
    shard.shard.core.stages = Stages(latencies, Clock())
    for _ in range(2 * stages.EVERY + 1):
        shard.start("chain", 1)
    shard.settle()
    assert latencies["queue"].summary(shard.now_ms).count == 3


def test_a_task_that_nobody_takes_is_let_go():
    shard = Host(chain(1), tasks=TASKS)
    shard.hello(credit=0)
    clock = Clock()
    shard.shard.core.stages = follow = Stages({}, clock)
    shard.start("chain", 1)
    assert len(follow.followed) == 1
    clock.us += stages.FORGET_US + 1
    shard.now_ms += 10_000
    shard.turn()
    assert not follow.followed
