"""Properties of the worker's protocol: whatever is lost on the way, no task is; and credit stays within its bounds."""

from __future__ import annotations

from collections import deque

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from wfe.limits import CREDIT_BYTES_MAX, CREDIT_TASKS_MAX, PAYLOAD_BYTES_MAX
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import (
    Ack,
    Credit,
    Dispatch,
    Results,
    ShardEndpoint,
    ShardLoad,
    TaskRef,
    TaskResult,
    TaskSpec,
    Welcome,
    WorkerHeartbeat,
    WorkerHello,
    WorkerWelcome,
)
from wfe.worker.actor import COORDINATOR, WorkerActor
from wfe.worker.credit import Account, plan
from wfe.worker.identity import Identity

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.decode
NOTHING = encode(None)
EMPTY = Raw(b"\x80")


class ModelShard:
    """The shard's side of the protocol, as docs/ARCHITECTURE.md tells it."""

    def __init__(self, index: int) -> None:
        self.index, self.epoch = index, 1
        self.open: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.ready: deque[str] = deque()
        self.outbox: deque[list[bytes]] = deque()
        self.forget()

    def forget(self) -> None:
        """What a shard does not keep across a restart."""
        self.known = False
        self.credit = self.dispatch_seq = self.results_seq = 0
        self.held: set[str] = set()
        self.unconfirmed: set[str] = set()

    def restart(self) -> None:
        self.epoch += 1
        self.outbox.clear()
        self.forget()
        self.ready.clear()
        self.unconfirmed = set(self.open)  # given out again unless the worker presents it

    def add(self, run: str) -> None:
        self.open[run] = 1
        self.ready.append(run)
        self.dispatch()

    def send(self, kind: Kind, body: object, request: int = 0) -> None:
        self.outbox.append([encode_header(Header(PROTOCOL, int(kind), request=request)), encode(body)])

    def on_frame(self, parts: list[bytes]) -> None:
        head = decode_header(parts[0])
        if head.kind == Kind.WORKER_HELLO:
            self._hello(decode(parts[1], type=WorkerHello), head.request)
        elif not self.known:
            self.send(Kind.REJECT, None)
        elif head.kind == Kind.CREDIT:
            self._reclaim()
            self.credit += decode(parts[1], type=Credit).tasks
        elif head.kind == Kind.RESULTS:
            self._results(decode(parts[1], type=Results))
        elif head.kind == Kind.RECALL:
            self.send(Kind.RETURNED, Credit(self.credit, 0))
            self.credit = 0
        elif head.kind == Kind.HEARTBEAT:
            decode(parts[1], type=WorkerHeartbeat)
            self._reclaim()  # a worker's first heartbeat comes after all that it presents, as its first credit does
            self.send(Kind.LOAD, ShardLoad(len(self.ready), self.dispatch_seq))
        self.dispatch()

    def _hello(self, hello: WorkerHello, request: int) -> None:
        unconfirmed = self.held | self.unconfirmed
        self.forget()
        self.known = True
        for ref in hello.held:
            if self.open.get(ref.run_id) == ref.attempt:
                self.held.add(ref.run_id)
                if ref.run_id in self.ready:
                    self.ready.remove(ref.run_id)
            else:
                self.send(Kind.CANCEL_TASKS, [ref])
        self.unconfirmed = unconfirmed - self.held
        self.send(Kind.WORKER_WELCOME, WorkerWelcome(self.epoch, 10_000), request)

    def _reclaim(self) -> None:
        for run in sorted(self.unconfirmed & set(self.open)):
            self.open[run] += 1
            self.ready.append(run)
        self.unconfirmed = set()

    def _results(self, message: Results) -> None:
        if message.seq <= self.results_seq:
            self.send(Kind.RESULTS_ACK, Ack(self.results_seq))
            return
        if message.seq != self.results_seq + 1:
            self.send(Kind.REJECT, None)
            return
        self.results_seq = message.seq
        for result in message.results:
            if self.open.get(result.run_id) == result.attempt:
                del self.open[result.run_id]
                assert result.run_id not in self.done
                self.done[result.run_id] = result.attempt
                self.held.discard(result.run_id)
                self.unconfirmed.discard(result.run_id)
                if result.run_id in self.ready:
                    self.ready.remove(result.run_id)
        self.send(Kind.RESULTS_ACK, Ack(message.seq))

    def dispatch(self) -> None:
        if not self.known or not self.ready:
            return
        runs = [self.ready.popleft() for _ in range(min(self.credit, len(self.ready)))]
        if runs:
            self.dispatch_seq += 1
            self.credit -= len(runs)
            self.held.update(runs)
            specs = [TaskSpec(run, 0, 0, self.open[run], "t", 1, "n", EMPTY) for run in runs]
            self.send(Kind.DISPATCH, Dispatch(self.dispatch_seq, specs))
        elif not self.credit:
            self.send(Kind.LOAD, ShardLoad(len(self.ready), self.dispatch_seq))


