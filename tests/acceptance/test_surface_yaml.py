"""DESIGN section 6, "YAML": the same definitions as text, against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import surface_app
import yaml

from conftest import Server

APP = str(Path(surface_app.__file__))
T = ("--wait", "--timeout", "30s")

DESIGN = """
workflow: checkout_text
params: {order: Order}                                   # JSON Schema, a JSON type, or a name in types:
types: {Order: {type: object, required: [id, total, items]}}
nodes:                                                   # one kind each; in order, `after: [ids]` replaces that
  - {catch: [CardDeclined], id: declined, do: [
      {task: charge, with: {order: "${order}"}, retry: {max_attempts: 5, initial_delay: 10ms}}]}
  - {when: declined.failed, do: [{fail: CardDeclined, message: "${declined.message}"}]}
  - {map: order.items, id: packed, as: item, max_parallel: 10, do: [{task: pack, with: {item: "${item}"}}]}
output: {order: "${order.id}", charge: "${merge(charge)}", packed: "${packed}"}
"""

RULES = """
workflow: rules
params: {n: integer, name: {type: string, default: you}}
nodes:
  - {set: "${n + 1}", id: more}
  - {set: "${n} of ${name}", id: text}
  - {if: "n > 100", task: greet, with: {name: "${name}"}, id: bypassed}
  - {when: n > 10, do: [{task: greet, with: {name: big}, id: big}]}
  - {otherwise: n > 5, do: [{task: greet, with: {name: middle}, id: middle}]}
  - {otherwise: true, do: [{task: greet, with: {name: small}, id: small}]}
  - {task: double, with: {n: "${n}"}, id: late, after: [more], timeout: 10s}
output:
  more: "${more}"
  text: "${text}"
  size: "${merge(big, middle, small)}"
  late: "${late}"
  list: ["${n}", a, 1.5, null, true]
  run: "${run.id}"
  none: "${bypassed}"
"""


@pytest.fixture(scope="module")
def app() -> Path:
    return Path(APP)


@pytest.fixture(scope="module")
def deployed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The server, once it knows the workflows above."""
    directory = tmp_path_factory.mktemp("texts")
    (directory / "design.yaml").write_text(DESIGN)
    (directory / "rules.yml").write_text(RULES)
    assert [found["workflow"] for found in server.json("deploy", str(directory / "design.yaml"))] == ["checkout_text"]
    assert [found["version"] for found in server.json("deploy", str(directory / "rules.yml"))] == [1]
    return server


def order(**fields: Any) -> str:
    return json.dumps({"id": "o", "total": 5, "items": [{"sku": "a"}, {"sku": "b", "count": 2}], **fields})


def test_the_example_runs_with_the_tasks_of_a_python_app(deployed: Server) -> None:
    form = deployed.json("start", "checkout_text", "-i", order(), *T)
    assert form["output"] == {"order": "o", "charge": "charge-o", "packed": ["ax1", "bx2"]}
    form = deployed.json("start", "checkout_text", "-i", order(id="stolen"), *T, code=1)
    assert (form["error"]["type"], form["error"]["message"]) == ("CardDeclined", "call the police")
    form = deployed.json("start", "checkout_text", "-i", order(items=[{"sku": "c", "count": -1}]), *T, code=1)
    assert (form["error"]["type"], form["error"]["node"]) == ("ValueError", "pack")
    error = deployed.json("start", "checkout_text", "-i", '{"id": "o", "total": 5}', code=2)["error"]
    assert (error["code"], error["path"]) == ("invalid_input", "$")


def test_expressions_keep_their_types_and_text_around_them_makes_text(deployed: Server) -> None:
    form = deployed.json("start", "rules", "-i", '{"n": 7}', *T)
    assert form["output"] == {
        "more": 8,
        "text": "7 of you",
        "size": "hello middle",
        "late": 14,
        "list": [7, "a", 1.5, None, True],
        "run": form["id"],
        "none": None,
    }
    assert deployed.json("start", "rules", "-i", '{"n": 700, "name": "me"}', *T)["output"]["none"] == "hello me"


def test_python_becomes_yaml_becomes_the_same_definition(server: Server, tmp_path: Path) -> None:
    known = {found["workflow"]: found["hash"] for found in server.json("deploy", APP)}
    assert len(known) > 20
    file = tmp_path / "everything.yaml"
    file.write_text(server.wfe("graph", APP, "--format", "yaml").stdout)
    again = server.json("deploy", str(file))
    assert {found["workflow"]: found["hash"] for found in again} == known
    assert not [found for found in again if found["changed"]]


