"""Kinds of node on a real server with two shards: approvals, shared locks, compensation, HTTP, events, plugins.

And whatever waits goes on after the server was started again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import wfe
from conftest import Server
from support.plugins import install
from wfe.authoring.yaml_reader import read_definitions

APP = str(Path(__file__).parent / "kinds_app.py")
TIMEOUT_S = 60.0
UNDONE = ["stamp", "stamp_2", "compensate_with_3", "compensate_with"]
"""Tasks of ``undoing`` that end well when it is undone: the second handler does not."""
NETS = """
workflow: watched
nodes:
  - {signal: x, id: work, boundary: [{timer: 50ms, port: late, interrupting: false}, {signal: stop, port: stopped}]}
  - {task: stamp, id: late, with: {name: late}, join: each}
  - {task: stamp, id: stopped, with: {name: stopped}}
  - {task: stamp, id: ended, with: {name: ended}}
edges:
  - work -> ended
  - {from: work, to: late, port: late}
  - {from: work, to: stopped, port: stopped}
output: ["${merge(late, null)}", "${merge(stopped, null)}", "${merge(ended, null)}"]
---
workflow: halves
params: {numbers: {type: array, items: {type: integer}}}
nodes:
  - {transform: numbers, id: even, as: n, filter: n % 2 == 0, map: n / 2, reduce: {value: total + n, initial: 0}}
  - {set: {sum: "${even}"}, id: outcome}
output: "${outcome}"
---
workflow: joined
nodes:
  - {task: stamp, id: a, with: {name: a}}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: stamp, id: d, with: {name: d}}
edges: [a -> one -> d, a -> other -> d]
output: "${merge(d, null)}"
---
workflow: noted
params: {file: string}
nodes:
  - {custom: table.append, id: row, with: {file: "${file}", row: [noted]}, returns: integer}
output: "${row}"
"""


def connected(server: Server) -> Any:
    return wfe.connect(server.address, (server.data / "token").read_text().strip())


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """How the server is started: with the plugin installed, and a secret."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(install(tmp_path_factory.mktemp("plugin"))))
        patch.setenv("KINDS_TOKEN", "open sesame")
        yield ("--shards", "2", "--workers", "1", "--log-level", "error", "--app", APP)


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server], options: tuple[str, ...]) -> Server:
    return start_server(*options)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with connected(server) as client:
        client.deploy(*read_definitions(NETS, "nets.yaml"))
        yield client


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {TIMEOUT_S:g} s"
        time.sleep(0.01)


def waits(run: Any) -> list[tuple[str, str]]:
    return [(wait.kind, wait.detail) for wait in run.describe().waiting_for]


def done(run: Any) -> list[str]:
    """The nodes of tasks that have ended well, in order; a compensation is the node that registered it."""
    ends = ("TaskDone", "CompensationDone")
    return [item.node for item in run.history() if item.type in ends and not item.data.get("error")]


def error_of(run: Any) -> Any:
    with pytest.raises(wfe.RunFailed) as caught:
        run.result(timeout_s=TIMEOUT_S)
    return caught.value.error


# ---- approvals ------------------------------------------------------------------------------------------------------


def test_a_decision_is_listed_and_made_from_the_command_line(server: Server, client: Any) -> None:
    run = client.start("offered", 12.5, key="offer-1")
    until(lambda: waits(run) == [("approval", "terms by sales")], "the approval")
    (asked,) = server.json("approvals", "--to", "sales")
    assert (asked["run"], asked["name"]) == (run.id, "terms")
    refused = server.wfe("approve", run.id, "terms", "--data", '{"discount": "much"}')
    assert refused.returncode == 2
    by_key = server.wfe("approve", "offered", "terms", "--key", "offer-1", "--by", "ann", "--data", '{"discount": 0.5}')
    assert by_key.returncode == 0
    assert run.result(timeout_s=TIMEOUT_S) == {"by": "ann", "comment": "", "discount": {"discount": 0.5}}


def test_a_refusal_fails_the_run_with_its_comment(server: Server, client: Any) -> None:
    run = client.start("offered", 1.0)
    until(lambda: bool(waits(run)), "the approval")
    assert server.wfe("approve", run.id, "terms", "--reject", "--comment", "too dear").returncode == 0
    error = error_of(run)
    assert error.type == "Rejected"
    assert "too dear" in error.message