class World:
    """A worker and its shards, with channels that lose what the script says."""

    def __init__(self, shards: int, slots: int) -> None:
        self.now_ms = 0
        self.shards = [ModelShard(index) for index in range(shards)]
        self.to_shard: dict[int, deque[list[bytes]]] = {index: deque() for index in range(shards)}
        self.running: dict[tuple[str, int], TaskSpec] = {}
        self.started: set[tuple[str, int]] = set()
        identity = Identity(worker="w", tasks=[("t", 1)], slots=slots)
        self.actor = WorkerActor(identity, self, self)
        self.welcome()

    # Network
    def open(self, link: int, endpoint: ShardEndpoint) -> None:
        self.to_shard[link].clear()

    def close(self, link: int) -> None:
        self.to_shard[link].clear()

    def send(self, link: int, parts: list[bytes]) -> bool:
        if link != COORDINATOR:
            self.to_shard[link].append(parts)
        return True

    # TaskRunner
    def start(self, spec: object) -> None:
        assert isinstance(spec, TaskSpec)
        attempt = (spec.run_id, spec.attempt)
        assert attempt not in self.started, "an attempt is started at most once"
        self.started.add(attempt)
        self.running[attempt] = spec

    def cancel(self, ref: object) -> None:
        assert isinstance(ref, TaskRef)

    def welcome(self) -> None:
        endpoints = [ShardEndpoint(s.index, s.epoch, "", f"tcp://shard:{s.index}") for s in self.shards]
        frame = [header(Kind.WELCOME), encode(Welcome("server", 32, 0, endpoints))]
        self.actor.on_frame(COORDINATOR, frame, self.now_ms)

    def deliver(self, index: int, *, to_shard: bool, lose: bool) -> None:
        queue = self.to_shard[index] if to_shard else self.shards[index].outbox
        if not queue:
            return
        parts = queue.popleft()
        if lose:
            return
        if to_shard:
            self.shards[index].on_frame(parts)
        else:
            self.actor.on_frame(index, parts, self.now_ms)
        self.check()

    def finish(self, count: int, took_us: int) -> None:
        ended = list(self.running)[:count]
        results = []
        for attempt in ended:
            spec = self.running.pop(attempt)
            results.append(TaskResult(spec.run_id, 0, 0, spec.attempt, 0, EMPTY, None, took_us))
        if results:
            self.actor.on_results(results, self.now_ms)
        self.check()

    def tick(self, elapsed_ms: int) -> None:
        self.now_ms += elapsed_ms
        self.actor.on_tick(self.now_ms)
        self.check()

    def settle(self) -> None:
        """A minute without losses."""
        for _ in range(600):
            self.tick(100)
            for index in range(len(self.shards)):
                while self.to_shard[index] or self.shards[index].outbox:
                    self.deliver(index, to_shard=True, lose=False)
                    self.deliver(index, to_shard=False, lose=False)
            self.finish(len(self.running), 10_000_000)

    def check(self) -> None:
        lent = sum(link.credit_tasks for link in self.actor.links.values())
        assert lent + self.actor.held <= CREDIT_TASKS_MAX
        assert self.actor.held == len(self.running)


LOSSES = st.tuples(st.integers(0, 3), st.integers(0, 3))
"""Of a frame to the shard and one from it: 0 means that it is lost."""
STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 3), st.integers(1, 30)),
    st.tuples(st.just("exchange"), st.integers(0, 3), st.lists(LOSSES, min_size=1, max_size=6)),
    st.tuples(st.just("exchange"), st.integers(0, 3), st.lists(LOSSES, min_size=1, max_size=6)),
    st.tuples(st.just("finish"), st.integers(1, 20), st.sampled_from([0, 50, 10_000_000])),
    st.tuples(st.just("tick"), st.sampled_from([100, 1_000, 3_000]), st.none()),
    st.tuples(st.just("restart"), st.integers(0, 3), st.booleans()),
)


@settings(max_examples=200)
@given(st.integers(1, 4), st.integers(1, 16), st.lists(STEPS, max_size=60))
def test_every_task_ends_exactly_once_whatever_frames_are_lost(shards, slots, steps):
    world, added = World(shards, slots), 0
    for name, first, second in steps:
        shard = world.shards[first % shards]
        if name == "add":
            for _ in range(second):
                added += 1
                shard.add(f"run-{added}")
        elif name == "exchange":
            for there, back in second:
                world.deliver(shard.index, to_shard=True, lose=there == 0)
                world.deliver(shard.index, to_shard=False, lose=back == 0)
        elif name == "finish":
            world.finish(first, second)
        elif name == "tick":
            world.tick(first)
        else:
            shard.restart()
            if second:
                world.welcome()
    world.welcome()
    world.settle()
    assert sum(len(shard.done) for shard in world.shards) == added
    assert not world.actor.held
    world.actor.retire()
    world.settle()
    assert world.actor.settled, "a worker that leaves has called back what it lent, and nothing waits for an ack"


ACCOUNTS = st.builds(
    Account,
    tasks=st.integers(0, 3_000),
    bytes=st.integers(-PAYLOAD_BYTES_MAX, 2 * CREDIT_BYTES_MAX),
    ready=st.one_of(st.just(0), st.integers(0, 10_000)),
    closed=st.booleans(),
    home=st.booleans(),
    lent_at_ms=st.integers(0, 100),
)


@given(st.lists(ACCOUNTS, min_size=1, max_size=16), st.integers(0, CREDIT_TASKS_MAX), st.integers(1, 500), st.data())
def test_no_plan_lends_beyond_the_bounds(accounts, target, step, data):
    held = data.draw(st.integers(0, 2 * CREDIT_TASKS_MAX))
    held_bytes = data.draw(st.integers(0, CREDIT_BYTES_MAX))
    orders = plan(accounts, target, step, held, held_bytes)
    assert all(order.tasks >= 0 and order.bytes >= 0 for order in orders)
    before = held + sum(a.tasks for a in accounts)
    lent = sum(order.tasks for order in orders)
    assert lent == 0 or before + lent <= min(target, CREDIT_TASKS_MAX)
    before_bytes = held_bytes + sum(max(0, a.bytes) for a in accounts)
    lent_bytes = sum(order.bytes for order in orders)
    assert lent_bytes == 0 or before_bytes + lent_bytes <= CREDIT_BYTES_MAX
    for account, order in zip(accounts, orders, strict=True):
        assert not (account.closed and order != (0, 0, False)), "nothing can be said to a closed one"