def test_what_graph_prints_and_what_people_write_fits_the_schema(server: Server) -> None:
    validator = jsonschema_rs.Draft202012Validator(json.loads(server.wfe("schema").stdout))
    texts = [DESIGN, RULES, server.wfe("graph", APP, "--format", "yaml").stdout]
    for text in texts:
        for document in yaml.safe_load_all(text):
            assert [error.message for error in validator.iter_errors(document)] == []
    assert not validator.is_valid({"workflow": "x", "nodes": [{"task": "a", "when": "b"}]})
    assert not validator.is_valid({"nodes": []})


def test_json_is_yaml_too(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "plain.json"
    definition = {
        "workflow": "plain",
        "params": {"n": "integer"},
        "nodes": [{"task": "double", "with": {"n": "${n}"}}],
        "output": "${double}",
    }
    file.write_text(json.dumps(definition))
    server.json("deploy", str(file))
    assert server.json("start", "plain", "-i", "21", *T)["output"] == 42


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("workflow: a\nworkflow: b\nnodes: []\n", 2, 1, "already given"),
        ("workflow: a\nnodes:\n  - {task: [1]}\n", 3, 12, ""),
        ("workflow: a\nnodes:\n  - {tusk: greet}\n", 3, 5, "'task'"),
        ("workflow: a\nnodes:\n  - {task: greet, wiht: {}}\n", 3, 19, "with"),
        ("workflow: a\nnodes:\n  - {task: greet, when: true}\n", 3, None, ""),
        ("workflow: a\nnodes:\n  - &x {task: greet}\n  - *x\n", 3, None, ""),
        ("workflow: a\nnodes:\n  - {task: greet, with: {name: '${nobody}'}}\n", 3, 32, "nobody"),
        ("workflow: a\nnodes:\n  - {when: 'n >', do: [{task: greet}]}\n", 3, 12, ""),
        ("workflow: a\nnodes:\n  - {sleep: 5}\n", 3, 13, "5s"),
        ("workflow: a\nparams: {n: intger}\nnodes: []\noutput: '${n}'\n", 2, 13, "intger"),
        ("workflow: a\nnodes:\n  - {task: greet, id: x}\n  - {task: greet, id: x}\n", 4, None, "x"),
        ("workflow: a\nnodes:\n  - {task: greet, id: x, after: [y]}\n  - {task: greet, id: y}\n  -", 5, None, ""),
        (
            "workflow: a\nnodes:\n  - {task: greet, id: x, after: [y]}\n  - {task: greet, id: y, after: [x]}\n",
            None,
            None,
            "circle",
        ),
        ("workflow: a\nnodes:\n  - {end: 1}\n  - {task: greet}\n", 4, None, "never run"),
        ("workflow: a\nnodes: [\n", None, None, ""),
        ("- a\n", 1, 1, ""),
        ("nodes: []\n", 1, 1, "workflow"),
    ],
)
def test_mistakes_name_file_line_and_column(
    server: Server, tmp_path: Path, text: str, line: int | None, column: int | None, says: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    report = server.json("validate", str(file), code=1)
    assert report["ok"] is False
    found = "\n".join(finding["message"] for finding in report["findings"])
    place = f"wrong.yaml:{line or ''}{':' if line else ''}{column or ''}"
    assert place in found
    assert says in found
    if line == 3:
        assert server.json("deploy", str(file), code=2)["error"]["message"]


def test_arguments_are_checked_against_the_tasks_of_the_same_app(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.yaml"
    file.write_text("workflow: calls\nnodes:\n  - {task: greet, with: {nmae: you}}\n")
    assert server.json("validate", str(file))["ok"]
    report = server.json("validate", str(file), APP, code=1)
    assert "calls.yaml:3:" in report["findings"][0]["message"]


def test_run_takes_a_text_and_the_app_with_its_tasks(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("workflow: one_text\nnodes: [{task: greet, with: {name: you}}]\noutput: '${greet}'\n")
    done = server.wfe("run", f"{file}:one_text", APP)
    assert (done.returncode, done.stdout) == (0, '"hello you"\n'), done.stderr
    done = server.wfe("run", str(file))
    assert done.returncode == 2
    assert "greet" in done.stderr
