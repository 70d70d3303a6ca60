"""The command line against a real server: the pinned forms and exit codes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import WFE, Server, environment_in
from support import command_line

RUN_KEYS = {
    *("id", "workflow", "version", "key", "status", "input", "output", "error", "waiting_for"),
    *("started_at", "ended_at"),
}


def wfe(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return command_line.run(arguments, environment=environment)


def until_waiting(server: Server, run_id: str) -> dict[str, Any]:
    """The run once it waits for its signal: asked again until it does."""
    while True:
        form: dict[str, Any] = server.json("get", run_id)
        if form["waiting_for"]:
            return form


def test_status_waits_until_the_server_serves(server: Server) -> None:
    status = server.json("status", "--wait", "30s")
    assert status["state"] == "serving"
    assert [shard["state"] for shard in status["shards"]] == ["serving", "serving"]
    assert len(status["workers"]) == 1


def test_a_run_is_started_waited_for_and_shown(server: Server) -> None:
    form = server.json("start", "hello", "-i", '"world"', "--key", "k-1", "--wait", "--timeout", "30s")
    assert set(form) >= RUN_KEYS
    assert (form["status"], form["output"], form["key"]) == ("completed", "hello world", "k-1")
    assert server.json("get", form["id"]) == form
    assert server.json("start", "hello", "-i", '"world"', "--key", "k-1")["id"] == form["id"]
    assert server.json("start", "hello", "-i", '"other"', "--key", "k-1", code=2)["error"]["code"] == "key_conflict"
    assert form["id"] in [each["id"] for each in server.json("list", "--workflow", "hello")]
    assert [each["id"] for each in server.json("list", "--workflow", "hello", "--key", "k-1")] == [form["id"]]


def test_a_map_gives_its_results_in_order(server: Server) -> None:
    done = server.wfe("start", "doubled", "-i", "-", "--wait", stdin=json.dumps(list(range(50))))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [2 * number for number in range(50)]


def test_a_failed_run_exits_with_1_and_names_the_node_and_its_attempts(server: Server) -> None:
    form = server.json("start", "doomed", "-i", '"no luck"', "--wait", code=1)
    assert form["status"] == "failed"
    error = form["error"]
    assert (error["type"], error["message"], error["attempts"]) == ("ValueError", "no luck", 3)
    assert error["node"] == "fail_always"


def test_bad_input_and_unknown_names_exit_with_2(server: Server) -> None:
    assert server.json("start", "hello", "-i", "5", code=2)["error"]["code"] == "invalid_input"
    assert server.json("start", "nobody", code=2)["error"]["code"] == "unknown_workflow"
    assert server.json("start", "hello@99", "-i", '"x"', code=2)["error"]["code"] == "unknown_workflow"
    assert server.json("get", "0" * 26, code=2)["error"]["code"] == "unknown_run"


def test_a_timeout_exits_with_4_and_a_signal_ends_the_wait(server: Server) -> None:
    form = server.json("start", "patient", "--wait", "--timeout", "200ms", code=4)
    run_id = form["id"]
    assert until_waiting(server, run_id)["status"] == "waiting"
    assert server.wfe("signal", run_id, "go", "-i", '{"n": 1}', "--id", "e-1").returncode == 0
    lines = server.wfe("history", run_id, "-f", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert server.json("get", run_id)["output"] == {"n": 1}
    assert server.json("history", run_id) == [json.loads(line) for line in lines]
    assert server.json("signal", run_id, "go", code=2)["error"]["code"] == "run_closed"


def test_a_run_is_paused_resumed_and_cancelled(server: Server) -> None:
    run_id = server.json("start", "patient")["id"]
    until_waiting(server, run_id)
    server.json("pause", run_id)
    assert server.json("get", run_id)["status"] == "paused"
    server.json("resume", run_id)
    assert server.json("get", run_id)["status"] == "waiting"
    server.json("cancel", run_id)
    assert server.json("get", run_id)["status"] == "cancelled"
    assert [each["id"] for each in server.json("list", "--status", "cancelled")] == [run_id]


def test_deploy_counts_versions_up_and_keeps_what_did_not_change(server: Server, app: Path) -> None:
    again = {each["workflow"]: each for each in server.json("deploy", str(app))}
    assert not any(each["changed"] for each in again.values())
    file = app.parent / "more.yaml"
    file.write_text('workflow: more\nparams: {n: integer}\nnodes: [{set: "${n + 1}", id: m}]\noutput: "${m}"\n')
    assert server.json("validate", str(file)) == {"ok": True, "findings": []}
    assert [(each["version"], each["changed"]) for each in server.json("deploy", str(file))] == [(1, True)]
    file.write_text(file.read_text().replace("n + 1", "n + 2"))
    assert [each["version"] for each in server.json("deploy", str(file), "--check")] == [2]
    assert [each["version"] for each in server.json("deploy", str(file))] == [2]
    assert server.json("start", "more", "-i", "1", "--wait")["output"] == 3
    assert server.json("start", "more@1", "-i", "1", "--wait")["output"] == 2


@pytest.mark.parametrize("form", ["svg", "dot", "mermaid", "yaml"])
def test_graphs_of_apps_and_of_runs_are_the_same(server: Server, app: Path, form: str) -> None:
    run_id = server.json("start", "hello", "-i", '"x"')["id"]
    of_run = server.json("graph", run_id, "--format", form)
    of_app = server.json("graph", f"{app}:hello", "--format", form)
    assert of_run["text"] == of_app["text"]
    assert "greet" in of_run["text"]


def test_a_server_that_does_not_answer_exits_with_3(tmp_path: Path) -> None:
    environment = environment_in(tmp_path) | {"WFE_ADDRESS": "tcp://127.0.0.1:1"}
    done = wfe("status", "--wait", "200ms", "--json", environment=environment)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "disconnected"


def test_a_data_directory_is_verified_once_its_server_has_stopped(
    start_server: Callable[..., Server], app: Path
) -> None:
    server = start_server("--workers", "1", "--app", str(app))
    server.json("start", "hello", "-i", '"x"', "--wait")
    assert server.json("verify", str(server.data), code=2)["error"]["code"] == "data_in_use"
    assert server.stop() == 0
    report = server.json("verify", str(server.data))
    assert report["ok"]
    assert report["findings"] == []


def test_run_needs_no_server(app: Path, tmp_path: Path) -> None:
    environment = environment_in(tmp_path)
    done = wfe("run", f"{app}:hello", "-i", '"you"', environment=environment)
    assert (done.returncode, done.stdout) == (0, '"hello you"\n'), done.stderr
    done = wfe("run", f"{app}:doomed", "-i", '"x"', "--json", environment=environment)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["type"] == "ValueError"
    done = wfe("run", str(app), environment=environment)
    assert done.returncode == 2
    assert "hello" in done.stderr
    done = wfe("run", str(tmp_path / "missing.py"), environment=environment)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("chain", "--chains", "5", "--length", "3", "--runs", "20"),
        ("chain", "--rate", "200", "--length", "2", "--runs", "20"),
        ("fanout", "--width", "5", "--runs", "4", "--async"),
        ("latency", "--runs", "5", "--commit-delay-ms", "1"),
        ("payload", "--bytes", "100000", "--runs", "5"),
        ("timers", "--runs", "20", "--within", "100ms"),
        ("signals", "--runs", "5", "--each", "2"),
        ("starts", "--runs", "20", "--single"),
        ("soak", "--for", "1s", "--at-once", "5"),
    ],
)
def test_bench_prints_its_numbers(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = wfe("bench", *arguments, "--durability", "none", "--json", environment=environment_in(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["failed"] == 0
    assert all(report[name] > 0 for name in ("tasks_per_s", "p50_ms", "p99_ms", "rss_mb"))
    assert {"cpu_s_per_1000_tasks", "memory_mb", "written_bytes_per_task", "syncs_per_task"} <= set(report)
    assert {"admission", "decide", "commit", "queue", "execution", "result"} <= set(report["stages"])
    assert report["stages"]["admission"]["p50_ms"] > 0 < report["stages"]["decide"]["p50_ms"]


def test_a_plan_says_what_a_load_needs(tmp_path: Path) -> None:
    html = tmp_path / "plan.html"
    arguments = ("--rate", "50", "--steps", "3", "--payload", "100", "--task-ms", "20", "--step", "50ms")
    done = wfe("bench", "plan", *arguments, "--html", str(html), "--json", environment=environment_in(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    plan = report["plan"]
    assert plan["shards"] == 1
    assert plan["workers"] * plan["slots_per_worker"] > 50 * 3 * 0.020
    assert plan["p99_ms"] >= plan["p50_ms"] > 3 * 20
    assert plan["disk_gb_per_day"] > 0 < plan["memory_mb"]
    assert plan["breaks_first"] == plan["limits"][0]["what"]
    assert html.read_text().startswith("<!doctype html>")


def test_bench_states_the_ratio_to_the_floor(tmp_path: Path) -> None:
    arguments = ("fanin", "--width", "20", "--runs", "6", "--payload-bytes", "100", "--floor", "--rounds", "2")
    done = wfe("bench", *arguments, "--durability", "none", "--json", environment=environment_in(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["floor_tasks_per_s"] > 0
    assert report["floor_ratio"] > 0
    assert len(report["floor_rounds_tasks_per_s"]) == len(report["rounds_tasks_per_s"]) == 2
    assert set(report["stages"]) >= {"admission", "decide", "commit", "queue", "execution", "result"}


def test_a_trace_is_replayed_in_the_order_of_its_graph(tmp_path: Path) -> None:
    parents = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    trace = {
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": [{"id": task, "parents": before} for task, before in parents.items()]},
            "execution": {"tasks": [{"id": task, "runtimeInSeconds": 1.0} for task in parents]},
        },
    }
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(trace))
    environment = environment_in(tmp_path)
    done = wfe("bench", "replay", str(file), "--time-scale", "0.01", "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["tasks"], report["started_too_early"]) == (4, [])
    assert report["makespan_s"] >= report["critical_path_s"]
    assert report["cpu_s_per_1000_tasks"] >= 0 < report["written_bytes_per_task"]
    assert report["stages"]["admission"]["p50_ms"] > 0


def test_serve_with_json_says_where_it_serves_in_one_document(tmp_path: Path) -> None:
    arguments = ("serve", "--data", str(tmp_path / "data"), "--listen", "tcp://127.0.0.1:0", "--json")
    environment = environment_in(tmp_path)
    with subprocess.Popen([*WFE, *arguments], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        assert wfe("status", "--address", ready["address"], environment=environment).returncode == 0
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout.read() == ""


def test_serve_that_cannot_start_exits_with_2(tmp_path: Path, server: Server) -> None:
    environment = environment_in(tmp_path)
    in_use = wfe("serve", "--data", str(server.data), "--listen", "tcp://127.0.0.1:0", environment=environment)
    assert in_use.returncode == 2
    taken = wfe("serve", "--data", str(tmp_path / "data"), "--listen", server.address, environment=environment)
    assert taken.returncode == 2
    assert "in use" in taken.stderr


def test_a_worker_joins_over_tcp_and_leaves(start_server: Callable[..., Server], app: Path) -> None:
    server = start_server("--shards", "2", "--workers", "0")
    server.json("deploy", str(app))
    run_id = server.json("start", "hello", "-i", '"far"')["id"]
    assert server.json("get", run_id)["status"] != "completed"
    assert "waits for  a worker for task greet (node greet)" in server.wfe("get", run_id).stdout
    arguments = ("worker", "--app", str(app), "--connect", server.address)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*WFE, *arguments], env=server.environment, **pipes) as worker:
        assert worker.stderr is not None
        assert "the worker takes tasks" in worker.stderr.readline()
        lines = server.wfe("history", run_id, "-f", "--json").stdout.splitlines()
        assert json.loads(lines[-1])["type"] == "RunEnded"
        assert server.json("get", run_id)["output"] == "hello far"
        worker.terminate()
        assert worker.wait(30) == 0


def test_why_names_what_a_run_waits_for(start_server: Callable[..., Server], app: Path) -> None:
    server = start_server()
    assert server.wfe("deploy", str(app)).returncode == 0
    run_id = server.wfe("start", "hello", "-i", '"ada"').stdout.strip()
    said = server.wfe("why", run_id)
    assert said.returncode == 0
    assert "greet" in said.stdout
    assert "wfe worker" in said.stdout
    document = server.json("why", run_id)
    assert (document["id"], document["waiting_for"][0]["reason"]) == (run_id, "no_workers")
    assert server.wfe("why", "0" * 26).returncode == 2


def test_top_and_events_show_what_a_server_does(server: Server) -> None:
    watching = subprocess.Popen(
        [*WFE, "events", "--json", "-f", "--type", "RunEnded", "--filter", 'workflow == "hello"'],
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        run_id = ""
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(watching.stdout.readline()))  # type: ignore[union-attr]
        reader.start()
        while reader.is_alive():  # it sees what happens from its connection on
            run_id = server.json("start", "hello", "-i", '"ada"', "--wait")["id"]
            reader.join(0.2)
        event = json.loads(lines[0])
        assert (event["type"], event["workflow"]) == ("RunEnded", "hello")
        assert len(event["run"]) == len(run_id)
    finally:
        watching.kill()
        watching.wait(20)
        watching.stdout.close()
    top = server.json("top", "--every", "1200ms")
    assert top["state"] == "serving"
    assert next(each for each in top["workflows"] if each["workflow"] == "hello")
    assert "greet" in server.wfe("top", "--once", "--every", "100ms").stdout
    assert server.wfe("events", "--filter", "((").returncode == 2


def test_a_restart_with_the_same_code_keeps_the_version_that_was_made_current(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    app, data = tmp_path / "shop.py", tmp_path / "data"

    def write(greeting: str) -> None:
        app.write_text(
            "import wfe\n\n@wfe.workflow\ndef greet(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[str]:\n"
            f"    return wf.format('{greeting} {{}}', name)\n"
        )

    def said(server: Server) -> str:
        return str(server.json("start", "greet", "-i", '"you"', "--wait")["output"])

    write("hello")
    server = start_server("--app", str(app), data=data)
    assert said(server) == "hello you"
    write("bye")
    assert server.wfe("deploy", str(app)).returncode == 0
    assert said(server) == "bye you"
    assert server.wfe("definitions", "use", "greet@1").returncode == 0
    assert server.stop() == 0
    again = start_server("--app", str(app), data=data)
    assert said(again) == "hello you"
    assert again.stop() == 0
    write("good day")
    assert said(start_server("--app", str(app), data=data)) == "good day you"
