"""Which starts are taken when there is more than can be done: bounded, fair between clients, and with a hint."""

from __future__ import annotations

from collections import Counter

import pytest

from support.shard_cases import TASKS, chain
from support.shards import Host
from wfe.errors import Busy
from wfe.limits import BUSY_RETRY_MAX_MS, BUSY_RETRY_MS
from wfe.partition.ready import ReadyQueue
from wfe.shard.admission import Admission

FLOOD, MODEST, OTHER = b"flood", b"modest", b"other"


class Queue:
    """A shard whose queue is as long as the test says; admitted starts make it longer."""

    def __init__(self, ready_max: int) -> None:
        shard = Host(chain(), tasks=TASKS)
        self.core = shard.shard.core
        self.core.settings.ready_max = ready_max
        self.admission = Admission(self.core, lambda: False)
        self.now_ms = 0

    def start(self, client: bytes) -> Busy | None:
        try:
            self.admission.check(client, self.now_ms)
        except Busy as refusal:
            return refusal
        self.core.ready.size += 1
        return None

    def end(self, tasks: int) -> None:
        self.core.ready.size = max(0, self.core.ready.size - tasks)


def test_the_queue_is_bounded() -> None:
    queue = Queue(100)
    assert sum(queue.start(FLOOD) is None for _ in range(500)) == 100
    queue.end(1)
    assert queue.start(FLOOD) is None, "alone, it may have all of the room"


def test_one_that_floods_does_not_starve_another() -> None:
    queue = Queue(1_000)
    taken: Counter[bytes] = Counter()
    for step in range(2_000):
        queue.now_ms += 10
        for _ in range(50):
            taken[FLOOD] += queue.start(FLOOD) is None
        if step % 5 == 0:
            taken[MODEST] += queue.start(MODEST) is None
        queue.end(10)
    assert taken[MODEST] >= 0.97 * 400, "it asks for a fiftieth of what the server can do, and gets it"
    assert taken[FLOOD] > 18_000, "the rest is not wasted"


def test_two_that_flood_get_about_the_same() -> None:
    queue = Queue(1_000)
    taken: Counter[bytes] = Counter()
    for _ in range(2_000):
        queue.now_ms += 10
        for client, times in ((FLOOD, 100), (OTHER, 20)):
            for _ in range(times):
                taken[client] += queue.start(client) is None
        queue.end(10)
    assert 0.7 < taken[FLOOD] / taken[OTHER] < 1.4


def test_a_client_that_is_gone_takes_no_share() -> None:
    queue = Queue(100)
    for _ in range(100):
        queue.start(FLOOD)
        queue.start(MODEST)
    for _ in range(20):
        queue.now_ms += 1_000
        queue.end(5)
        for _ in range(10):
            queue.start(FLOOD)
    assert queue.core.ready.size == 100


def test_the_more_are_refused_the_later_they_are_told_to_come_back() -> None:
    queue = Queue(10)
    for _ in range(10):
        queue.start(FLOOD)
    first = queue.start(FLOOD)
    assert first is not None
    assert first.retry_after_s == BUSY_RETRY_MS / 1_000
    for _ in range(2):
        queue.now_ms += 1_000
        queue.end(1)
        for _ in range(7):
            later = queue.start(FLOOD)
    assert later is not None
    assert later.retry_after_s == pytest.approx(BUSY_RETRY_MS * 7 / 1_000)
    for _ in range(2):
        queue.now_ms += 1_000
        for _ in range(100):
            last = queue.start(FLOOD)
    assert last is not None
    assert last.retry_after_s == BUSY_RETRY_MAX_MS / 1_000


def test_a_short_queue_is_looked_through_before_it_counts_as_full() -> None:
    queue = ReadyQueue(100)
    for number in range(80):
        queue.push(0, ("inc", 1), object(), number)  # type: ignore[arg-type]
    queue.compact(lambda entry, key: key < 3)
    assert queue.size == 3


def test_a_client_hears_busy_with_the_hint() -> None:
    shard = Host(chain(), tasks=TASKS)
    shard.shard.core.settings.ready_max = 2
    for _ in range(2):
        shard.start("chain", 1)
    refused = shard.start("chain", 1)
    assert refused.error.code == "busy"
    assert refused.error.retry_after_ms == BUSY_RETRY_MS
