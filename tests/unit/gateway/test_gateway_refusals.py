"""Requests that are refused before anything happens: bodies that are none, keys that differ, unknown parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.http import TOKEN, HttpEnv, scope_of
from wfe.errors import Busy, Unavailable, WfeError
from wfe.limits import HOOK_BODY_BYTES_MAX

YAML = """
workflow: patient
nodes: [{signal: go, id: go}]
output: "${go}"
---
workflow: asking
nodes: [{approval: boss, id: boss, to: ada}]
output: "${boss.approved}"
"""
DEEP = 100_000
JSON_ROUTES = (
    "runs", "runs/bulk", "signals", "session", "runs/x/signal", "runs/x/skip", "runs/x/fork", "runs/x/cancel",
    "approvals/x/y", "definitions/w/tag",
)  # fmt: skip


@pytest.fixture(scope="module")
def http() -> Iterator[HttpEnv]:
    with HttpEnv(unsigned_hooks=["open"]) as http:
        http.post("/api/v1/definitions", body=YAML.encode(), headers={"content-type": "application/yaml"})
        yield http


def start(http: HttpEnv, workflow: str) -> str:
    return http.post("/api/v1/runs", {"workflow": workflow}).json()["id"]


@pytest.mark.parametrize("path", [*(f"/api/v1/{route}" for route in JSON_ROUTES), "/hooks/open"])
@pytest.mark.parametrize("body", [b"[" * DEEP, b'{"workflow":"patient","input":' + b"[" * DEEP + b"]" * DEEP + b"}"])
def test_a_body_that_is_nested_without_end_is_no_defect(http: HttpEnv, path: str, body: bytes) -> None:
    answer = http.post(path, body=body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "the body is nested too deeply"
    assert answer.json()["errors"][0]["pointer"] == "#"


@pytest.mark.parametrize("route", ["definitions", "definitions/validate", "definitions/check"])
@pytest.mark.parametrize("kind", ["application/json", "application/yaml"])
@pytest.mark.parametrize("body", [b"[" * DEEP, b'{"workflow":"w","nodes":' + b"[" * DEEP + b"]" * DEEP + b"}"])
def test_definitions_that_are_nested_without_end_are_findings(
    http: HttpEnv, route: str, kind: str, body: bytes
) -> None:
    answer = http.post(f"/api/v1/{route}", body=body, headers={"content-type": kind})
    assert answer.status == (200 if route == "definitions/validate" else 422)
    assert "nested deeper than" in answer.text


@pytest.mark.parametrize("route", [route for route in JSON_ROUTES if route != "runs/x/cancel"])
def test_an_empty_body_is_called_so(http: HttpEnv, route: str) -> None:
    answer = http.post(f"/api/v1/{route}")
    assert answer.status == 400
    assert answer.json()["detail"] == "a JSON object is wanted, but the body is empty"
    assert answer.json()["errors"][0]["pointer"] == "#"


def test_a_body_that_may_be_left_out_may_be_empty(http: HttpEnv) -> None:
    assert http.post(f"/api/v1/runs/{start(http, 'patient')}/cancel").status == 200


def test_two_keys_that_differ_are_refused(http: HttpEnv) -> None:
    wanted = {"workflow": "patient", "key": "a"}
    answer = http.post("/api/v1/runs", wanted, headers={"Idempotency-Key": "b"})
    assert answer.status == 422
    assert answer.json()["errors"][0]["pointer"] == "#/key"
    made = http.post("/api/v1/runs", wanted, headers={"Idempotency-Key": "a"})
    assert (made.status, made.json()["key"]) == (201, "a")


def test_an_empty_key_is_none(http: HttpEnv) -> None:
    wanted = {"workflow": "patient", "key": ""}
    first, second = (http.post("/api/v1/runs", wanted) for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    named = http.post("/api/v1/runs", wanted, headers={"Idempotency-Key": "c"})
    assert named.json()["key"] == "c"


def test_an_unknown_query_parameter_is_refused_and_the_known_ones_are_named(http: HttpEnv) -> None:
    answer = http.get("/api/v1/runs", query={"bogus": 1})
    assert answer.status == 400
    problem = answer.json()
    assert problem["errors"][0]["parameter"] == "bogus"
    assert "'bogus': it takes status, workflow, key, tag, limit, cursor" in problem["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1/server", "/api/v1/session", "/api/v1/events", "/api/v1/definitions", "/api/v1/runs/x/graph"]
)
def test_every_route_knows_its_parameters(http: HttpEnv, path: str) -> None:
    answer = http.get(path, query={"workflwo": "w"})
    assert answer.status == 400
    assert "'workflwo'" in answer.json()["detail"]


def test_who_is_not_let_in_hears_nothing_of_parameters(http: HttpEnv) -> None:
    assert http.get("/api/v1/runs", query={"bogus": 1}, token=None).status == 401


def test_senders_of_webhooks_and_probes_may_add_parameters(http: HttpEnv) -> None:
    assert http.get("/healthz", query={"probe": 1}).status == 200
    run = start(http, "patient")
    assert "query parameter" not in http.post(f"/hooks/open/{run}", {}, query={"sender": "shop"}).text


def test_a_signal_that_is_no_decision_is_refused_at_its_payload(http: HttpEnv) -> None:
    path = f"/api/v1/runs/{start(http, 'asking')}"
    answer = http.post(f"{path}/signal", {"name": "boss", "payload": {"approved": "maybe"}})
    assert answer.status == 422
    assert answer.json()["errors"][0]["pointer"] == "#/payload/approved"
    assert "payload.approved" in answer.json()["detail"]
    http.post("/api/v1/runs", {"workflow": "asking", "key": "k-1"})
    by_key = {"workflow": "asking", "key": "k-1", "name": "boss", "payload": {"approved": 1}}
    assert http.post("/api/v1/signals", by_key).json()["errors"][0]["pointer"] == "#/payload/approved"


def test_an_approval_is_skipped_only_with_a_decision(http: HttpEnv) -> None:
    path = f"/api/v1/runs/{start(http, 'asking')}"
    answer = http.post(f"{path}/skip", {"node": "boss", "output": {"approved": "maybe"}})
    assert answer.status == 422
    assert answer.json()["errors"][0]["pointer"] == "#/output/approved"
    assert http.get(path).json()["status"] == "waiting"
    assert http.post(f"{path}/skip", {"node": "boss", "output": {"approved": True}}).status == 200
    assert http.get(path).json()["output"] is True


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"at": 3}, "#", "there is no field `at`; there are node, event, changes, tags"),
        ({"node": "pak"}, "#/node", "the workflow has no node 'pak'; it has: go"),
        ({"event": 99}, "#/event", "the run has events 1 to"),
        ({"event": "x"}, "#/event", "a whole number is wanted, not text"),
        ({"event": 0}, "#/event", "a whole number of at least 1 is wanted"),
        ({"node": ""}, "#/node", "text of at least 1 character is wanted"),
        ({"node": "go", "tags": []}, "#/tags", "an object is wanted, not a list"),
    ],
)
def test_a_fork_that_does_not_fit_is_told_by_the_fields_that_there_are(
    http: HttpEnv, body: dict[str, object], pointer: str, said: str
) -> None:
    answer = http.post(f"/api/v1/runs/{start(http, 'patient')}/fork", body)
    assert answer.status in (400, 422)
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].startswith(said)


def test_a_value_that_there_is_not_is_answered_with_those_there_are(http: HttpEnv) -> None:
    statuses = "cancelled, completed, failed, paused, pending, running, waiting"
    (error,) = http.get("/api/v1/runs", query={"status": "bogus"}).json()["errors"]
    assert error == {"parameter": "status", "detail": f"'bogus' is none of {statuses}"}
    (error,) = http.get("/api/v1/runs", query={"limit": "x"}).json()["errors"]
    assert error == {"parameter": "limit", "detail": "a whole number is wanted, not text"}
    wanted = {"action": "cancel", "filter": {"status": "bogus"}}
    (error,) = http.post("/api/v1/runs/bulk", wanted).json()["errors"]
    assert error == {"pointer": "#/filter/status", "detail": f"'bogus' is none of {statuses}"}
    (error,) = http.post("/api/v1/runs/bulk", {"action": "cancel"}).json()["errors"]
    assert error["detail"] == "the field `filter` is missing"


def test_runs_that_are_named_are_not_narrowed_down_silently(http: HttpEnv) -> None:
    run_id = start(http, "patient")
    wanted = {"action": "cancel", "filter": {"ids": [run_id], "status": "failed"}, "dry_run": False}
    answer = http.post("/api/v1/runs/bulk", wanted)
    assert (answer.status, answer.json()["errors"][0]["pointer"]) == (422, "#/filter/ids")
    assert http.get(f"/api/v1/runs/{run_id}").json()["status"] == "waiting"


def test_a_key_narrows_a_bulk_operation_down_as_it_does_a_list(http: HttpEnv) -> None:
    kept, meant = (
        http.post("/api/v1/runs", {"workflow": "patient", "key": key}).json()["id"] for key in ("kept", "meant")
    )
    for conditions in ({"workflow": "patient", "key": "meant"}, {"key": "meant", "status": None}):
        found = http.post("/api/v1/runs/bulk", {"action": "cancel", "filter": conditions}).json()
        assert (found["runs"], kept in found["runs"]) == ([meant], False)


@pytest.mark.parametrize("field", ["partition", "to"])
def test_a_number_that_no_partition_or_shard_can_have_is_no_defect(http: HttpEnv, field: str) -> None:
    answer = http.post("/api/v1/rebalance", {"moves": [{"partition": 0, "to": 0, field: 1 << 63}], "dry_run": True})
    assert (answer.status, answer.json()["errors"][0]["pointer"]) == (400, f"#/moves/0/{field}")


def test_two_values_of_one_tag_are_no_filter(http: HttpEnv) -> None:
    answer = http.get("/api/v1/runs", query={"tag": ["batch=1", "batch=2"]})
    assert (answer.status, answer.json()["errors"][0]["parameter"]) == (422, "tag")
    assert http.get("/api/v1/runs", query={"tag": ["batch=1", "batch=1"]}).status == 200


UNREADABLE = [Unavailable("the shard is down"), Busy("the shard's queue is full", 0.1)]


@pytest.mark.parametrize("reason", UNREADABLE)
def test_a_start_that_is_durable_is_not_refused_because_its_run_cannot_be_read(
    http: HttpEnv, monkeypatch: pytest.MonkeyPatch, reason: WfeError
) -> None:
    async def away(_: str) -> None:
        raise reason

    monkeypatch.setattr(http.gateway.client, "view", away)
    answer = http.post("/api/v1/runs", {"workflow": "patient"})
    assert (answer.status, answer.json()["status"]) == (201, "pending")
    monkeypatch.undo()
    assert http.get(answer.headers["location"]).json()["id"] == answer.json()["id"]


@pytest.mark.parametrize("reason", UNREADABLE)
def test_a_fork_that_is_durable_is_not_refused_because_its_run_cannot_be_read(
    http: HttpEnv, monkeypatch: pytest.MonkeyPatch, reason: WfeError
) -> None:
    run_id = start(http, "patient")
    view = http.gateway.client.view

    async def away_but_for_the_first(wanted: str) -> Any:
        if wanted != run_id:
            raise reason
        return await view(wanted)

    monkeypatch.setattr(http.gateway.client, "view", away_but_for_the_first)
    answer = http.post(f"/api/v1/runs/{run_id}/fork", {"event": 1, "tags": {"by": "me"}})
    told = answer.json()
    assert (answer.status, told["workflow"], told["status"], told["tags"]) == (201, "patient", "pending", {"by": "me"})
    monkeypatch.undo()
    forked = http.get(answer.headers["location"]).json()
    assert (forked["id"], forked["tags"]) == (told["id"], told["tags"])
    assert told["id"] != run_id


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/definitions", "/hooks/open"])
def test_a_sender_that_leaves_within_its_body_is_no_defect(
    http: HttpEnv, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scope = scope_of("POST", path, b"{" * 50, None, None, TOKEN)
    said = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    statuses: list[int] = []

    async def receive() -> Any:
        return next(said)

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    http.drive(http.app(scope, receive, send))
    assert statuses[0] == 400
    assert "a request failed" not in "".join(capsys.readouterr())


def test_a_body_that_is_too_large_is_told_how_large_it_may_be(http: HttpEnv) -> None:
    answer = http.post("/hooks/open", body=b"x" * (HOOK_BODY_BYTES_MAX + 1))
    assert answer.status == 413
    assert str(HOOK_BODY_BYTES_MAX) in answer.json()["detail"]
