"""Definitions over HTTP: deploy, validate, list, get, export; and the server's state."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from support.http import HttpEnv

YAML = """
workflow: ordering
description: What happens to an order
params: {order: {type: object, required: [id], properties: {id: {type: string}}}}
nodes:
  - {set: "${order.id}", id: found}
output: "${found}"
"""
PATH = "/api/v1/definitions"
AS_YAML = {"content-type": "application/yaml"}


@pytest.fixture
def http() -> Iterator[HttpEnv]:
    with HttpEnv() as http:
        yield http


def deploy(http: HttpEnv, text: str = YAML, **query: object) -> dict:
    answer = http.ask("POST", PATH, body=text.encode(), headers=AS_YAML, query=query)
    assert answer.status == 200, answer
    return answer.json()


def test_yaml_is_deployed_and_started(http: HttpEnv) -> None:
    (deployed,) = deploy(http)["deployed"]
    assert (deployed["workflow"], deployed["version"], deployed["new"]) == ("ordering", 1, True)
    assert deploy(http)["deployed"][0]["changed"] is False
    run = http.post("/api/v1/runs", {"workflow": "ordering", "input": {"id": "o-1"}}).json()
    assert http.get(f"/api/v1/runs/{run['id']}").json()["output"] == "o-1"


def test_a_check_registers_nothing(http: HttpEnv) -> None:
    assert deploy(http, check=True)["check"] is True
    assert http.get(PATH).json() == {"definitions": []}


def test_what_is_exported_can_be_deployed_again(http: HttpEnv) -> None:
    digest = deploy(http)["deployed"][0]["hash"]
    for form, kind in (("json", "application/json"), ("yaml", "application/yaml")):
        exported = http.get(f"{PATH}/ordering/export", query={"format": form})
        assert exported.headers["content-type"] == kind
        again = http.ask("POST", PATH, body=exported.body, headers={"content-type": kind})
        assert again.json()["deployed"][0]["hash"] == digest, form


def test_the_yaml_form_is_taken_as_json_too(http: HttpEnv) -> None:
    tree = {
        "workflow": "small",
        "params": {"x": "integer"},
        "nodes": [{"set": "${x + 1}", "id": "y"}],
        "output": "${y}",
    }
    assert http.post(PATH, tree).json()["deployed"][0]["workflow"] == "small"
    wrong = http.post(f"{PATH}/validate", {**tree, "output": "${z}"}).json()
    assert wrong["ok"] is False
    assert "z" in wrong["findings"][0]["message"]


def test_findings_have_lines_and_a_way_out(http: HttpEnv) -> None:
    text = YAML.replace("${order.id}", "${ordr.id}")
    answer = http.ask("POST", f"{PATH}/validate", body=text.encode(), headers=AS_YAML).json()
    assert answer["ok"] is False
    finding = next(each for each in answer["findings"] if each["severity"] == "error")
    assert finding["line"] == 6
    refused = http.ask("POST", PATH, body=text.encode(), headers=AS_YAML)
    assert (refused.status, refused.json()["code"]) == (422, "definition")
    assert "ordr" in refused.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/yaml"),
        (b"\xff\xfe", "application/yaml"),
        (b"[[[[", "application/json"),
        (b"{}", "application/json"),
        (b"[]", "application/json"),
        (b'[{"workflow": "a", "nodes": [{"type": "nonsense", "id": "x"}]}]', "application/json"),
        (b'{"workflow": "a", "nodes": [{"type": "set", "id": "x"}]}', "application/json"),
        (b"- 1\n- 2", "text/plain"),
        (b"a: &a [*a]", "application/yaml"),
        (b'"' + b"[" * 100_000, "application/json"),
        (b"[" * 100_000, "application/yaml"),
    ],
)
def test_a_body_that_is_no_definition_is_refused_with_reasons(http: HttpEnv, body: bytes, kind: str) -> None:
    for path in (PATH, f"{PATH}/validate"):
        answer = http.ask("POST", path, body=body, headers={"content-type": kind})
        assert answer.status in (400, 422) or answer.json()["ok"] is False, answer


def test_a_definition_is_found_with_its_schema_and_cached_by_its_hash(http: HttpEnv) -> None:
    digest = deploy(http)["deployed"][0]["hash"]
    answer = http.get(f"{PATH}/ordering")
    found = answer.json()
    assert (found["hash"], found["description"]) == (digest, "What happens to an order")
    assert found["input_schema"]["required"] == ["id"]
    assert found["definition"]["nodes"][0]["id"] == "found"
    assert answer.headers["etag"] == f'"{digest}"'
    same = http.get(f"{PATH}/ordering", headers={"if-none-match": f'"{digest}"'})
    assert (same.status, same.body) == (304, b"")
    assert http.get(f"{PATH}/ordering", headers={"if-none-match": '"other"'}).status == 200
    assert http.get(f"{PATH}/ordering", query={"version": 7}).status == 404
    assert http.get(f"{PATH}/nothing").status == 404


def test_versions_are_listed_newest_first(http: HttpEnv) -> None:
    deploy(http)
    deploy(http, YAML.replace("output: ", "returns: {type: string}\noutput: "))
    versions = http.get(f"{PATH}/ordering/versions").json()["definitions"]
    assert [(each["version"], each["current"]) for each in versions] == [(2, True), (1, False)]
    assert len(http.get(PATH).json()["definitions"]) == 1
    assert len(http.get(PATH, query={"all_versions": "true"}).json()["definitions"]) == 2
    assert http.get(f"{PATH}/nothing/versions").status == 404


def test_versions_are_tagged_used_deprecated_and_deleted(http: HttpEnv) -> None:
    deploy(http)
    deploy(http, YAML.replace("output: ", "returns: {type: string}\noutput: "))
    path = f"{PATH}/ordering"
    assert http.post(f"{path}/tag", {"tag": "stable", "version": 1}).json()["versions"] == [1]
    assert http.post(f"{path}/use", {"version": 1}).json()["versions"] == [1]
    first = http.get(f"{path}/versions").json()["definitions"][1]
    assert (first["version"], first["current"], first["tags"]) == (1, True, ["stable"])
    assert http.post(f"{path}/deprecate", {"version": 1, "note": "old"}).json()["versions"] == [1]
    refused = http.post("/api/v1/runs", {"workflow": "ordering", "input": {"id": "o"}})
    assert (refused.status, refused.json()["code"]) == (409, "deprecated")
    assert http.post(f"{path}/undeprecate", {"version": 1}).json()["versions"] == [1]
    assert http.post("/api/v1/runs", {"workflow": "ordering", "input": {"id": "o"}}).status == 201
    assert http.post(f"{path}/delete", {"version": 1}).status == 409
    assert http.post(f"{path}/delete", {"version": 2}).json()["versions"] == [2]
    assert http.post(f"{path}/untag", {"tag": "stable"}).json()["versions"] == [1]
    assert http.post(f"{path}/untag", {"tag": "stable"}).status == 404
    assert http.post(f"{path}/use", {}).status == 422
    assert http.post(f"{PATH}/ordering@1/use", {"version": 1}).status == 422


def test_versions_are_compared_and_studied(http: HttpEnv) -> None:
    deploy(http)
    deploy(http, YAML.replace('"${order.id}", id: found', '"${order.id}", id: other').replace("${found}", "${other}"))
    changed = http.get(f"{PATH}/ordering/diff", query={"old": 1, "new": 2})
    assert "other" in changed.text
    assert http.get(f"{PATH}/ordering/diff", query={"old": 9}).status == 404
    assert http.get(f"{PATH}/ordering/diff").status == 400
    run = http.post("/api/v1/runs", {"workflow": "ordering", "input": {"id": "o"}}).json()
    for path in (f"{PATH}/ordering/processed", f"/api/v1/runs/{run['id']}/processed"):
        assert [node["id"] for node in http.get(path).json()["nodes"]] == ["other"], path
    assert http.get(f"{PATH}/nothing/processed").status == 404


def test_a_deploy_is_checked_against_live_runs(http: HttpEnv) -> None:
    deploy(http, "workflow: slow\nnodes: [{signal: go, id: wait}]")
    run = http.post("/api/v1/runs", {"workflow": "slow"}).json()
    body = b"workflow: slow\nnodes: [{sleep: 1h, id: nap}]"
    (found,) = http.ask("POST", f"{PATH}/check", body=body, headers=AS_YAML).json()["checks"]
    assert (found["ok"], found["version"]) == (False, 2)
    assert found["runs_broken"][0]["id"] == run["id"]
    assert found["runs_broken"][0]["obstacles"][0]["reason"]


def test_pictures_are_drawn_and_cannot_run_scripts(http: HttpEnv) -> None:
    deploy(http)
    run = http.post("/api/v1/runs", {"workflow": "ordering", "input": {"id": "o-1"}}).json()
    for path in (f"{PATH}/ordering/export", f"/api/v1/runs/{run['id']}/graph"):
        picture = http.get(path, query={"format": "svg"})
        assert picture.headers["content-type"] == "image/svg+xml"
        assert "sandbox" in picture.headers["content-security-policy"]
        assert b"<svg" in picture.body
        assert http.get(path, query={"format": "svg"}, headers={"if-none-match": picture.headers["etag"]}).status == 304
        assert b"ordering" in http.get(path, query={"format": "mermaid"}).body or path.endswith("graph")
    assert http.get(f"{PATH}/ordering/export", query={"format": "png"}).status == 400


def test_the_server_its_shards_and_workers_are_seen(http: HttpEnv) -> None:
    server = http.get("/api/v1/server").json()
    assert server["state"] == "serving"
    assert http.get("/api/v1/shards").json()["shards"][0]["state"] == "serving"
    assert len(http.get("/api/v1/workers").json()["workers"]) == 1
    assert http.get("/healthz", token=None).json() == {"status": "ok"}
    assert http.get("/readyz", token=None).json() == {"status": "ok"}


def test_partitions_are_moved_and_what_cannot_be_is_said(http: HttpEnv) -> None:
    assert http.post("/api/v1/rebalance", {"dry_run": True}).json() == {"phase": "planned", "took_ms": 0, "moves": []}
    assert http.post("/api/v1/rebalance", {}).json()["phase"] == "done"
    refused = http.post("/api/v1/rebalance", {"moves": [{"partition": 0, "to": 7}]})
    assert (refused.status, refused.json()["code"]) == (409, "rebalance")
    assert http.post("/api/v1/rebalance", {"moves": [{"partition": -1, "to": 0}]}).status == 400


def test_an_engine_that_is_away_is_no_defect(http: HttpEnv) -> None:
    http.drive(http.env.client.close())
    answer = http.get("/api/v1/runs")
    assert (answer.status, answer.json()["code"]) == (503, "disconnected")
    assert int(answer.headers["retry-after"]) >= 1
    assert http.get("/readyz", token=None).status == 503
    assert http.get("/healthz", token=None).status == 200


def test_bodies_above_the_limit_are_refused(http: HttpEnv) -> None:
    big = msgspec.json.encode({"workflow": "x", "input": "a" * 9_500_000})
    assert http.ask("POST", "/api/v1/runs", body=big).status == 413
    assert http.ask("POST", PATH, body=b"#" * 5_000_000, headers=AS_YAML).status == 413
