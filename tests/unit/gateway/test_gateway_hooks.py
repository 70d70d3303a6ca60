"""Webhooks: signatures, the window, what counts once, and where a message goes."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import msgspec
import pytest

from support.http import NOW_S, Answer, HttpEnv
from wfe.gateway.signatures import BadSignature, key_of, sign, verify
from wfe.limits import HOOK_BODY_BYTES_MAX, HOOK_WINDOW_S

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
YAML = """
workflow: paid_order
params: {order: {type: object, required: [id]}}
triggers: [{webhook: paid, input: {id: "${body.data.id}", by: "${headers['x-sender']}"}}]
nodes: [{set: "${order.id}", id: found}]
output: "${order}"
---
workflow: audit
params: {message: {}}
triggers: [{webhook: paid, key: "${body.data.id}"}]
nodes: [{set: 1, id: one}]
---
workflow: waiting
nodes:
  - {webhook: paid, id: payment}
  - {signal: other, id: other}
output: "${payment}"
"""


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpEnv]:
    monkeypatch.setenv("WFE_HOOK_PAID", SECRET)
    with HttpEnv(unsigned_hooks=["open"]) as http:
        yield http


def deploy(http: HttpEnv, text: str = YAML) -> None:
    answer = http.ask("POST", "/api/v1/definitions", body=text.encode(), headers={"content-type": "application/yaml"})
    assert answer.status == 200, answer


def send(
    http: HttpEnv, path: str, body: bytes = b'{"data": {"id": "o-1"}}', *, id: str = "m-1", at_s: float = NOW_S
) -> Answer:
    stamp = str(int(at_s))
    headers = {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": sign(SECRET, id, stamp, body),
        "x-sender": "shop",
        "cookie": "secret=1",
    }
    path, _, query = path.partition("?")
    return http.ask("POST", path, body=body, headers=headers, token=None, raw_query=query.encode())


def test_a_webhook_starts_every_workflow_that_it_triggers_once(http: HttpEnv) -> None:
    deploy(http)
    answer = send(http, "/hooks/paid")
    assert answer.status == 202, answer
    started = {each["workflow"]: each for each in answer.json()["started"]}
    assert started.keys() == {"paid_order", "audit"}
    run = http.get(f"/api/v1/runs/{started['paid_order']['id']}").json()
    assert run["output"] == {"id": "o-1", "by": "shop"}
    assert run["tags"] == {"webhook": "paid"}
    audit = http.get(f"/api/v1/runs/{started['audit']['id']}").json()
    assert (audit["key"], audit["input"]) == ("o-1", {"data": {"id": "o-1"}})
    again = send(http, "/hooks/paid").json()["started"]
    assert {each["id"] for each in again} == {each["id"] for each in started.values()}
    assert not any(each["created"] for each in again)
    other = send(http, "/hooks/paid", b'{"data": {"id": "o-2"}}', id="m-2")
    assert all(each["created"] for each in other.json()["started"])


def test_a_webhook_goes_into_the_wait_of_its_run_once(http: HttpEnv) -> None:
    deploy(http)
    run_id = http.post("/api/v1/runs", {"workflow": "waiting", "key": "w-1"}).json()["id"]
    for _ in range(2):
        answer = send(http, f"/hooks/paid/{run_id}")
        assert (answer.status, answer.json()["signalled"]) == (202, run_id)
    run = http.get(f"/api/v1/runs/{run_id}").json()
    assert (run["status"], run["waiting_for"][0]["node"]) == ("waiting", "other")
    assert sum(event["type"] == "signal_received" for event in history(http, run_id)) <= 1
    http.post(f"/api/v1/runs/{run_id}/signal", {"name": "other"})
    assert http.get(f"/api/v1/runs/{run_id}").json()["output"] == {"data": {"id": "o-1"}}


def history(http: HttpEnv, run_id: str) -> list[dict]:
    return http.get(f"/api/v1/runs/{run_id}/history").json()["events"]


def test_a_run_is_named_by_workflow_and_key_too(http: HttpEnv) -> None:
    deploy(http)
    run_id = http.post("/api/v1/runs", {"workflow": "waiting", "key": "w-1"}).json()["id"]
    assert send(http, "/hooks/paid").status == 202
    headers = {"webhook-id": "m-9", "webhook-timestamp": str(int(NOW_S))}
    headers["webhook-signature"] = sign(SECRET, "m-9", headers["webhook-timestamp"], b"1")
    named = http.ask(
        "POST", "/hooks/paid", body=b"1", headers=headers, token=None, query={"workflow": "waiting", "key": "w-1"}
    )
    assert named.json()["signalled"] == run_id
    half = http.ask("POST", "/hooks/paid", body=b"1", headers=headers, token=None, query={"workflow": "waiting"})
    assert half.status == 422


def test_a_webhook_reaches_no_other_signal_of_a_run(http: HttpEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFE_HOOK_OTHER", SECRET)
    deploy(http)
    run_id = http.post("/api/v1/runs", {"workflow": "waiting"}).json()["id"]
    assert send(http, f"/hooks/other/{run_id}").status == 404


def test_a_webhook_without_a_good_signature_is_refused(http: HttpEnv) -> None:
    deploy(http)
    body = b"{}"
    stamp = str(int(NOW_S))
    good = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": sign(SECRET, "m", stamp, body)}
    assert http.ask("POST", "/hooks/paid", body=body, headers=good, token=None).status in (202, 422)
    for change in (
        {"webhook-signature": ""},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": "other"},
        {"webhook-id": "x" * 300},
        {"webhook-timestamp": str(int(NOW_S) + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": ""},
    ):
        answer = http.ask("POST", "/hooks/paid", body=body, headers={**good, **change}, token=None)
        assert (answer.status, answer.json()["code"]) == (401, "bad_signature"), change
    assert http.ask("POST", "/hooks/paid", body=b"{ }", headers=good, token=None).status == 401
    # The server's token is no signature.
    assert http.ask("POST", "/hooks/paid", body=body).status == 401
    assert http.ask("POST", "/hooks/unheard", body=body, headers=good, token=None).status == 401


@pytest.mark.parametrize("empty", ["whsec_", "  ", "whsec_ whsec_"])
def test_a_secret_that_is_empty_opens_no_door(empty: str) -> None:
    headers = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": sign("", "m", "1", b"{}")}
    with pytest.raises(BadSignature):
        verify(empty, headers, b"{}", 1.0)


def test_a_copy_of_an_old_message_is_refused(http: HttpEnv) -> None:
    deploy(http)
    assert send(http, "/hooks/paid", at_s=NOW_S - HOOK_WINDOW_S + 1).status == 202
    assert send(http, "/hooks/paid", at_s=NOW_S - HOOK_WINDOW_S - 1).status == 401
    assert send(http, "/hooks/paid", at_s=NOW_S + HOOK_WINDOW_S + 2).status == 401


def test_a_message_that_the_trigger_cannot_read_is_the_senders_fault(http: HttpEnv) -> None:
    deploy(http)
    for body in (b"{}", b"[]", b"null", b'"text"', b'{"data": {"id": 7}}', b'{"data": {"id": ""}}', b"plain text"):
        answer = send(http, "/hooks/paid", body, id=body.hex())
        assert answer.status in (202, 400, 422), (body, answer)
    assert send(http, "/hooks/paid", b"\xff\xfe", id="bytes").status == 400
    assert send(http, "/hooks/paid", b" " * (HOOK_BODY_BYTES_MAX + 1), id="big").status == 413


def test_a_hook_that_nobody_waits_for_is_not_found(http: HttpEnv) -> None:
    assert send(http, "/hooks/paid").status == 404


def test_unsigned_hooks_are_taken_where_the_options_say_so(http: HttpEnv) -> None:
    deploy(http, "workflow: opened\ntriggers: [{webhook: open}]\nparams: {x: {}}\nnodes: [{set: '${x}', id: y}]")
    first = http.ask("POST", "/hooks/open", body=b"1", token=None)
    assert first.json()["started"][0]["created"]
    assert http.ask("POST", "/hooks/open", body=b"1", token=None).json()["started"][0]["created"]
    same = {"webhook-id": "m"}
    created = [
        http.ask("POST", "/hooks/open", body=b"1", headers=same, token=None).json()["started"][0]["created"]
        for _ in range(2)
    ]
    assert created == [True, False]


def test_a_changed_trigger_counts_from_its_deploy_on(http: HttpEnv) -> None:
    text = "workflow: flow\ntriggers: [{webhook: open}]\nparams: {x: {}}\nnodes: [{set: '${x}', id: y}]"
    deploy(http, text)
    assert http.ask("POST", "/hooks/open", body=b"1", token=None).status == 202
    deploy(http, text.replace("open", "closed"))
    assert http.ask("POST", "/hooks/open", body=b"1", token=None).status == 404


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == signature
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,other {signature}",
    }
    verify(f"old-secret {secret}", headers, body, 1614265330.0)
    with pytest.raises(BadSignature):
        verify("old-secret", headers, body, 1614265330.0)
    assert key_of("plain") == b"plain"
    assert key_of("whsec_not base64") == b"whsec_not base64"


def test_the_answer_is_described(http: HttpEnv) -> None:
    deploy(http)
    answer = send(http, "/hooks/paid")
    assert msgspec.json.decode(answer.body).keys() == {"name", "started", "signalled"}


CORRELATED = """
workflow: parcel
params: {number: string}
nodes:
  - {webhook: paid, id: payment, correlate: "${number}"}
  - {signal: other, id: other}
