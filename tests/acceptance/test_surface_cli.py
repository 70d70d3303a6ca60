"""DESIGN section 6, "CLI": commands, documents and exit codes as scripts see them, against a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import surface_app

from conftest import WFE, Server, environment_in
from support import command_line

PINNED = {
    *("id", "workflow", "version", "key", "status", "input", "output", "error", "waiting_for"),
    *("started_at", "ended_at"),
}
ENDED = ("completed", "failed", "cancelled")
APP = str(Path(surface_app.__file__))
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
T = ("--timeout", "30s")


@pytest.fixture(scope="module")
def app() -> Path:
    return Path(APP)


def alone(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line that knows no server."""
    return command_line.run(arguments, environment=environment_in(directory))


def until(server: Server, run_id: str, *statuses: str) -> dict[str, Any]:
    while (form := server.json("get", run_id))["status"] not in statuses:
        assert form["status"] not in ENDED, form
    return dict(form)


# ---- runs


def test_a_runs_form_has_the_pinned_fields_at_every_stage(server: Server) -> None:
    form = server.json("start", "in_order", "--key", "form")
    assert set(form) >= PINNED
    waiting = until(server, form["id"], "waiting")
    assert (waiting["key"], waiting["output"], waiting["error"], waiting["ended_at"]) == ("form", None, None, None)
    assert [each["kind"] for each in waiting["waiting_for"]] == ["signal"]
    assert RFC3339.fullmatch(waiting["started_at"])
    for name, value in (("one", "1"), ("two", "2")):
        server.json("signal", form["id"], name, "-i", value)
    done = until(server, form["id"], "completed")
    assert (done["output"], done["waiting_for"], done["version"]) == ([1, 2], [], 1)
    assert RFC3339.fullmatch(done["ended_at"])
    (listed,) = server.json("list", "--key", "form")
    assert set(listed) >= PINNED
    assert {name: listed[name] for name in ("id", "status", "key")} == {
        "id": form["id"],
        "status": "completed",
        "key": "form",
    }


def test_a_failed_run_tells_its_error(server: Server) -> None:
    form = server.json("start", "moods", "-i", '"bad"', "--wait", *T, code=1)
    assert (form["status"], form["output"]) == ("failed", None)
    error = {name: form["error"][name] for name in ("type", "message", "node", "attempts")}
    assert error == {"type": "ValueError", "message": "attempt 4", "node": "moody", "attempts": 4}
    done = server.wfe("start", "moods", "-i", '"bad"', "--wait", *T)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ValueError: attempt 4" in done.stderr


def test_without_json_stdout_holds_the_result_only(server: Server) -> None:
    done = server.wfe("start", "choose", "-i", "7", "--wait", *T)
    assert (done.returncode, done.stdout) == (0, '"hello middle"\n')
    done = server.wfe("start", "choose", "-i", "7")
    assert re.fullmatch(r"[0-9a-z]{26}\n", done.stdout)


@pytest.mark.parametrize(
    ("workflow", "given", "output"),
    [
        ("choose", "70", "hello big"),
        ("summarise", '{"n": 1, "factor": 1}', {"choice": "hello small", "numbers": [2, 4]}),
        ("summarise", '{"n": 1}', {"choice": "hello small", "numbers": [2, 8]}),
        ("constant", "{}", "constant"),
        ("constant", "null", "constant"),
        ("constant", None, "constant"),
    ],
)
def test_one_parameter_is_its_value_and_several_go_by_name(
    server: Server, workflow: str, given: str | None, output: Any
) -> None:
    arguments = () if given is None else ("-i", given)
    assert server.json("start", workflow, *arguments, "--wait", *T)["output"] == output


