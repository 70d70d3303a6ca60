"""A coordinator and its shards, faked at the seam of the client's link: answers in memory, loses some on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from wfe.model.ids import partition_of, partition_of_key
from wfe.model.policy import ErrorInfo
from wfe.wire.definitions import CarryPage
from wfe.wire.frames import Header, Kind, decode_header, header
from wfe.wire.messages import (
    ControlRun,
    DefinitionFound,
    Deploy,
    Deployed,
    DeployOutcome,
    ErrorReply,
    FindRun,
    GetRun,
    Hello,
    HistoryEvent,
    HistoryPage,
    HistoryQuery,
    ListRuns,
    RunOutcome,
    RunPage,
    RunView,
    ServerStatus,
    ShardEndpoint,
    SignalRun,
    StartOutcome,
    StartRun,
    Welcome,
)
from wfe.wire.payload import decode_any, encode_value

encode = msgspec.msgpack.encode


def decode(data: bytes, kind: Any) -> Any:
    return msgspec.msgpack.decode(data, type=kind)


class FakeFront:
    """Keeps runs by id. ``run`` decides how a run ends: (status, output, error), or None: it goes on."""

    def __init__(self, partitions: int = 4, token: str = "secret") -> None:
        self.partitions, self.token = partitions, token
        self.server, self.epoch, self.time_ms = "server-1", 1, 1_700_000_000_000
        self.workflows = {"hello"}
        self.views: dict[str, RunView] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.waiting: set[str] = set()
        self.greeted = False
        self.deaf = False
        self.drop: set[Kind] = set()
        self.errors: dict[Kind, list[ErrorReply]] = {}
        self.seen: list[tuple[Kind, Header, bytes]] = []
        self.signals: list[SignalRun] = []
        self.controls: list[ControlRun] = []
        self.events: dict[str, list[HistoryEvent]] = {}
        self.run: Callable[[str, Any], tuple[str, Any, ErrorInfo | None] | None] = lambda name, value: (
            "completed",
            value,
            None,
        )

    # ---- as a list of answers to a frame (sans-IO tests) ----

    def receive(self, parts: list[bytes]) -> list[list[bytes]]:
        head = decode_header(parts[0])
        kind = Kind(head.kind)
        self.seen.append((kind, head, parts[1]))
        if self.deaf or kind in self.drop:
            return []
        if kind is Kind.HELLO:
            return [self.hello(head, decode(parts[1], Hello))]
        if not self.greeted:
            return [self.error(head, ErrorReply("unauthorized", "say hello first"))]
        if self.errors.get(kind):
            return [self.error(head, self.errors[kind].pop(0))]
        return getattr(self, f"on_{kind.name.lower()}")(head, parts[1])

    def hello(self, head: Header, hello: Hello) -> list[bytes]:
        if hello.token != self.token:
            return self.error(head, ErrorReply("unauthorized", "the token is wrong"))
        self.greeted = True
        welcome = Welcome(self.server, self.partitions, self.time_ms, [ShardEndpoint(0, self.epoch, "", "")])
        return [header(Kind.WELCOME, -1, head.request), encode(welcome)]

    def error(self, head: Header, reply: ErrorReply) -> list[bytes]:
        return [header(Kind.ERROR, head.partition, head.request), encode(reply)]

    def reply(self, head: Header, body: Any = None) -> list[bytes]:
        return [header(Kind.REPLY, head.partition, head.request), b"" if body is None else encode(body)]

    def on_carry(self, head: Header, body: bytes) -> list[list[bytes]]:
        return [self.reply(head, CarryPage([]))]

    def on_definition(self, head: Header, body: bytes) -> list[list[bytes]]:
        found = [DefinitionFound(name, 1, "h1") for name in sorted(self.workflows)]
        return [self.reply(head, found)]

    def on_start(self, head: Header, body: bytes) -> list[list[bytes]]:
        if head.workflow not in self.workflows:
            return [self.error(head, ErrorReply("unknown_workflow", f"no workflow {head.workflow!r}"))]
        outcomes, ended = [], []
        for run in decode(body, list[StartRun]):
            assert partition_of(run.run_id) == head.partition
            outcomes.append(self.start_one(head.workflow, run))
            if run.watch and outcomes[-1].error is None:
                ended += self.watch(outcomes[-1].run_id)
        answers = [self.reply(head, outcomes)]
        return [*answers, [header(Kind.OUTCOMES, head.partition), encode(ended)]] if ended else answers

    def start_one(self, workflow: str, run: StartRun) -> StartOutcome:
        if run.key:
            assert partition_of(run.run_id) == partition_of_key("default", workflow, run.key, self.partitions)
            earlier = self.keys.setdefault((workflow, run.key), run.run_id)
            if earlier != run.run_id:
                if bytes(self.views[earlier].input) != bytes(run.input):
                    return StartOutcome(run.run_id, False, ErrorReply("key_conflict", "another input"))
                return StartOutcome(earlier, False)
        if run.run_id in self.views:
            return StartOutcome(run.run_id, False)
        view = RunView(run.run_id, workflow, 1, "running", run.key, run.input.copy(), started_at=self.time_ms)
        self.views[run.run_id] = view
        self.time_ms += 1
        end = self.run(workflow, decode_any(run.input))
        if end is not None:
            self.end(run.run_id, *end)
        return StartOutcome(run.run_id)

    def end(self, run_id: str, status: str, output: Any = None, error: ErrorInfo | None = None) -> list[list[bytes]]:
        view = self.views[run_id]
        view.status, view.output, view.error, view.ended_at = status, encode_value(output), error, self.time_ms
        if run_id not in self.waiting:
            return []
        self.waiting.discard(run_id)
        return [[header(Kind.OUTCOMES, partition_of(run_id)), encode(self.watch(run_id))]]

    def watch(self, run_id: str) -> list[RunOutcome]:
        view = self.views[run_id]
        if view.status not in ("completed", "failed", "cancelled"):
            self.waiting.add(run_id)
            return []
        return [RunOutcome(run_id, view.status, view.output, view.error)]

    def on_await(self, head: Header, body: bytes) -> list[list[bytes]]:
        ids = decode(body, list[str])
        if any(run_id not in self.views for run_id in ids):
            return [self.error(head, ErrorReply("unknown_run", "no such run"))]
        ended = [outcome for run_id in ids for outcome in self.watch(run_id)]
        return [[header(Kind.OUTCOMES, head.partition), encode(ended)]] if ended else []

    def on_get(self, head: Header, body: bytes) -> list[list[bytes]]:
        return [self.found(head, decode(body, GetRun).run_id)]

    def on_find(self, head: Header, body: bytes) -> list[list[bytes]]:
        query = decode(body, FindRun)
        return [self.found(head, self.keys.get((query.workflow, query.key), ""))]

    def found(self, head: Header, run_id: str) -> list[bytes]:
        if run_id not in self.views:
            return self.error(head, ErrorReply("unknown_run", f"no run {run_id} is kept"))
        return self.reply(head, self.views[run_id])

    def on_list(self, head: Header, body: bytes) -> list[list[bytes]]:
        query = decode(body, ListRuns)
        views = [
            view
            for view in self.views.values()
            if partition_of(view.id) == head.partition
            and (not query.status or view.status == query.status)
            and (not query.workflow or view.workflow == query.workflow)
            and (not query.after or view.id < query.after)
        ]
        views.sort(key=lambda view: view.id, reverse=True)
        return [self.reply(head, RunPage(views[: query.limit], len(views) > query.limit))]

    def on_history(self, head: Header, body: bytes) -> list[list[bytes]]:
        query = decode(body, HistoryQuery)
        events = [event for event in self.events.get(query.run_id, []) if event.seq > query.after]
        ended = self.views[query.run_id].status == "completed" and len(events) <= query.limit
        return [self.reply(head, HistoryPage(events[: query.limit], ended))]

    def on_signal(self, head: Header, body: bytes) -> list[list[bytes]]:
        self.signals.append(decode(body, SignalRun))
        return [self.reply(head)]

    def on_control(self, head: Header, body: bytes) -> list[list[bytes]]:
        self.controls.append(decode(body, ControlRun))
        return [self.reply(head)]

    def on_deploy(self, head: Header, body: bytes) -> list[list[bytes]]:
        names = [msgspec.json.decode(each)["workflow"] for each in decode(body, Deploy).definitions]
        self.workflows.update(names)
        return [self.reply(head, DeployOutcome([Deployed(name, 1, "0" * 32, True) for name in names]))]

    def on_status(self, head: Header, body: bytes) -> list[list[bytes]]:
        return [
            self.reply(head, ServerStatus(self.server, "serving", "0", "data", "sync", self.partitions, self.time_ms))
        ]

    # ---- as a link (asyncio tests) ----

    def link(self, address: str, on_frames: Any) -> FakeLink:
        return FakeLink(self, on_frames)

    def sent(self, kind: Kind) -> list[Header]:
        return [head for seen, head, _ in self.seen if seen is kind]


class FakeLink:
    def __init__(self, front: FakeFront, on_frames: Any) -> None:
        self._front, self._on_frames, self._closed = front, on_frames, False
        self._loop = asyncio.get_running_loop()

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        assert not self._closed
        self.deliver(self._front.receive(parts))
        return True

    def deliver(self, frames: list[list[bytes]]) -> None:
        if frames and not self._closed:
            self._loop.call_soon(self._on_frames, [(b"", frame) for frame in frames])

    def close(self) -> None:
        self._closed = True
