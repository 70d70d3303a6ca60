"""`wfe graph` and `wfe diff` of apps, registered versions and runs: over a real engine in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.env_client import connect_to, wfe, wfe_json
from wfe.authoring.yaml_reader import read_definitions
from wfe.testing import Env

FLOW = """
workflow: flow
params: {n: integer}
nodes:
  - {parallel: [{sleep: 10s, id: quick}, {sleep: 50s, id: slow}], id: both}
  - {when: n > 1, id: big, do: [{sleep: 5s, id: more}]}
  - {map: '[1, 2, 3]', id: m, max_parallel: 1, do: [{sleep: 2s, id: item_nap}, {set: 1, id: one}]}
output: "${n}"
"""


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[Env]:
    with Env() as env:
        connect_to(env, monkeypatch)
        env.deploy(*read_definitions(FLOW, "flow.yaml"))
        yield env


@pytest.fixture
def app(tmp_path: Path) -> str:
    file = tmp_path / "flow.yaml"
    file.write_text(FLOW)
    return str(file)


def test_the_processed_graph_of_an_app_has_no_recorded_times(env: Env, app: str) -> None:
    found = wfe_json("graph", app, "--format", "json", "--paths", "2")
    assert (found["workflow"], found["roots"], found["leaves"]) == ("flow", ["both"], ["one"])
    assert found["path_count"] == 4
    assert len(found["paths"]) == 2
    assert found["critical_path"] is None
    assert wfe("graph", app, "--format", "json").stdout.startswith("{")


def test_the_critical_path_of_a_run_is_that_of_its_own_times(env: Env) -> None:
    run = env.start("flow", 1)
    assert run.result() == 1
    found = wfe_json("graph", run.id, "--format", "json")
    assert found["runs"] == 1
    assert found["critical_path"]["nodes"] == ["slow", "m"]
    assert 56_000 <= found["critical_path"]["duration_ms"] <= 57_000
    times = {node["id"]: node["times"] for node in found["nodes"]}
    assert times["more"] is None, "it did not run"
    assert times["item_nap"]["mean_ms"] >= 6_000, "three times two seconds"


def test_the_critical_path_of_a_workflow_is_that_of_its_last_runs(env: Env) -> None:
    for n in (1, 2, 3):
        env.run("flow", n)
    found = wfe_json("graph", "flow", "--format", "json")
    assert found["runs"] == 3
    assert found["critical_path"]["nodes"] == ["slow", "more", "m"]
    times = {node["id"]: node["times"] for node in found["nodes"]}
    assert times["more"]["runs"] == 2
    assert times["slow"]["runs"] == 3
    assert times["slow"]["max_ms"] >= 50_000
    assert wfe_json("graph", "flow@1", "--format", "json", "--runs", "1")["runs"] == 1
    assert wfe_json("graph", "flow", "--format", "json", "--runs", "0")["critical_path"] is None


def test_runs_of_another_version_do_not_count(env: Env) -> None:
    env.run("flow", 1)
    env.deploy(*read_definitions(FLOW.replace("50s", "40s"), "flow.yaml"))
    assert wfe_json("graph", "flow", "--format", "json")["runs"] == 0
    assert wfe_json("graph", "flow@1", "--format", "json")["runs"] == 1


@pytest.mark.parametrize(
    ("form", "begin"), [("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg"), ("yaml", "wor")]
)
def test_a_registered_version_is_drawn_by_its_name(env: Env, form: str, begin: str) -> None:
    assert wfe("graph", "flow@1", "--format", form).stdout.startswith(begin)
    assert wfe_json("graph", "flow", "--format", form)["text"].startswith(begin)


def test_a_name_that_is_not_registered_is_refused(env: Env) -> None:
    assert wfe_json("graph", "flwo", code=2)["error"]["code"] == "unknown_workflow"
    assert wfe_json("graph", "flow@9", "--format", "json", code=2)["error"]["code"] == "unknown_workflow"
    assert wfe_json("graph", "nowhere.py", code=2)["error"]["code"] == "app"


def test_two_versions_differ_in_what_was_changed(env: Env, app: str) -> None:
    env.deploy(*read_definitions(FLOW.replace("50s", "40s"), "flow.yaml"))
    [found] = wfe_json("diff", "flow@1", "flow")
    assert found["differences"] == [
        {"what": "node", "change": "changed", "where": "slow.duration_ms", "old": 50_000, "new": 40_000}
    ]
    result = wfe("diff", "flow@1", "flow", "--exit-code")
    assert (result.exit_code, result.stdout) == (1, "flow:\n  node slow.duration_ms: 50000 -> 40000\n")
    assert wfe("diff", "flow@1", app, "--exit-code").stdout == "flow: the same\n"
    run = env.start("flow", 1)
    assert wfe_json("diff", run.id, "flow@2")[0]["same"] is True


def test_an_app_alone_is_compared_with_what_is_registered(env: Env, app: str, tmp_path: Path) -> None:
    assert wfe_json("diff", app)[0]["same"] is True
    two = tmp_path / "two.yaml"
    two.write_text(f"{FLOW.replace('n > 1', 'n > 2')}---\nworkflow: fresh\nnodes: [{{set: 1}}]\n")
    found = wfe_json("diff", str(two))
    assert [(each["workflow"], each["differences"][0]["change"]) for each in found] == [
        ("flow", "changed"),
        ("fresh", "added"),
    ]
