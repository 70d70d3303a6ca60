"""docs/graphs.md: every block runs, every workflow in it draws, and what it calls a mistake is one, at that line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import wfe
from wfe.authoring.apps import App, load_app
from wfe.authoring.workflows import WorkflowFunction
from wfe.errors import GraphError

PAGE = Path(__file__).parents[3] / "docs" / "graphs.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MISTAKE = re.compile(r"# GraphError: (.*)")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> App:
    """The page's blocks as one module, each at the page's own line numbers."""
    text = PAGE.read_text()
    source = ["\n"] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n")
        source[first : first + block[1].count("\n")] = block[1].splitlines(keepends=True)
    file = tmp_path_factory.mktemp("docs") / "graphs_page.py"
    file.write_text("".join(source))
    return load_app(str(file))


def _mistake(workflow: WorkflowFunction[..., object]) -> tuple[int | None, str] | None:
    try:
        workflow.definition()
    except GraphError as error:
        return error.line, error.message
    return None


def test_every_workflow_of_the_page_draws_or_is_the_mistake_it_says(page: App) -> None:
    lines = PAGE.read_text().splitlines()
    said = {number: found[1] for number, line in enumerate(lines, 1) if (found := MISTAKE.search(line))}
    found = [mistake for workflow in page.workflows.values() if (mistake := _mistake(workflow)) is not None]
    assert {line for line, _ in found} == set(said)
    for line, message in found:
        (instead,) = re.findall(r"wf\.\w+", said[line or 0])
        assert instead in message
    assert len(page.workflows) > len(said) > 1


def test_the_pages_tasks_are_plain_functions(page: App) -> None:
    assert {name for name, _ in page.tasks} == {"charge", "pack", "fetch", "ask", "search", "refund"}
    assert page.tasks["fetch", 1].function("x") == "x"


def test_what_the_page_reserves_is_there_and_comes_later() -> None:
    for name in ("loop", "state", "race", "approval", "compensate_with", "lock", "emit", "http"):
        assert callable(getattr(wfe.Graph, name))
