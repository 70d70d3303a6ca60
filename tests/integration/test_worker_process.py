"""A real worker process on real sockets; the test plays the coordinator and one shard."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from wfe.config import WorkerOptions
from wfe.coordinator.children import spawn
from wfe.transport.sockets import Router
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header
from wfe.wire.messages import (
    Ack,
    Credit,
    Dispatch,
    ErrorReply,
    Hello,
    Results,
    ShardEndpoint,
    TaskResult,
    TaskSpec,
    Welcome,
    WorkerHello,
    WorkerWelcome,
)
from wfe.worker.deadlines import DeadlineBoard

WAIT_S = 30.0
APP = """
import threading, time, wfe
forever = threading.Event()

@wfe.task
def add(a: int, b: int) -> int:
    print("adding", a, b)
    return a + b

@wfe.task
async def add_async(a: int, b: int) -> int:
    return a + b

@wfe.task
def hang() -> None:
    forever.wait()

@wfe.task
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"
"""
BODIES: dict[int, Any] = {
    Kind.HELLO: Hello,
    Kind.WORKER_HELLO: WorkerHello,
    Kind.CREDIT: Credit,
    Kind.RESULTS: Results,
}


class Server:
    """A coordinator and a shard, played by hand. ``seen``: what the worker said, in order."""

    def __init__(self, directory: Path, *, token: str = "t") -> None:
        (directory / "shop.py").write_text(APP)
        self.front, self.shard = Router("tcp://127.0.0.1:0"), Router("tcp://127.0.0.1:0")
        self.token = token
        self.board = DeadlineBoard.create(directory / "board", 2)
        self.seen: deque[tuple[Kind, Any]] = deque()
        self.results: dict[str, TaskResult] = {}
        self._worker = b""
        self._seq = 0
        options = WorkerOptions(
            apps=[str(directory / "shop.py")],
            connect=self.front.endpoints[0],
            token="t",
            slots=2,
            board=str(directory / "board"),
            log_format="json",
        )
        self.process = spawn([sys.executable, "-P", "-m", "wfe.bootstrap", "worker"], options)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.front.close()
        self.shard.close()
        self.board.close()

    def until(self, done) -> None:
        """Serves until the condition holds."""
        deadline_s = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < deadline_s, "the worker did not do it"
            self.turn()

    def turn(self) -> None:
        self.shard.poll(10)
        for peer, parts in [*self.front.recv_many(), *self.shard.recv_many()]:
            head = decode_header(parts[0])
            kind = Kind(head.kind)
            body = msgspec.msgpack.decode(parts[1], type=BODIES[kind]) if kind in BODIES else None
            self.seen.append((kind, body))
            if kind == Kind.HELLO:
                self._on_hello(peer, body)
            elif kind == Kind.WORKER_HELLO:
                self._worker = peer
                self.say(Kind.WORKER_WELCOME, WorkerWelcome(1, 10_000), head.request)
            elif kind == Kind.RESULTS:
                self.results.update({result.run_id: result for result in body.results})
                self.say(Kind.RESULTS_ACK, Ack(body.seq))
            elif kind == Kind.RECALL:
                self.say(Kind.RETURNED, Credit(0, 0))

    def _on_hello(self, peer: bytes, hello: Hello) -> None:
        if hello.token != self.token:
            kind, body = Kind.ERROR, ErrorReply("unauthorized", "wrong token")
        else:
            endpoint = ShardEndpoint(0, 1, "", self.shard.endpoints[0])
            kind, body = Kind.WELCOME, Welcome("server", 32, 0, [endpoint])
        self.front.send(peer, [encode_header(Header(PROTOCOL, int(kind))), msgspec.msgpack.encode(body)])

    def say(self, kind: Kind, body: Any, request: int = 0) -> None:
        parts = [encode_header(Header(PROTOCOL, int(kind), request=request)), msgspec.msgpack.encode(body)]
        assert self.shard.send(self._worker, parts)

    def dispatch(self, run: str, task: str, timeout_ms: int = 0, **arguments: Any) -> None:
        self._seq += 1
        raw = Raw(msgspec.msgpack.encode(arguments))
        spec = TaskSpec(run, 0, 0, 1, task, 1, task, raw, timeout_ms)
        self.say(Kind.DISPATCH, Dispatch(self._seq, [spec]))

    def said(self, kind: Kind) -> bool:
        return any(what == kind for what, _ in self.seen)

    def join(self) -> None:
        self.until(lambda: self.said(Kind.CREDIT))

    def exit_code(self) -> int:
        self.until(lambda: self.process.poll() is not None)
        return self.process.returncode


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.close()


def test_a_worker_joins_runs_tasks_and_leaves_when_asked(server):
    server.join()
    hello = next(body for kind, body in server.seen if kind == Kind.WORKER_HELLO)
    assert ("add", 1) in hello.tasks
    assert hello.slots == 2
    server.dispatch("a", "add", a=1, b=2)
    server.dispatch("b", "add_async", a=3, b=4)
    server.until(lambda: len(server.results) == 2)
    assert msgspec.msgpack.decode(server.results["a"].value) == 3
    assert msgspec.msgpack.decode(server.results["b"].value) == 7
    server.process.terminate()
    assert server.exit_code() == 0
    assert server.said(Kind.BYE)


def test_output_of_tasks_is_logged_with_its_place(tmp_path, capfd):
    server = Server(tmp_path)
    try:
        server.join()
        server.dispatch("a", "add", a=1, b=2)
        server.until(lambda: server.results)
    finally:
        server.close()
    line = next(msgspec.json.decode(text) for text in capfd.readouterr().err.splitlines() if "adding" in text)
    assert (line["event"], line["run"], line["node"]) == ("adding 1 2", "a", "add")


def test_a_worker_that_is_asked_to_leave_finishes_what_runs(server):
    server.join()
    server.dispatch("a", "nap", seconds=0.5)
    server.until(lambda: server.said(Kind.HEARTBEAT))
    server.process.terminate()
    assert server.exit_code() == 0
    assert msgspec.msgpack.decode(server.results["a"].value) == "rested"


def test_a_worker_with_a_thread_that_hangs_reports_finishes_the_rest_and_makes_room(server):
    server.join()
    server.dispatch("a", "hang", timeout_ms=50)
    server.dispatch("b", "nap", seconds=0.5)
    assert server.exit_code() == 0
    error = server.results["a"].error
    assert error is not None
    assert error.type == "TimedOut"
    assert msgspec.msgpack.decode(server.results["b"].value) == "rested"
    assert server.said(Kind.BYE)


def test_a_worker_with_a_wrong_token_ends_with_2(tmp_path):
    server = Server(tmp_path, token="another")
    try:
        assert server.exit_code() == 2
    finally:
        server.close()


def test_an_app_that_cannot_be_imported_ends_with_2_and_says_why(tmp_path, capfd):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    options = WorkerOptions(apps=[str(tmp_path / "broken.py")], connect="tcp://127.0.0.1:1")
    process = spawn([sys.executable, "-P", "-m", "wfe.bootstrap", "worker"], options)
    try:
        assert process.wait(WAIT_S) == 2
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()
    assert "nothing_of_this_name" in capfd.readouterr().err
