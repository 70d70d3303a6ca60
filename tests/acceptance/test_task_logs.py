"""Task logs on a real server: command line, REST, streams; what is there after kill -9 of a worker and of a shard."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_http_server import Http

import wfe
from conftest import Server

APP = """
import logging
import os
import signal
import time
from pathlib import Path

import wfe


@wfe.task
def talk(count: int) -> int:
    for number in range(count):
        print("line", number)
    logging.getLogger("shop").warning("said %d lines with %s", count, wfe.secret("SHOP_PASSWORD"))
    return count


@wfe.task(run_in="process")
def apart(count: int) -> int:
    print("from a process of its own")
    return count


@wfe.workflow
def talker(wf: wfe.Graph, count: wfe.Ref[int]) -> wfe.Ref[int]:
    said = talk(count)
    return apart(said)


@wfe.task
def dies(file: str) -> str:
    here = Path(file)
    if not here.exists():
        print("before the end")
        while not here.exists():  # the test makes it once it has read the line
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    print("in the second life")
    return "done"


@wfe.workflow
def unlucky(wf: wfe.Graph, file: wfe.Ref[str]) -> wfe.Ref[str]:
    return dies(file)


@wfe.task
def waits(file: str) -> str:
    print("it waits")
    while not Path(file).exists():
        time.sleep(0.01)
    print("it goes on")
    return "done"


@wfe.workflow
def patient(wf: wfe.Graph, file: wfe.Ref[str]) -> wfe.Ref[str]:
    return waits(file)
"""


@pytest.fixture(scope="module")
def served(start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    app = tmp_path_factory.mktemp("logs") / "task_logs_app.py"
    app.write_text(APP)
    os.environ["SHOP_PASSWORD"] = "hunter2hunter2"
    try:
        return start_server("--workers", "1", "--app", str(app), "--http", "127.0.0.1:0")
    finally:
        del os.environ["SHOP_PASSWORD"]


def started(server: Server, workflow: str, value: Any, *flags: str) -> str:
    run_id: str = server.json("start", workflow, "-i", json.dumps(value), *flags)["id"]
    return run_id


def texts(server: Server, run_id: str, *flags: str) -> list[str]:
    return [line["text"] for line in server.json("logs", run_id, *flags)]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_run_s_lines_are_shown_in_order_with_filters(served: Server) -> None:
    run_id = started(served, "talker", 3, "--wait")
    everything = ["line 0", "line 1", "line 2", "said 3 lines with ********", "from a process of its own"]
    until(lambda: texts(served, run_id) == everything, "all lines")
    assert texts(served, run_id, "--node", "apart") == everything[4:]
    assert texts(served, run_id, "--tail", "2") == everything[3:]
    assert texts(served, run_id, "--attempt", "2") == []
    shown = served.wfe("logs", run_id).stdout.splitlines()
    assert shown[0].endswith("Z  talk  line 0")
    assert "talk  WARNING: said 3 lines" in shown[3]
    document = served.json("logs", run_id, "--tail", "1")[0]
    assert (document["node"], document["attempt"], document["logger"]) == ("apart", 1, "wfe.print")


def test_a_flood_costs_its_oldest_lines_and_nothing_else(served: Server) -> None:
    run_id = started(served, "talker", 50_000, "--wait")
    until(lambda: texts(served, run_id, "--tail", "1") == ["from a process of its own"], "the last line")
    lines = served.json("logs", run_id)
    assert len(lines) <= 10_000
    assert sum(1 + line["dropped"] for line in lines) == 50_002


def test_what_a_run_says_can_be_followed_to_its_end(served: Server, tmp_path: Path) -> None:
    run_id = started(served, "patient", str(tmp_path / "go"))
    http = Http(served)
    with wfe.connect(served.address, token=http.token) as client:
        lines = client.handle(run_id).logs(follow=True)
        assert next(lines).text == "it waits"
        (tmp_path / "go").touch()
        assert [line.text for line in lines] == ["it goes on"]
        assert [line.text for line in client.handle(run_id).logs(tail=1)] == ["it goes on"]
    followed = served.wfe("logs", run_id, "-f", "--json").stdout.splitlines()
    assert [json.loads(line)["text"] for line in followed] == ["it waits", "it goes on"]
    status, page = http.ask(f"/api/v1/runs/{run_id}/logs?tail=1")
    assert (status, [line["text"] for line in page["lines"]], page["ended"]) == (200, ["it goes on"], True)
    status, rest = http.ask(f"/api/v1/runs/{run_id}/logs?after={page['cursor']}")
    assert (status, rest["lines"]) == (200, [])
    streamed = [line for line in http.lines(f"/api/v1/runs/{run_id}/logs/events") if line]
    assert "it goes on" in streamed[1]
    assert "event: end" in streamed


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("tail=-1", "tail"), ("attempt=x", "attempt"), ("after=-5", "after"), ("nodes=a", "nodes"), ("tail=1e9", "tail")],
)
def test_bad_questions_name_the_parameter(served: Server, query: str, parameter: str) -> None:
    run_id = started(served, "talker", 0)
    for route in ("logs", "logs/events"):
        status, problem = Http(served).ask(f"/api/v1/runs/{run_id}/{route}?{query}")
        assert 400 <= status < 500
        assert parameter in json.dumps(problem)
    assert Http(served).ask(f"/api/v1/runs/{'0' * 26}/logs")[0] == 404
    assert served.wfe("logs", "0" * 26).returncode == 2


def test_lines_from_before_a_worker_s_death_are_there(served: Server, tmp_path: Path) -> None:
    file = tmp_path / "dies"
    run_id = started(served, "unlucky", str(file))
    until(lambda: texts(served, run_id) == ["before the end"], "the first line")
    file.touch()
    until(lambda: served.json("get", run_id)["status"] == "completed", "the second attempt")
    lines = served.json("logs", run_id)
    assert [(line["text"], line["attempt"]) for line in lines] == [("before the end", 1), ("in the second life", 2)]


def test_lines_that_were_written_survive_kill_9_of_their_shard_and_a_restart(served: Server, tmp_path: Path) -> None:
    run_id = started(served, "patient", str(tmp_path / "later"))
    until(lambda: texts(served, run_id) == ["it waits"], "the line")
    shard = served.json("status")["shards"][0]
    counters = shard["counters"]
    until(
        lambda: (c := served.json("status")["shards"][0]["counters"])["log_lines_stored"] == c["log_lines"],
        f"lines to be written: {counters}",
    )
    os.kill(shard["pid"], signal.SIGKILL)
    (tmp_path / "later").touch()
    until(lambda: served.json("get", run_id)["status"] == "completed", "the run after the shard's death")
    until(lambda: texts(served, run_id)[-1] == "it goes on", "the last line")
    assert texts(served, run_id)[0] == "it waits"