def test_nobody_decides_so_another_one_is_asked_or_time_does(client: Any) -> None:
    asked, late = client.start("escalated"), client.start("overdue")
    until(lambda: waits(asked) == [("approval", "terms by bob")], "the escalation")
    asked.signal("terms", {"approved": True, "by": "bob"})
    assert asked.result(timeout_s=TIMEOUT_S) == "bob"
    assert late.result(timeout_s=TIMEOUT_S) is False


# ---- locks ----------------------------------------------------------------------------------------------------------


def test_a_lock_of_all_runs_lets_one_in_at_a_time_whatever_shard_they_are_on(client: Any) -> None:
    runs = [client.start("printed", {"name": f"n{number}", "printer": "shared"}) for number in range(6)]
    other = client.start("printed", {"name": "other", "printer": "apart"})
    until(lambda: waits(other) == [("signal", "paper")], "the lock with another key")
    left = list(runs)
    while left:
        until(lambda: sum(("signal", "paper") in waits(run) for run in left) == 1, "one holder")
        (holder,) = [run for run in left if ("signal", "paper") in waits(run)]
        assert all(waits(run) == [("lock", "printer shared")] for run in left if run is not holder)
        holder.signal("paper")
        assert holder.result(timeout_s=TIMEOUT_S).startswith("stamped n")
        left.remove(holder)
    other.cancel()


def test_a_run_that_is_cancelled_gives_its_lock_back(client: Any) -> None:
    first = client.start("printed", {"name": "a", "printer": "given back"})
    until(lambda: waits(first) == [("signal", "paper")], "the lock")
    second = client.start("printed", {"name": "b", "printer": "given back"})
    until(lambda: waits(second) == [("lock", "printer given back")], "the queue")
    first.cancel()
    until(lambda: waits(second) == [("signal", "paper")], "the lock")
    second.signal("paper")
    assert second.result(timeout_s=TIMEOUT_S) == "stamped b"


# ---- compensation ---------------------------------------------------------------------------------------------------


def test_a_failure_undoes_what_was_done_last_first_and_names_what_could_not_be_undone(client: Any) -> None:
    run = client.start("undoing", True)
    error = error_of(run)
    assert error.type == "Broken"
    assert "second cannot be undone" in error.message
    assert done(run) == UNDONE


def test_a_cancel_undoes_unless_it_says_otherwise(client: Any) -> None:
    undone, left = client.start("undoing", False), client.start("undoing", False)
    for run in (undone, left):
        until(lambda run=run: waits(run) == [("signal", "go")], "the wait")
    undone.cancel()
    left.cancel(compensate=False)
    for run in (undone, left):
        with pytest.raises(wfe.RunCancelled):
            run.result(timeout_s=TIMEOUT_S)
    assert done(undone) == UNDONE
    assert done(left) == ["stamp", "stamp_2"]


def test_what_was_done_may_be_undone_on_the_way(client: Any) -> None:
    run = client.start("undone_on_the_way")
    assert run.result(timeout_s=TIMEOUT_S) == "stamped after"
    assert done(run) == ["compensate_with", "stamp"]


# ---- HTTP, plugins --------------------------------------------------------------------------------------------------


