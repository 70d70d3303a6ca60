"""examples/durable_agent.py: a model's server that is really asked, a person, a stream, a budget, a crash."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import wfe
from conftest import Server

APP = str(Path(__file__).parents[2] / "examples" / "durable_agent.py")
TIMEOUT_S = 60.0


class Model(ThreadingHTTPServer):
    """Asks for a search, then to pay, then answers; its second answer comes at the second request only."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[list[str]] = []
        self.failed = False

    def reply(self, messages: list[str]) -> dict[str, Any] | None:
        self.asked.append(messages)
        match len(messages):
            case 1:
                return {"tool": "search", "arguments": {"what": messages[0]}, "tokens": 100}
            case 2 if not self.failed:
                self.failed = True
                return None
            case 2:
                return {"tool": "pay", "arguments": {"euros": 20}, "tokens": 100}
            case _:
                return {"answer": f"done: {messages[-1]}", "tokens": 100}


class Answers(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        messages = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = self.server.reply(messages)
        body = b"" if reply is None else json.dumps(reply).encode()
        self.send_response(503 if reply is None else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server(start_server: Callable[..., Server], model: Model, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("MODEL_URL", f"http://127.0.0.1:{model.server_address[1]}/")
    return start_server("--shards", "1", "--workers", "1", "--log-level", "error", "--app", APP)


@pytest.mark.parametrize(("approved", "answer"), [(True, "paid 20 euros"), (False, "the person does not want to pay")])
def test_the_agent_goes_on_after_its_worker_was_killed_while_it_asks_a_person(
    server: Server, model: Model, approved: bool, answer: str
) -> None:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        run = client.start("agent", wish="a table", budget=500)
        told = run.stream()
        assert [next(told)["tool"] for _ in range(2)] == ["search", "pay"]
        for worker in server.json("status")["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        run.signal("pay", {"approved": approved, "by": "eve"})
        assert run.result(timeout_s=TIMEOUT_S) == f"done: {answer}"
        assert list(told) == [{"step": 3, "tool": "", "tokens_left": 200}]
    assert [len(messages) for messages in model.asked] == [1, 2, 2, 3]


def test_the_agent_ends_when_its_budget_is_spent(server: Server) -> None:
    run = server.json("start", "agent", "-i", '{"wish": "a table", "budget": 100}', "--wait", code=1)
    assert run["error"]["type"] == "OverBudget"
