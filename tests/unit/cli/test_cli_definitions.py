"""`wfe definitions`: over a real engine in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.env_client import connect_to, wfe, wfe_json
from wfe.authoring.yaml_reader import read_definitions
from wfe.model.definition import Definition, Set
from wfe.model.net import Trigger
from wfe.testing import Env


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[Env]:
    with Env() as env:
        connect_to(env, monkeypatch)
        yield env


def constant(value: Any, name: str = "flow", **fields: Any) -> Definition:
    return Definition(name, nodes=(Set(id="a", value=value),), output="${a}", **fields)


def test_the_list_shows_the_current_versions_or_all_of_one(env: Env) -> None:
    env.deploy(constant(1), constant(1, "other", triggers=(Trigger("orders"),)))
    env.deploy(constant(2))
    wfe_json("definitions", "tag", "flow@1", "stable")
    wfe_json("definitions", "deprecate", "flow@1", "--note", "use 2")
    shown = wfe_json("definitions", "list")
    assert [(each["workflow"], each["version"], each["triggers"]) for each in shown] == [
        ("flow", 2, []),
        ("other", 1, ["webhook:orders"]),
    ]
    versions = wfe_json("definitions", "list", "flow")
    assert [(each["version"], each["current"], each["tags"], each["note"]) for each in versions] == [
        (2, True, [], ""),
        (1, False, ["stable"], "use 2"),
    ]
    assert versions[1]["deprecated_at"].endswith("Z")
    assert len(wfe_json("definitions", "list", "--versions")) == 3
    text = wfe("definitions", "list", "flow").stdout
    assert "stable" in text
    assert "deprecated: use 2" in text


def test_a_definition_is_printed_so_that_it_can_be_deployed_again(env: Env, tmp_path: Path) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    text = wfe("definitions", "get", "flow@1").stdout
    assert read_definitions(text, "flow.yaml") == [constant(1)]
    text = wfe("definitions", "get", "flow", "--format", "json").stdout
    assert read_definitions(text, "flow.json") == [constant(2)]


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_export_is_imported_elsewhere_under_the_same_versions(env: Env, tmp_path: Path, form: str) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2), constant({"deep": ["${1 + 1}", None]}, "other", description="words: “quoted”"))
    file = tmp_path / f"all.{form}"
    assert wfe("definitions", "export", "--format", form, "-o", str(file)).exit_code == 0
    exported = {each.workflow: each for each in read_definitions(file.read_text(), file.name)}
    assert {name: each.version for name, each in exported.items()} == {"flow": 2, "other": 1}
    with Env() as another, pytest.MonkeyPatch.context() as patch:
        connect_to(another, patch)
        imported = wfe_json("definitions", "import", str(file))
        assert [(each["workflow"], each["version"]) for each in imported] == [("flow", 2), ("other", 1)]
        assert wfe_json("definitions", "import", str(file))[0]["changed"] is False
    ours = {each["workflow"]: each["hash"] for each in wfe_json("definitions", "list")}
    assert {each["workflow"]: each["hash"] for each in imported} == ours
    only = wfe("definitions", "export", "flow@1", "--format", form).stdout
    [found] = read_definitions(only, f"x.{form}")
    assert (found.version, found.nodes) == (1, constant(1).nodes)


def test_versions_are_used_tagged_and_deleted_by_command(env: Env) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    assert wfe_json("definitions", "use", "flow@1") == {"workflow": "flow", "versions": [1], "changed": True}
    assert wfe_json("definitions", "use", "flow@1") == {"workflow": "flow", "versions": [], "changed": False}
    assert wfe_json("definitions", "tag", "flow@2", "next")["versions"] == [2]
    assert env.run("flow@next") == 2
    assert wfe_json("definitions", "tag", "flow", "next", "--remove")["changed"] is True
    refused = wfe_json("definitions", "delete", "flow@2", code=2)["error"]
    assert refused["code"] == "definition_in_use"
    assert wfe_json("definitions", "deprecate", "flow")["versions"] == [1, 2]
    assert wfe_json("start", "flow", code=2)["error"]["code"] == "deprecated"
    assert wfe_json("definitions", "undeprecate", "flow@1")["versions"] == [1]
    env.deploy(constant(3, "unused"))
    assert wfe_json("definitions", "delete", "unused")["versions"] == [1]
    assert "nothing to change" in wfe("definitions", "delete", "unused").stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("get", "nobody"), "unknown_workflow"),
        (("list", "nobody"), "unknown_workflow"),
        (("delete", "nobody"), "unknown_workflow"),
        (("tag", "flow", "7"), "invalid_input"),
        (("use", "flow@nine"), "unknown_workflow"),
        (("export", "flow@9"), "unknown_workflow"),
        (("import", "/no/such/file.yaml"), "app"),
    ],
)
def test_refusals_are_typed_and_exit_with_2(env: Env, arguments: tuple[str, ...], code: str) -> None:
    env.deploy(constant(1))
    assert wfe_json("definitions", *arguments, code=2)["error"]["code"] == code


def test_a_json_file_may_hold_several_workflows() -> None:
    text = json.dumps([{"workflow": name, "nodes": [{"set": 1}]} for name in ("a", "b")])
    assert [each.workflow for each in read_definitions(text, "x.json")] == ["a", "b"]


FLOW = """
workflow: flow
nodes: [{signal: go, id: go}, {set: 1}]
"""


def test_a_check_names_live_runs_that_the_new_version_would_break(env: Env, tmp_path: Path) -> None:
    env.deploy(*read_definitions(FLOW, "flow.yaml"))
    run = env.start("flow", key="order-1")
    app = tmp_path / "flow.yaml"
    app.write_text(FLOW.replace("{set: 1}", "{set: 2}"))
    [fine] = wfe_json("deploy", str(app), "--check")
    assert (fine["ok"], fine["changed"], fine["version"], fine["runs_carried"], fine["runs_broken"]) == (
        True,
        True,
        2,
        1,
        [],
    )
    app.write_text(FLOW.replace("{signal: go, id: go}", "{sleep: 1h, id: nap}"))
    [broken] = wfe_json("deploy", str(app), "--check", code=1)
    assert broken["ok"] is False
    [found] = broken["runs_broken"]
    assert (found["id"], found["version"], found["status"], found["key"]) == (run.id, 1, "waiting", "order-1")
    assert found["obstacles"][0]["node"] == "go"
    text = wfe("deploy", str(app), "--check").stdout
    assert f"run {run.id} (flow@1, waiting, key order-1) could not go on as flow@2:\n  go: a wait for a signal" in text
    assert wfe_json("definitions", "list")[0]["version"] == 1, "nothing was registered"
    assert wfe_json("deploy", str(app))[0]["version"] == 2, "the run keeps its version: a deploy is free to go on"