class Loopback(BaseHTTPRequestHandler):
    """Answers 503 to the first request of a run; notes what came."""

    seen: list[tuple[str, str, str, Any]]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        run = self.headers["x-run"]
        first = all(known != run for known, *_ in self.seen)
        self.seen.append((run, self.path, self.headers["authorization"], body))
        missing = self.path.startswith("/missing")
        answer = json.dumps({"asked": body["ask"]}).encode()
        self.send_response(503 if first else 404 if missing else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def loopback() -> Iterator[tuple[str, list[Any]]]:
    seen: list[Any] = []
    handler = type("Noting", (Loopback,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}", seen
        served.shutdown()
        thread.join()


def test_an_http_call_is_made_with_secrets_and_retried(client: Any, loopback: tuple[str, list[Any]]) -> None:
    url, seen = loopback
    run = client.start("fetched", {"url": f"{url}/rates", "private": True})
    assert run.result(timeout_s=TIMEOUT_S) == {"status": 200, "body": {"asked": [1, 2]}}
    assert seen == [(run.id, "/rates?page=2", "Bearer open sesame", {"ask": [1, 2]})] * 2
    assert "open sesame" not in str([item.data for item in run.history()])
    missing = client.start("fetched", {"url": f"{url}/missing", "private": True})
    assert missing.result(timeout_s=TIMEOUT_S)["status"] == 404


def test_a_private_address_is_refused_unless_it_is_allowed(client: Any, loopback: tuple[str, list[Any]]) -> None:
    url, seen = loopback
    error = error_of(client.start("fetched", {"url": f"{url}/rates", "private": False}))
    assert "127.0.0.1" in error.message
    assert "allow_private" in error.message
    assert not seen


def test_a_node_of_a_plugin_runs(client: Any, tmp_path: Path) -> None:
    runs = [client.start("noted", str(tmp_path / "table.csv")) for _ in range(3)]
    assert sorted(run.result(timeout_s=TIMEOUT_S) for run in runs) == [1, 2, 3]


# ---- data, events, nets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "size"), [(5, "small"), (50, "usual"), (5000, "large")])
def test_events_and_choices_are_in_the_history(client: Any, total: int, size: str) -> None:
    run = client.start("reported", {"id": "o-1", "total": total})
    assert run.result(timeout_s=TIMEOUT_S) == size
    emitted = [item.data for item in run.history() if item.type == "EventEmitted"]
    assert [(event["name"], event["data"]) for event in emitted] == [
        ("order.seen", {"order": {"id": "o-1", "total": total}}),
        ("order.o-1", None),
    ]


def test_a_transformation_needs_no_worker(client: Any) -> None:
    run = client.start("halves", [1, 2, 3, 4, 6])
    assert run.result(timeout_s=TIMEOUT_S) == {"sum": 6}
    assert not [item for item in run.history() if item.type.startswith("Task")]


def test_events_at_the_boundary_of_a_node_happen_while_it_runs(client: Any) -> None:
    stopped, ended = client.start("watched"), client.start("watched")
    for run in (stopped, ended):
        until(lambda run=run: done(run) == ["late"], "the timer")
        assert waits(run) == [("signal", "x")]
    stopped.signal("stop")
    ended.signal("x")
    assert stopped.result(timeout_s=TIMEOUT_S) == ["stamped late", "stamped stopped", None]
    assert ended.result(timeout_s=TIMEOUT_S) == ["stamped late", None, "stamped ended"]


# ---- restarts -------------------------------------------------------------------------------------------------------


def test_whatever_waits_goes_on_after_a_restart(start_server: Callable[..., Server], options: tuple[str, ...]) -> None:
    first = start_server(*options)
    with connected(first) as client:
        client.deploy(*read_definitions(NETS, "nets.yaml"))
        asked, holder = client.start("offered", 1.0), client.start("printed", {"name": "a", "printer": "kept"})
        until(lambda: waits(holder) == [("signal", "paper")], "the lock")
        queued, joined = client.start("printed", {"name": "b", "printer": "kept"}), client.start("joined")
        counted, undoing = client.start("counted"), client.start("undoing", False)
        counted.signal("more", True)
        until(lambda: ("signal", "x") in waits(joined), "the net")
        joined.signal("y")
        expected = {
            asked.id: [("approval", "terms by sales")],
            holder.id: [("signal", "paper")],
            queued.id: [("lock", "printer kept")],
            joined.id: [("signal", "x"), ("join", "join and, 1 token from other, none from one")],
            counted.id: [("signal", "more")],
            undoing.id: [("signal", "go")],
        }
        for run in (asked, holder, queued, joined, counted, undoing):
            until(lambda run=run: waits(run) == expected[run.id], f"{expected[run.id]}")
    assert first.stop() == 0
    second = start_server(*options, data=first.data)
    with connected(second) as client:
        runs = {id_: client.get(id_) for id_ in expected}
        for id_, run in runs.items():
            assert waits(run) == expected[id_]
        runs[asked.id].signal("terms", {"approved": True, "by": "ann", "data": {"discount": 0}})
        runs[holder.id].signal("paper")
        until(lambda: waits(runs[queued.id]) == [("signal", "paper")], "the lock")
        runs[queued.id].signal("paper")
        runs[joined.id].signal("x")
        runs[counted.id].signal("more", True)
        runs[counted.id].signal("more", False)
        runs[undoing.id].cancel()
        results = {id_: run.result(timeout_s=TIMEOUT_S) for id_, run in runs.items() if id_ != undoing.id}
        assert results[asked.id]["by"] == "ann"
        assert results[holder.id] == "stamped a"
        assert results[queued.id] == "stamped b"
        assert results[joined.id] == "stamped d"
        assert results[counted.id] == 2
        with pytest.raises(wfe.RunCancelled):
            runs[undoing.id].result(timeout_s=TIMEOUT_S)
        assert done(runs[undoing.id]) == UNDONE
