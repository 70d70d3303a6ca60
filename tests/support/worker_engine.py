"""A network and a runner that only remember, and frames as a server would send them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from wfe.limits import CREDIT_TASKS_MAX
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header
from wfe.wire.lending import Grants
from wfe.wire.messages import (
    Ack,
    Credit,
    Dispatch,
    ErrorReply,
    Hello,
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
from wfe.wire.task_logs import LogFrame
from wfe.worker.actor import COORDINATOR, WorkerActor
from wfe.worker.identity import Identity
from wfe.worker.task_logs import LineBuffer

EMPTY = Raw(b"\x80")
BODIES: dict[int, Any] = {
    Kind.HELLO: Hello,
    Kind.WORKER_HELLO: WorkerHello,
    Kind.CREDIT: Credit,
    Kind.RESULTS: Results,
    Kind.HEARTBEAT: WorkerHeartbeat,
    Kind.TASK_LOGS: LogFrame,
    Kind.GRANT: Grants,
}


def spec(run: str, attempt: int = 1, size: int = 0, **fields: Any) -> TaskSpec:
    raw = Raw(msgspec.msgpack.encode(b"x" * size)) if size else EMPTY
    return TaskSpec(run, 0, 0, attempt, "t", 1, "n", raw, **fields)


def result(run: str, attempt: int = 1, took_us: int = 10, value: bytes = b"\xc0") -> TaskResult:
    return TaskResult(run, 0, 0, attempt, 0, Raw(value), None, took_us)


def result_of(spec: TaskSpec) -> TaskResult:
    return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, 0, Raw(b"\xc0"), None, 10)


def frame(kind: Kind, body: object = None, request: int = 0) -> list[bytes]:
    return [encode_header(Header(PROTOCOL, int(kind), request=request)), msgspec.msgpack.encode(body)]


class Engine:
    """A worker's actor with a coordinator and shards that the test plays by hand."""

    def __init__(
        self,
        shards: int = 1,
        slots: int = 4,
        index: int = 0,
        lines: LineBuffer | None = None,
        resources: dict[str, int] | None = None,
    ) -> None:
        self.now_ms = 1_000
        self.connected = True
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.sent: list[tuple[int, int, Any]] = []
        self.requests: dict[int, int] = {}
        self.started: list[TaskSpec] = []
        self.cancelled: list[str] = []
        identity = Identity(
            worker="w", tasks=[("t", 1)], slots=slots, token="secret", index=index, resources=resources or {}
        )
        self.actor = WorkerActor(identity, self, self, lines)
        self.endpoints = [ShardEndpoint(i, 1, f"ipc://shard-{i}", f"tcp://shard-{i}") for i in range(shards)]

    # Network and TaskRunner
    def open(self, link: int, endpoint: ShardEndpoint) -> None:
        self.opened.append(link)

    def close(self, link: int) -> None:
        self.closed.append(link)

    def send(self, link: int, parts: list[bytes]) -> bool:
        if not self.connected:
            return False
        head = decode_header(parts[0])
        body = BODIES.get(head.kind)
        self.sent.append((link, head.kind, msgspec.msgpack.decode(parts[1], type=body) if body else None))
        if head.kind == Kind.WORKER_HELLO:
            self.requests[link] = head.request
        return True

    def start(self, task: object) -> None:
        assert isinstance(task, TaskSpec)
        self.started.append(task)

    def cancel(self, ref: object) -> None:
        assert isinstance(ref, TaskRef)
        self.cancelled.append(ref.run_id)

    # the server's side
    def welcome(self) -> None:
        self.receive(COORDINATOR, Kind.WELCOME, Welcome("server", 32, 0, self.endpoints))

    def welcome_from(self, shard: int, *, request: int | None = None, epoch: int = 1) -> None:
        number = self.requests[shard] if request is None else request
        self.receive(shard, Kind.WORKER_WELCOME, WorkerWelcome(epoch, 10_000), number)

    def join(self) -> Engine:
        """Hello and welcome with everybody."""
        self.actor.on_tick(self.now_ms)
        self.welcome()
        for endpoint in self.endpoints:
            self.welcome_from(endpoint.index)
        return self

    def receive(self, link: int, kind: Kind, body: object = None, request: int = 0) -> None:
        self.actor.on_frame(link, frame(kind, body, request), self.now_ms)

    def dispatch(self, shard: int, seq: int, *tasks: TaskSpec) -> None:
        self.receive(shard, Kind.DISPATCH, Dispatch(seq, list(tasks)))

    def ack(self, shard: int, seq: int) -> None:
        self.receive(shard, Kind.RESULTS_ACK, Ack(seq))

    def load(self, shard: int, ready: int, dispatch_seq: int = 0) -> None:
        self.receive(shard, Kind.LOAD, ShardLoad(ready, dispatch_seq))

    def error(self, link: int, code: str) -> None:
        self.receive(link, Kind.ERROR, ErrorReply(code, "no"))

    def tick(self, elapsed_ms: int = 100) -> None:
        self.now_ms += elapsed_ms
        self.actor.on_tick(self.now_ms)

    def end(self, *results: TaskResult) -> None:
        self.actor.on_results(list(results), self.now_ms)

    def take(self, kind: Kind, link: int | None = None) -> list[Any]:
        """Bodies of one kind that were sent since the last call (all kinds are forgotten)."""
        sent, self.sent = self.sent, []
        return [body for to, what, body in sent if what == kind and link in (None, to)]

    def lent(self, shard: int) -> int:
        credit = self.actor.links[shard].credit_tasks
        assert credit <= CREDIT_TASKS_MAX
        return credit