def test_input_comes_from_a_file_or_standard_input(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text("70")
    assert server.json("start", "choose", "-i", f"@{file}", "--wait", *T)["output"] == "hello big"
    done = server.wfe("start", "choose", "-i", "-", "--wait", *T, stdin=" 7 \n")
    assert json.loads(done.stdout) == "hello middle"


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "nobody"),
        ("start", "choose@9", "-i", "1"),
        ("start", "choose@x", "-i", "1"),
        ("start", "choose", "-i", '"text"'),
        ("start", "choose", "-i", "not json"),
        ("start", "choose", "-i", "@/no/such/file"),
        ("start", "choose"),
        ("start", "summarise", "-i", "7"),
        ("start", "choose", "-i", "7", "--timeout", "5"),
        ("get", "0" * 26),
        ("get", "nonsense"),
        ("history", "0" * 26),
        ("cancel", "0" * 26),
        ("signal", "0" * 26, "x"),
        ("list", "--status", "sleepy"),
        ("list", "--tag", "no-equals-sign"),
        ("graph", "nowhere.py"),
        ("graph", f"{APP}:nobody"),
        ("deploy", "nowhere.py"),
        ("verify", "/no/such/directory"),
        ("get",),
        ("frobnicate",),
        ("start", "choose", "--frobnicate"),
    ],
)
def test_what_is_refused_exits_with_2_and_one_document(server: Server, arguments: tuple[str, ...]) -> None:
    error = server.json(*arguments, code=2)["error"]
    assert error["code"]
    assert error["message"]
    done = server.wfe(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_key_conflicts_are_refused(server: Server) -> None:
    first = server.json("start", "choose", "-i", "7", "--key", "k", "--wait", *T)
    assert server.json("start", "choose", "-i", "7", "--key", "k", "--wait", *T) == first
    assert server.json("start", "choose", "-i", "8", "--key", "k", code=2)["error"]["code"] == "key_conflict"


def test_a_wait_that_ends_first_exits_with_4_and_shows_the_run(server: Server) -> None:
    form = server.json("start", "asleep", "--wait", "--timeout", "100ms", code=4)
    assert form["status"] in ("running", "waiting")
    done = server.wfe("start", "asleep", "--wait", "--timeout", "100ms")
    assert (done.returncode, done.stdout) == (4, "")
    server.json("cancel", form["id"])
    cancelled = until(server, form["id"], "cancelled")
    assert cancelled["ended_at"]
    assert server.wfe("cancel", form["id"], "--no-compensate").returncode == 0
    assert server.json("resume", form["id"], code=2)["error"]["code"] == "run_closed"


def test_who_waits_for_a_run_that_is_cancelled_exits_with_1(server: Server) -> None:
    run_id = server.json("start", "asleep", "--key", "cancelled")["id"]
    server.json("cancel", run_id)
    form = server.json("start", "asleep", "--key", "cancelled", "--wait", *T, code=1)
    assert (form["id"], form["status"]) == (run_id, "cancelled")


def test_an_unreachable_server_exits_with_3(tmp_path: Path) -> None:
    environment = {**environment_in(tmp_path), "WFE_ADDRESS": "tcp://127.0.0.1:9"}
    done = subprocess.run(
        [*WFE, "list", "--json"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "disconnected"


def test_lists_are_arrays_and_filters_add_up(server: Server) -> None:
    for region in ("east", "west"):
        server.json("start", "tagged", "-i", f'"{region}"', "--tag", "trip=1", "--wait", *T)
    found = server.json("list", "--workflow", "tagged", "--tag", "trip=1", "--status", "completed")
    assert [each["tags"]["region"] for each in found] == ["west", "east"]
    assert len(server.json("list", "--tag", "trip=1", "--limit", "1")) == 1
    assert [each["tags"]["region"] for each in server.json("list", "--tag", "trip=1", "--tag", "region=east")] == [
        "east"
    ]
    assert server.json("list", "--workflow", "nobody") == []
    table = server.wfe("list", "--tag", "trip=1").stdout.splitlines()
    assert len(table) == 3
    assert "tagged@1" in table[1]


def test_history_is_an_array_or_one_line_per_event(server: Server) -> None:
    run_id = server.json("start", "choose", "-i", "7", "--wait", *T)["id"]
    events = server.json("history", run_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    past = server.json("history", run_id, "--at", "2")
    assert (past["id"], past["event"], past["status"]) == (run_id, 2, "running")
    lines = server.wfe("history", run_id, "-f", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == events
    assert len(server.wfe("history", run_id).stdout.splitlines()) == len(events) + 1


def test_signals_with_one_id_count_once_and_a_paused_run_keeps_them(server: Server) -> None:
    run_id = server.json("start", "in_order")["id"]
    server.json("pause", run_id)
    assert server.json("get", run_id)["status"] == "paused"
    for _ in range(2):
        server.json("signal", run_id, "one", "-i", "1", "--id", "e-1")
    server.json("signal", run_id, "two", "-i", "2")
    assert server.json("signal", run_id, "one", "-i", '"text"', code=2)["error"]["code"] == "invalid_input"
    server.json("resume", run_id)
    assert until(server, run_id, "completed")["output"] == [1, 2]


# ---- definitions and the server


def test_graph_draws_one_workflow_or_all(server: Server) -> None:
    everything = server.wfe("graph", APP, "--format", "yaml").stdout
    assert everything.count("\nworkflow: ") + 1 == everything.count("\n---\n") + 1 == len(server.json("graph", APP))
    one = server.wfe("graph", f"{APP}:choose", "--format", "yaml").stdout
    assert one in everything
    for form, opening in (("svg", "<svg "), ("dot", "digraph "), ("mermaid", "flowchart ")):
        text = server.wfe("graph", f"{APP}:choose", "--format", form).stdout
        assert text.startswith(opening)
        assert "greet" in text
        assert server.wfe("graph", APP, "--format", form).stdout.count("checkout") >= 1


def test_status_counts_what_shards_did(server: Server) -> None:
    server.json("start", "choose", "-i", "7", "--wait", *T)
    status = server.json("status", "--wait", "30s")
    assert status["state"] == "serving"
    assert len(status["shards"]) == 2
    assert sum(shard["counters"].get("runs_completed", 0) for shard in status["shards"]) > 0
    assert any(shard["latencies"] for shard in status["shards"])
    assert "serving" in server.wfe("status").stdout


def test_deploy_check_changes_nothing(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "checked.yaml"
    file.write_text('workflow: checked\nparams: {n: integer}\nnodes: []\noutput: "${n}"\n')
    (found,) = server.json("deploy", str(file), "--check")
    assert (found["workflow"], found["version"], found["changed"]) == ("checked", 1, True)
    assert server.json("start", "checked", "-i", "1", code=2)["error"]["code"] == "unknown_workflow"


def test_schema_completion_and_help_need_no_server(tmp_path: Path) -> None:
    assert json.loads(alone(tmp_path, "schema").stdout) == json.loads(alone(tmp_path, "schema", "--json").stdout)
    assert "_WFE_COMPLETE" in alone(tmp_path, "completion", "bash").stdout
    listed = alone(tmp_path, "--help").stdout
    pinned = "dev serve worker deploy start run get list history cancel pause resume signal graph validate schema"
    for name in [*pinned.split(), "status", "verify", "bench"]:
        assert f"\n  {name} " in listed
        assert alone(tmp_path, name, "--help").returncode == 0


def test_run_is_one_shot(tmp_path: Path) -> None:
    done = alone(tmp_path, "run", f"{APP}:limited", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["type"] == "TimedOut"
    done = alone(tmp_path, "run", f"{APP}:asleep", "--timeout", "200ms")
    assert (done.returncode, done.stdout) == (4, "")
    for arguments in ((f"{APP}:nobody",), (APP,), ("nowhere.py",)):
        done = alone(tmp_path, "run", *arguments, "--json")
        assert done.returncode == 2
        assert json.loads(done.stdout)["error"]["message"]


def test_run_keeps_its_data_where_it_is_told(tmp_path: Path) -> None:
    data = tmp_path / "kept"
    done = alone(tmp_path, "run", f"{APP}:choose", "-i", "7", "--data", str(data), "--json")
    assert json.loads(done.stdout)["output"] == "hello middle"
    report = json.loads(alone(tmp_path, "verify", str(data), "--json").stdout)
    assert (report["ok"], report["findings"]) == (True, [])


DEV = """
import wfe

@wfe.workflow(version=1)
def grows(wf: wfe.Graph) -> int:
    return {n}
"""


@pytest.fixture
def developed(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An app under `wfe dev`, in the directory of its own data, and the address."""
    file = tmp_path / "growing.py"
    file.write_text(DEV.format(n=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [*WFE, "dev", "growing.py", "--listen", address],
        cwd=tmp_path,
        env=environment_in(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("wfe: serving on ")
    yield file, address
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def test_dev_takes_changes_up_without_a_new_version(developed: tuple[Path, str]) -> None:
    file, address = developed

    def output() -> Any:
        done = alone(file.parent, "start", "grows", "--address", address, "--wait", *T, "--json")
        return json.loads(done.stdout).get("output") if done.returncode == 0 else None

    assert (file.parent / ".wfe").is_dir()
    assert output() == 1
    file.write_text(DEV.format(n=22))
    while output() != 22:
        time.sleep(0.05)
