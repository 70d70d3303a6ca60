"""Runs over HTTP: start, get, list, wait, and what happens to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.http import HttpEnv

APP = """
import wfe


@wfe.task
def greet(name: str) -> str:
    if name == "nobody":
        raise ValueError("nobody is there")
    return f"hello {name}"


@wfe.workflow
def hello(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[str]:
    return greet(name)


@wfe.workflow
def pair(wf: wfe.Graph, left: wfe.Ref[int], right: wfe.Ref[int]) -> wfe.Ref[int]:
    return left + right


@wfe.workflow
def patient(wf: wfe.Graph) -> wfe.Ref[dict]:
    return wf.wait_signal("go", dict)


@wfe.workflow
def asking(wf: wfe.Graph) -> wfe.Ref[bool]:
    return wf.approval("boss", to="ada", timeout="2d").approved


@wfe.workflow
def sleepy(wf: wfe.Graph) -> wfe.Ref[str]:
    wf.sleep("1h")
    return greet("you")
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("app") / "gateway_runs_app.py"
    file.write_text(APP)
    return str(file)


@pytest.fixture
def http(app: str) -> Iterator[HttpEnv]:
    with HttpEnv() as http:
        http.env.load(app)
        yield http


def start(http: HttpEnv, workflow: str, **fields: object) -> dict:
    answer = http.post("/api/v1/runs", {"workflow": workflow, **fields})
    assert answer.status in (200, 201), answer
    return answer.json()


def test_a_start_answers_with_the_run_and_where_it_is(http: HttpEnv) -> None:
    answer = http.post("/api/v1/runs", {"workflow": "hello", "input": "ada", "tags": {"team": "a"}})
    assert answer.status == 201
    run = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{run['id']}"
    again = http.get(answer.headers["location"]).json()
    assert (again["status"], again["output"], again["tags"]) == ("completed", "hello ada", {"team": "a"})


def test_arguments_go_by_name_too(http: HttpEnv) -> None:
    run = start(http, "pair", args={"left": 3, "right": 4})
    assert http.get(f"/api/v1/runs/{run['id']}").json()["output"] == 7


def test_the_same_idempotency_key_names_the_same_run(http: HttpEnv) -> None:
    first = http.post("/api/v1/runs", {"workflow": "hello", "input": "a"}, headers={"Idempotency-Key": "k"})
    second = http.post("/api/v1/runs", {"workflow": "hello", "input": "a"}, headers={"Idempotency-Key": "k"})
    assert (first.status, second.status) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = http.post("/api/v1/runs", {"workflow": "hello", "input": "b"}, headers={"Idempotency-Key": "k"})
    assert (other.status, other.json()["code"]) == (409, "key_conflict")
    assert http.get("/api/v1/workflows/hello/runs/k").json()["id"] == first.json()["id"]
    assert http.get("/api/v1/workflows/hello/runs/none").status == 404


@pytest.mark.parametrize(
    ("document", "status", "pointer"),
    [
        ({"workflow": "hello", "input": 5}, 422, "#/input"),
        ({"workflow": "pair", "args": {"left": 3, "right": "x"}}, 422, "#/input/right"),
        ({"workflow": "hello", "input": 1, "args": {}}, 422, "#/args"),
        ({"workflow": 3}, 400, "#/workflow"),
        ({"workflow": "hello", "tags": {"a": 1}}, 400, "#/tags"),
        ({"workflow": "hello", "nonsense": 1}, 400, "#"),
        ([], 400, "#"),
    ],
)
def test_bad_input_is_answered_with_a_pointer_to_the_field(
    http: HttpEnv, document: object, status: int, pointer: str
) -> None:
    answer = http.post("/api/v1/runs", document)
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer in [each.get("pointer") for each in answer.json()["errors"]], answer


def test_an_unknown_workflow_or_run_is_not_found(http: HttpEnv) -> None:
    assert http.post("/api/v1/runs", {"workflow": "nothing"}).json()["code"] == "unknown_workflow"
    for run_id in ("nonsense", "0" * 26):
        answer = http.get(f"/api/v1/runs/{run_id}")
        assert (answer.status, answer.json()["code"]) == (404, "unknown_run")


def test_text_that_is_no_json_is_refused(http: HttpEnv) -> None:
    answer = http.post("/api/v1/runs", body=b"{nope")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_a_list_is_paged_by_its_cursor_and_filtered(http: HttpEnv) -> None:
    ids = {start(http, "hello", input=str(number), tags={"n": str(number % 2)})["id"] for number in range(7)}
    seen: list[str] = []
    cursor = None
    while cursor != "":
        page = http.get("/api/v1/runs", query={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["cursor"] or ""
    assert len(seen) == 7
    assert set(seen) == ids
    assert len(http.get("/api/v1/runs", query={"tag": "n=1"}).json()["runs"]) == 3
    assert len(http.get("/api/v1/runs", query={"status": "failed"}).json()["runs"]) == 0
    for bad in ({"status": "odd"}, {"cursor": "x"}, {"limit": 0}, {"limit": 10**9}, {"tag": "plain"}):
        answer = http.get("/api/v1/runs", query=bad)
        assert answer.status in (400, 422), (bad, answer)


def test_a_result_is_waited_for_no_longer_than_asked(http: HttpEnv) -> None:
    done = start(http, "hello", input="ada")
    answer = http.get(f"/api/v1/runs/{done['id']}/result", query={"wait": "1s"})
    assert (answer.status, answer.json()["output"]) == (200, "hello ada")
    waiting = start(http, "patient")
    answer = http.get(f"/api/v1/runs/{waiting['id']}/result", query={"wait": "1s"})
    assert (answer.status, answer.json()["status"]) == (202, "waiting")
    assert http.get(f"/api/v1/runs/{waiting['id']}/result").status == 202
    assert http.get(f"/api/v1/runs/{waiting['id']}/result", query={"wait": "5"}).status == 422


def test_history_is_paged_and_the_past_can_be_seen(http: HttpEnv) -> None:
    run = start(http, "hello", input="ada")
    page = http.get(f"/api/v1/runs/{run['id']}/history", query={"limit": 1}).json()
    assert ([event["seq"] for event in page["events"]], page["ended"]) == ([1], False)
    rest = http.get(f"/api/v1/runs/{run['id']}/history", query={"after": page["cursor"]}).json()
    assert rest["ended"]
    assert rest["events"][0]["seq"] == 2
    first = http.get(f"/api/v1/runs/{run['id']}/state", query={"event": 1}).json()
    assert (first["event"], first["status"]) == (1, "running")
    assert http.get(f"/api/v1/runs/{run['id']}/state", query={"event": 999}).status == 422


def test_a_run_is_paused_resumed_signalled_and_cancelled(http: HttpEnv) -> None:
    run_id = start(http, "patient")["id"]
    path = f"/api/v1/runs/{run_id}"
    assert http.post(f"{path}/pause").json() == {"id": run_id, "action": "pause"}
    assert http.get(path).json()["status"] == "paused"
    assert http.post(f"{path}/resume").status == 200
    assert http.post(f"{path}/signal", {"name": "go", "payload": {"x": 1}, "event_id": "e"}).status == 200
    assert http.get(path).json()["output"] == {"x": 1}
    assert http.post(f"{path}/cancel").json()["code"] == "run_closed"
    other = start(http, "patient")["id"]
    assert http.post(f"/api/v1/runs/{other}/cancel", {"compensate": False}).status == 200
    assert http.get(f"/api/v1/runs/{other}").json()["status"] == "cancelled"


def test_a_signal_finds_its_run_by_key_and_may_start_it(http: HttpEnv) -> None:
    signal = {"workflow": "patient", "key": "p-1", "name": "go", "payload": {"y": 2}}
    assert http.post("/api/v1/signals", signal).status == 404
    answer = http.post("/api/v1/signals", {**signal, "start": {}})
    assert answer.status == 200, answer
    assert http.get(f"/api/v1/runs/{answer.json()['id']}").json()["output"] == {"y": 2}


def test_a_failed_run_is_retried_skipped_and_forked(http: HttpEnv) -> None:
    run_id = start(http, "hello", input="nobody")["id"]
    path = f"/api/v1/runs/{run_id}"
    failed = http.get(path).json()
    assert (failed["status"], failed["error"]["type"]) == ("failed", "ValueError")
    assert http.post(f"{path}/retry").status == 200
    fork = http.post(f"{path}/fork", {"node": "greet", "changes": {"input": "ada"}, "tags": {"by": "me"}})
    assert fork.status == 201, fork
    assert http.get(f"/api/v1/runs/{fork.json()['id']}").json()["output"] == "hello ada"
    assert http.post(f"{path}/fork", {}).json()["errors"][0]["pointer"] == "#/node"
    assert http.post(f"{path}/skip", {"node": "greet", "output": "skipped"}).status == 200
    assert http.get(path).json()["output"] == "skipped"


def test_a_run_that_waits_says_why(http: HttpEnv) -> None:
    run_id = start(http, "asking")["id"]
    why = http.get(f"/api/v1/runs/{run_id}/why").json()
    assert (why["id"], why["status"]) == (run_id, "waiting")
    assert "ada to decide boss" in why["summary"]
    assert why["waiting_for"][0]["reason"] == "approval"
    assert http.get(f"/api/v1/runs/{'0' * 26}/why").status == 404


def test_bulk_operations_are_dry_unless_told_otherwise(http: HttpEnv) -> None:
    ids = {start(http, "patient", tags={"batch": "1"})["id"] for _ in range(3)}
    wanted = {"action": "cancel", "filter": {"workflow": "patient", "tags": {"batch": "1"}}}
    dry = http.post("/api/v1/runs/bulk", wanted).json()
    assert (dry["dry_run"], set(dry["runs"]), dry["more"]) == (True, ids, False)
    assert all(http.get(f"/api/v1/runs/{run_id}").json()["status"] == "waiting" for run_id in ids)
    done = http.post("/api/v1/runs/bulk", {**wanted, "dry_run": False}).json()
    assert (set(done["runs"]), done["failed"]) == (ids, [])
    again = http.post("/api/v1/runs/bulk", {"action": "pause", "filter": {"ids": sorted(ids)}, "dry_run": False}).json()
    assert {each["code"] for each in again["failed"]} == {"run_closed"}
    assert http.post("/api/v1/runs/bulk", {"action": "cancel", "filter": {}}).status == 422


def test_approvals_are_listed_and_decided(http: HttpEnv) -> None:
    run_id = start(http, "asking")["id"]
    (found,) = http.get("/api/v1/approvals", query={"to": "ada"}).json()["approvals"]
    assert (found["run"], found["name"], found["to"]) == (run_id, "boss", "ada")
    assert http.get("/api/v1/approvals", query={"to": "bob"}).json() == {"approvals": []}
    answer = http.post(f"/api/v1/approvals/{run_id}/boss", {"approved": True, "by": "ada", "comment": "fine"})
    assert answer.json()["action"] == "approve"
    assert http.get(f"/api/v1/runs/{run_id}").json()["output"] is True
