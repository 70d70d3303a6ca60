"""`wfe validate`: everything at once, with places, for Python and YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.env_client import wfe, wfe_json

PYTHON = """
import time
import wfe


@wfe.task
def work(n: int) -> int:
    return n


@wfe.workflow
def clocks(wf: wfe.Graph, n: wfe.Ref[int]) -> wfe.Ref[int]:
    begin = time.time()
    if isinstance(n, int):
        pass
    return work(n)


@wfe.workflow
def types(wf: wfe.Graph, n: wfe.Ref[int]) -> wfe.Ref[int]:
    wf.sleep("1s", id="nap")
    wf.sleep("0s", id="n")
    with wf.when(n > 1):
        work(n)
    return work(n)


@wfe.workflow
def fine(wf: wfe.Graph, n: wfe.Ref[int]) -> wfe.Ref[int]:
    return work(n)
"""


def found(*arguments: str, code: int = 1) -> list[dict[str, Any]]:
    report = wfe_json("validate", *arguments, code=code)
    assert report["ok"] == (code == 0)
    findings: list[dict[str, Any]] = report["findings"]
    return findings


def test_all_mistakes_of_all_python_workflows_are_told_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "mistaken_app.py"
    file.write_text(PYTHON)
    findings = found(str(file))
    assert [(each["workflow"], each["line"]) for each in findings if each["severity"] == "error"] == [
        ("clocks", 13),
        ("clocks", 14),
        ("types", 22),
    ]
    assert all(each["file"] == str(file) for each in findings)
    assert findings[0]["message"].startswith(f"{file}:13: ")
    assert findings[0]["problem"] in findings[0]["message"]


def test_all_findings_of_a_drawn_definition_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "two_findings_app.py"
    file.write_text(
        "import wfe\n\n@wfe.task\ndef work(n: int) -> int:\n    return n\n\n"
        "@wfe.workflow\ndef flow(wf: wfe.Graph) -> wfe.Ref[int]:\n"
        '    wf.wait_signal("a signal with spaces", int)\n    wf.wait_signal("another one", int)\n    return work(1)\n'
    )
    assert [each["line"] for each in found(str(file))] == [9, 10]


def test_yaml_findings_have_line_column_and_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(
        "workflow: flow\nparams: {order: {type: integer, default: x}}\n"
        'nodes:\n  - {task: charge, with: {x: "${ordr}"}}\n  - {set: 1, id: order}\noutput: "${chrge}"\n'
    )
    findings = found(str(file))
    assert [(each["line"], each["column"]) for each in findings] == [(2, 42), (4, 30), (5, 18), (6, 9)]
    assert {each["where"] for each in findings} == {"params.order.default", "nodes[0].with.x", "nodes[1].id", "output"}
    assert findings[0]["problem"].startswith("the default does not fit")
    assert findings[1]["suggestion"] == "did you mean 'order'?"
    text = wfe("validate", str(file)).stdout
    assert f"error: flow: {file}:4:30: charge: unknown name 'ordr'; did you mean 'order'?" in text


def test_warnings_are_told_beside_errors_and_alone_they_are_fine(tmp_path: Path) -> None:
    app = tmp_path / "warned_app.py"
    app.write_text("import wfe\n\n@wfe.task\ndef charge(n: int) -> int:\n    return n\n")
    file = tmp_path / "flow.yaml"
    text = "workflow: flow\nnodes:\n  - {task: chrge}\n"
    file.write_text(text)
    [warning] = found(str(file), str(app), code=0)
    assert (warning["severity"], warning["line"], warning["suggestion"]) == ("warning", 3, "did you mean 'charge'?")
    file.write_text(f"{text}  - {{sleep: 5}}\n")
    assert [each["severity"] for each in found(str(file), str(app))] == ["warning", "error"]


@pytest.mark.parametrize("text", ["workflow: [", "", "- 7"])
def test_what_cannot_be_read_is_a_finding(tmp_path: Path, text: str) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(text)
    [finding] = found(str(file))
    assert finding["severity"] == "error"
    assert finding["file"] == str(file)


def test_what_cannot_be_found_or_is_there_twice_is_a_finding(tmp_path: Path) -> None:
    [finding] = found(str(tmp_path / "missing.yaml"))
    assert "cannot be read" in finding["message"]
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("workflow: flow\nnodes: [{set: 1}]\n")
    [finding] = found(str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml"))
    assert "two of one name: workflow 'flow'" in finding["message"]


def test_an_unknown_task_is_told_first_and_without_an_app_tasks_are_said_not_to_be_known(tmp_path: Path) -> None:
    text, app = tmp_path / "orders.yaml", tmp_path / "shop_with_charge.py"
    text.write_text(
        "workflow: orders\nnodes:\n  - {sleep: 0s, id: idle}\n  - {task: charge, id: first, with: {x: 1}}\n"
        "  - {task: chrge, id: paid}\n"
    )
    app.write_text("import wfe\n\n\n@wfe.task\ndef charge(order: str) -> str:\n    return order\n")
    first, *others = found(str(text), str(app))
    assert first["message"].endswith("must offer it; did you mean 'charge'?")
    assert "'chrge'" in first["message"]
    assert any("no parameter 'x'" in each["message"] for each in others), "it stands before, and is told behind"
    assert "tasks are not known" not in wfe("validate", str(text), str(app)).stderr
    assert "tasks are not known, so not checked: name the app" in wfe("validate", str(text)).stderr
