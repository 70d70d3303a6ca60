"""A simulated worker process: the production actor, tasks that take simulated time, misbehave, and kill their process.

Plays `worker.process.WorkerProcess` and `worker.runner.Runner`. What a task returns depends on its input alone, so that
the auditor can tell which results are allowed; whether it fails, how long it takes and what it does to its process is
chance.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec import Raw, msgpack

from wfe.config import WorkerOptions
from wfe.limits import DRAIN_MS
from wfe.model.durable import NEED_ALL
from wfe.model.policy import ErrorInfo
from wfe.sim.durable import Clock, Unwatched, registered
from wfe.sim.node import Node
from wfe.sim.pools import Equipped
from wfe.sim.tasks import CUSTOM, HTTP, LARGE, TASKS, argument, given
from wfe.wire.blobs import input_of
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import NULL, Ack, Dispatch, Results, ShardEndpoint, TaskBeat, TaskRef, TaskResult, TaskSpec
from wfe.worker.actor import COORDINATOR, WorkerActor
from wfe.worker.durable.turns import Turns
from wfe.worker.identity import Identity
from wfe.worker.link import LinkState
from wfe.worker.task_logs import LineBuffer

if TYPE_CHECKING:
    from wfe.sim.world import World

TICK_US, CONNECTING_TICK_US = 100_000, 20_000
DONE, FAILED, CANCELLED = 0, 1, 2
Key = tuple[str, int, int, int]
_RESULTS_ACK, _DISPATCH = header(Kind.RESULTS_ACK), header(Kind.DISPATCH)
_decode_ack = msgpack.Decoder(Ack).decode
_decode_dispatch = msgpack.Decoder(Dispatch).decode
_decode_results = msgpack.Decoder(Results).decode


def error_named(kind: str, message: str, base: str) -> ErrorInfo:
    return ErrorInfo(kind, message, types=(kind, base, "Exception", "BaseException"))


def _unused(result: TaskResult) -> None:
    raise AssertionError("turns are run when their time is over, and their results returned")


class Behaviour:
    """What tasks do. ``poison``: the probability that a poison task kills its process."""

    def __init__(self, random: Random, *, poison: float) -> None:
        self._random = random
        self.poison = poison
        self.hurry = False
        """Nothing takes long any more."""

    def duration_us(self, task: str) -> int:
        random = self._random
        if task in ("slow", "stubborn", "beating") and not self.hurry:
            return random.randint(50_000, 3_000_000)
        return random.choice((200, 1_000, 1_000, 5_000, 20_000))

    def end(self, spec: TaskSpec) -> TaskResult | None:
        """How an attempt ends; None: it kills its process."""
        value, error = Raw(bytes(value_of(spec))), None
        if spec.task == "flaky" and self._random.random() < 0.4:
            error = error_named("ValueError", "flaky", "Exception")
        elif spec.task == "boom":
            error = error_named("KeyError", "boom", "LookupError")
        elif spec.task == "poison" and self._random.random() < self.poison:
            return None
        if error is not None:
            return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, FAILED, NULL, error, 1_000)
        return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, DONE, value, None, 1_000)


def value_of(spec: TaskSpec) -> Raw:
    """What the task gives back when it succeeds, encoded."""
    data = input_of(spec)
    if spec.task in ("odd", LARGE, HTTP):
        return Raw(msgpack.encode(given(spec.task, argument(spec.task, msgpack.decode(data)))))
    return msgpack.decode(data, type=dict[str, Raw])["x"]


class WorkerNode(Node):
    """One process, local (a child of the engine) or remote."""

    def __init__(self, world: World, name: str, options: WorkerOptions, *, slots: int) -> None:
        super().__init__(world, name)
        self.options = options
        self.offset_ms = world.chance("clocks").randint(0, 10**9)  # a monotonic clock begins anywhere
        self._links: dict[int, Any] = {}
        self._slots = slots
        self._waiting: deque[TaskSpec] = deque()
        self._running: dict[Key, TaskSpec] = {}
        self._cancelled: set[Key] = set()
        self._beats: list[TaskBeat] = []
        self._reported: dict[int, dict[int, list[Key]]] = {}
        self._leaving = False
        self._leave_by_ms = 0
        self._equipped = Equipped(options.labels, options.resources)
        function = registered()
        offered = {(function.name, function.version): function}
        identity = Identity(
            worker=options.worker,
            tasks=[(task, 1) for task in (*TASKS, LARGE, HTTP, CUSTOM)] + list(offered),
            slots=slots,
            token=options.token,
            index=options.index,
            local=options.local,
            labels=self._equipped.labels,
            resources=self._equipped.resources,
        )
        self.lines = LineBuffer()
        self.actor = WorkerActor(identity, self, self, self.lines)
        keep = world.chance("live functions").choice((0, 1, 100, 100))
        clock: Any = Clock(lambda: world.schedule.now_us)
        self._turns = Turns(clock, offered, _unused, keep=keep, watch=Unwatched())
        self.after(world.chance("boot").randint(5_000, 80_000), f"boot {name}", self._boot)

    def _boot(self) -> None:
        self._connect(COORDINATOR, self.world.front_address)
        self._tick()

    def _tick(self) -> None:
        actor, now_ms = self.actor, self.now_ms()
        beats, self._beats = self._beats, []
        actor.on_beats(beats)
        actor.retire(self._leaving)
        actor.on_tick(now_ms)
        if self._leaving:
            self._leave_by_ms = self._leave_by_ms or now_ms + DRAIN_MS
            if actor.settled or now_ms >= self._leave_by_ms:
                actor.leave()
                self.after(5_000, f"left {self.name}", self.die, 0)  # what was said is delivered first
                return
        self.after(CONNECTING_TICK_US if actor.connecting else TICK_US, f"tick {self.name}", self._tick)

    def drain(self) -> None:
        """As SIGTERM: finish what runs, then leave."""
        self._leaving = True

    # ---- the network of the actor -----------------------------------------------------------------------------------

    def open(self, link: int, endpoint: ShardEndpoint) -> None:
        self._connect(link, endpoint.tcp)

    def close(self, link: int) -> None:
        if (known := self._links.pop(link, None)) is not None:
            known.close()

    def _connect(self, link: int, address: str) -> None:
        self.close(link)

        def on_frame(_peer: bytes, parts: list[bytes]) -> None:
            if self._links.get(link) is dealer:
                if link != COORDINATOR and (acked := _acked_in(parts)):
                    self._acknowledged(link, acked)
                self.actor.on_frame(link, parts, self.now_ms())

        identity = self.world.fresh_identity(self.name)
        dealer = self._links[link] = self.world.network.connect(self.name, address, identity, self.incoming(on_frame))

    def send(self, link: int, parts: list[bytes]) -> bool:
        dealer = self._links.get(link)
        if link != COORDINATOR:
            self._note(link, parts)
        return dealer is not None and dealer.send(b"", parts)

    def _note(self, link: int, parts: list[bytes]) -> None:
        """Which results travel under which number: until it is acknowledged, the worker answers for them."""
        kind = decode_header(parts[0]).kind
        if kind == Kind.RESULTS:
            message = _decode_results(parts[1])
            told = [r for r in message.results if r.status != NEED_ALL]
            keys = [(r.run_id, r.node, r.activation, r.attempt) for r in told]
            self._reported.setdefault(link, {})[message.seq] = keys
        elif kind == Kind.WORKER_HELLO:
            self._reported.pop(link, None)

    def _acknowledged(self, link: int, seq: int) -> None:
        if self.actor.links[link].state is not LinkState.OPEN:
            return
        reported = self._reported.get(link, {})
        for number in [n for n in reported if n <= seq]:
            self.world.auditor.results_acknowledged(self, reported.pop(number))

    # ---- the runner -------------------------------------------------------------------------------------------------

    def start(self, spec: object) -> None:
        assert isinstance(spec, TaskSpec)
        self._waiting.append(spec)
        self._fill()

    def cancel(self, ref: object) -> None:
        assert isinstance(ref, TaskRef)
        key = (ref.run_id, ref.node, ref.activation, ref.attempt)
        if not ref.attempt:
            self._turns.cancel(ref)
            return
        running = self._running.get(key)
        if running is not None:
            if running.task != "stubborn" and key not in self._cancelled:
                self._cancelled.add(key)
                self.after(1_000, f"cancelled {self.name}", self._ended, key, self._withdrawn(key))
            return
        for spec in self._waiting:
            if key == (spec.run_id, spec.node, spec.activation, spec.attempt):
                self._waiting.remove(spec)
                self.after(100, f"cancelled {self.name}", self._deliver, [self._withdrawn(key)])
                return

    def _withdrawn(self, key: Key) -> TaskResult:
        return TaskResult(*key, CANCELLED, NULL, None, 0)

    def _fill(self) -> None:
        held = (*self._waiting, *self._running.values())
        self._equipped.check(self.name, map(self.world.auditor.node_of, held))
        while self._waiting and len(self._running) < self._slots:
            spec = self._waiting.popleft()
            key = (spec.run_id, spec.node, spec.activation, spec.attempt)
            self._running[key] = spec
            self._turns.took(spec)
            self.world.auditor.executed(self, spec)
            duration_us = self.world.behaviour.duration_us(spec.task)
            if spec.task == "beating":
                details = Raw(msgpack.encode(spec.attempt))
                self._beats.append(TaskBeat(TaskRef(*key), details, 0.5))
            if spec.timeout_ms and duration_us > spec.timeout_ms * 1_000:
                error = error_named("TimedOut", "too slow", "Exception")
                late = TaskResult(*key, FAILED, NULL, error, duration_us)
                self.after(spec.timeout_ms * 1_000, f"time-out {self.name}", self._ended, key, late)
            else:
                self.after(duration_us, f"task {self.name}", self._finished, spec, key)

    def _turn(self, spec: TaskSpec) -> TaskResult:
        result = self._turns.turn(spec)
        result.started_us = 1_000  # what it took by the clock on the wall is no business of this world
        return result

    def _finished(self, spec: TaskSpec, key: Key) -> None:
        result = self._turn(spec) if spec.durable else self.world.behaviour.end(spec)
        self.world.speech.of_task(self.lines, spec, self.options.worker, self.now_ms())
        if result is None:
            self.die(-11)
            return
        self._ended(key, result)
        if spec.task == "twice":
            self._deliver([result])

    def _ended(self, key: Key, result: TaskResult) -> None:
        if self._running.pop(key, None) is None:
            return
        self._cancelled.discard(key)
        self._turns.go_ahead([result])
        self.world.auditor.finished(self, result)
        self._deliver([result])
        self._fill()

    def _deliver(self, results: list[TaskResult]) -> None:
        beats, self._beats = self._beats, []
        self.actor.on_results(results, self.now_ms(), beats)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def die(self, code: int) -> None:
        if not self.alive:
            return
        super().die(code)
        self._turns.close()
        for dealer in self._links.values():
            dealer.close()
        self._links.clear()
        self.world.ended(self, code)


def _acked_in(parts: list[bytes]) -> int:
    """The number of results that a shard's frame acknowledges; 0: it does not."""
    if parts[0] == _RESULTS_ACK:
        return _decode_ack(parts[1]).seq
    return _decode_dispatch(parts[1]).acked if parts[0] == _DISPATCH else 0