output: "${payment}"
"""


def test_a_webhook_finds_the_run_that_waits_for_it_by_its_correlation_alone(http: HttpEnv) -> None:
    deploy(http, CORRELATED)
    first, second = (
        http.post("/api/v1/runs", {"workflow": "parcel", "input": number}).json()["id"] for number in ("p-1", "p-2")
    )
    answer = send(http, "/hooks/paid?correlation=p-2")
    assert (answer.status, answer.json()["signalled"]) == (202, second)
    assert send(http, "/hooks/paid?correlation=p-2").json()["signalled"] == second, "the same message comes again"
    assert send(http, "/hooks/paid?correlation=p-2", id="m-2").status == 404, "nobody waits any more"
    assert send(http, "/hooks/paid?correlation=p-3", id="m-3").status == 404
    types = [event["type"] for event in http.get(f"/api/v1/runs/{second}/history").json()["events"]]
    assert types.count("SignalTaken") == 1
    assert http.get(f"/api/v1/runs/{first}").json()["waiting_for"][0]["node"] == "payment"


def test_a_correlation_that_two_runs_wait_with_names_none(http: HttpEnv) -> None:
    deploy(http, CORRELATED)
    for _ in range(2):
        http.post("/api/v1/runs", {"workflow": "parcel", "input": "p-1"})
    answer = send(http, "/hooks/paid?correlation=p-1")
    assert answer.status == 409
    assert answer.json()["errors"][0]["parameter"] == "correlation"


def test_a_run_that_left_memory_is_found_by_its_correlation(http: HttpEnv) -> None:
    deploy(http, CORRELATED)
    run_id = http.post("/api/v1/runs", {"workflow": "parcel", "input": "p-1"}).json()["id"]
    http.env.skip("2d")
    http.env.crash()
    assert send(http, "/hooks/paid?correlation=p-1").json()["signalled"] == run_id
