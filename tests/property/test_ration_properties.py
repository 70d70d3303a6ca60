"""Resources of a worker under any order of events: never oversubscribed, and nobody waits for ever."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from wfe.model.needs import Needs, missing_resources, needs_of
from wfe.wire.lending import Want
from wfe.worker.ration import Key, Ration

TOTALS = {"gpu": 2_000, "memory": 4_000, "tape": 1_000}
KINDS = [
    needs_of((), resources)
    for resources in (
        {"gpu": 1},
        {"gpu": 2},
        {"gpu": 0.5, "memory": 1},
        {"memory": 4},
        {"memory": 1, "tape": 1},
        {"gpu": 2, "memory": 4, "tape": 1},
    )
]
SHARDS = 3


@dataclass
class World:
    """Shards that use grants as the real ones do, over a network that keeps the order of what each side says."""

    slots: int
    ration: Ration = field(init=False)
    now_ms: int = 0

    def __post_init__(self) -> None:
        self.ration = Ration(TOTALS, self.slots)
        self.waiting = [Counter[Needs]() for _ in range(SHARDS)]
        self.to_shard: list[deque[list[Want]]] = [deque() for _ in range(SHARDS)]
        self.to_worker: list[deque[tuple[str, object]]] = [deque() for _ in range(SHARDS)]
        self.running: list[tuple[Key, Needs]] = []
        self.numbers = itertools.count()
        self.done = 0

    def add(self, shard: int, needs: Needs) -> None:
        self.waiting[shard][needs] += 1
        self.load(shard)

    def load(self, shard: int) -> None:
        wants = [Want(needs, count) for needs, count in self.waiting[shard].items() if count]
        self.to_worker[shard].append(("load", wants))

    def shard_hears(self, shard: int) -> None:
        if not self.to_shard[shard]:
            return
        vain = []
        for grant in self.to_shard[shard].popleft():
            used = min(grant.count, self.waiting[shard][grant.needs])
            self.waiting[shard][grant.needs] -= used
            if used:
                self.to_worker[shard].append(("dispatch", Want(grant.needs, used)))
            if grant.count > used:
                vain.append(Want(grant.needs, grant.count - used))
        if vain:
            self.to_worker[shard].append(("unused", vain))
        self.load(shard)

    def worker_hears(self, shard: int) -> None:
        if not self.to_worker[shard]:
            return
        what, body = self.to_worker[shard].popleft()
        if what == "load":
            self.ration.wanted(shard, body)  # type: ignore[arg-type]
        elif what == "unused":
            self.ration.unused(shard, body)  # type: ignore[arg-type]
        else:
            assert isinstance(body, Want)
            for _ in range(body.count):
                key = (f"run-{shard}", 0, next(self.numbers), 1)
                self.ration.take(key, body.needs)
                self.running.append((key, body.needs))
            self.ration.used(shard, body.needs, body.count)

    def withdraw(self, shard: int, needs: Needs) -> None:
        """A task goes to another worker, or is cancelled."""
        if self.waiting[shard][needs]:
            self.waiting[shard][needs] -= 1

    def end(self, index: int) -> None:
        if self.running:
            key, _ = self.running.pop(index % len(self.running))
            self.done += 1
            self.ration.ended([key])

    def allot(self) -> None:
        self.now_ms += 1
        for shard, grants in self.ration.allot(range(SHARDS), self.now_ms).items():
            self.to_shard[shard].append(grants)

    def check(self) -> None:
        """What runs fits into what there is; so do the grants that are on their way."""
        used: Counter[str] = Counter()
        count = 0
        granted = [Want(needs, 1) for _, needs in self.running]
        for shard in range(SHARDS):
            granted += [grant for grants in self.to_shard[shard] for grant in grants]
            for what, body in self.to_worker[shard]:
                if what == "dispatch":
                    granted.append(body)  # type: ignore[arg-type]
                elif what == "unused":
                    granted += body  # type: ignore[operator]
        for grant in granted:
            count += grant.count
            for name, amount in grant.needs.resources:
                used[name] += amount * grant.count
        assert all(used[name] <= total for name, total in TOTALS.items()), used
        assert count <= self.slots


shards = st.integers(0, SHARDS - 1)
kinds = st.sampled_from(KINDS)
steps = st.one_of(
    st.tuples(st.just("add"), shards, kinds),
    st.tuples(st.sampled_from(["shard_hears", "worker_hears"]), shards),
    st.tuples(st.just("withdraw"), shards, kinds),
    st.tuples(st.just("end"), st.integers(0, 20)),
    st.tuples(st.just("allot")),
)


@given(st.integers(1, 8), st.lists(steps, max_size=80))
def test_resources_are_never_oversubscribed_and_all_tasks_run_in_the_end(slots: int, moves: list[tuple]) -> None:
    world = World(slots)
    for name, *arguments in moves:
        getattr(world, name)(*arguments)
        world.check()
    for _ in range(2_000):
        if not (any(+counter for counter in world.waiting) or world.running or any(world.to_worker)):
            break
        world.allot()
        for shard in range(SHARDS):
            world.shard_hears(shard)
            while world.to_worker[shard]:
                world.worker_hears(shard)
                world.check()
        world.end(0)
    assert not world.running
    assert not any(+counter for counter in world.waiting)
    for shard in range(SHARDS):
        world.shard_hears(shard)
        while world.to_worker[shard]:
            world.worker_hears(shard)
    assert not world.ration.held
    assert not world.ration.granted


@given(st.lists(st.tuples(shards, kinds), max_size=30), shards, kinds, st.integers(1, 8))
def test_a_stream_of_others_never_keeps_a_task_waiting(
    others: list[tuple[int, Needs]], shard: int, needs: Needs, slots: int
) -> None:
    """However many small tasks come, one that waits is served before all that were wanted after it are through."""
    world = World(slots)
    for place in others:
        world.add(*place)
    world.add(shard, needs)
    before = world.waiting[shard][needs]
    small = needs_of((), {"gpu": 0.5, "memory": 1})
    assert small is not None
    assert not missing_resources(small, TOTALS)
    for _ in range(10 * len(others) + 20):
        for number in range(SHARDS):
            world.add(number, small)  # the stream
            while world.to_worker[number]:
                world.worker_hears(number)
        world.allot()
        for number in range(SHARDS):
            world.shard_hears(number)
            while world.to_worker[number]:
                world.worker_hears(number)
        world.check()
        world.end(0)
        if needs != small and not world.waiting[shard][needs]:
            return
    assert needs == small or world.waiting[shard][needs] < before
