"""Apps: files, packages and definitions as text, found, imported and collected."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wfe
from wfe.authoring.apps import load_app
from wfe.bootstrap import oneshot

TASKS = """
import wfe

@wfe.task
def double(x: int) -> int:
    return 2 * x
"""
FLOW = """
import wfe
from {tasks} import double

@wfe.workflow
def flow(wf: wfe.Graph, x: int) -> int:
    return double(x)
"""
YAML = """
workflow: doubled
params: {x: integer}
nodes:
  - {task: double, with: {x: "${x}"}}
output: "${double}"
"""


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_file_is_imported_under_its_stem(tmp_path: Path) -> None:
    spec = write(tmp_path / "here" / "app_one.py", TASKS + "from app_one_more import half\n" + FLOW.split("\n", 3)[3])
    write(tmp_path / "here" / "app_one_more.py", TASKS.replace("double", "half"))
    app = load_app(spec)
    assert set(app.tasks) == {("double", 1), ("half", 1)}
    assert set(app.workflows) == {"flow"}
    assert app.tasks["half", 1].module == "app_one_more"
    assert [definition.workflow for definition in app.definitions()] == ["flow"]
    assert app.definition("flow") is app.definitions()[0]
    assert [Path(file).name for file in app.files] == ["app_one.py", "app_one_more.py"]
    assert sys.path[0] == str(tmp_path / "here")
    assert "__main__" not in {task.module for task in app.tasks.values()}


def test_a_module_is_found_from_the_working_directory(tmp_path: Path) -> None:
    write(tmp_path / "pkg" / "__init__.py", "")
    write(tmp_path / "pkg" / "jobs.py", TASKS)
    write(tmp_path / "pkg" / "flows.py", "from pkg import jobs\n" + FLOW.format(tasks="pkg.jobs"))
    app = load_app(["pkg.flows"])
    assert set(app.tasks) == {("double", 1)}
    assert set(app.workflows) == {"flow"}


def test_tasks_in_a_module_that_the_app_imports_count(tmp_path: Path) -> None:
    write(tmp_path / "jobs_two.py", TASKS)
    spec = write(tmp_path / "app_two.py", "import wfe, os, json\nimport jobs_two\n")
    assert set(load_app(spec).tasks) == {("double", 1)}


def test_the_same_function_seen_twice_is_one(tmp_path: Path) -> None:
    write(tmp_path / "jobs_three.py", TASKS)
    first = write(tmp_path / "app_three.py", "from jobs_three import double\nagain = double\n")
    second = write(tmp_path / "app_four.py", "from jobs_three import double\n")
    app = load_app([first, second, first])
    assert set(app.tasks) == {("double", 1)}


def test_two_tasks_of_one_name_are_an_error_with_both_places(tmp_path: Path) -> None:
    first = write(tmp_path / "app_five.py", TASKS)
    second = write(tmp_path / "app_six.py", TASKS)
    with pytest.raises(wfe.AppError, match=r"app_five\.py:4 and at .*app_six\.py:4"):
        load_app([first, second])


def test_two_versions_of_a_task_live_side_by_side(tmp_path: Path) -> None:
    spec = write(tmp_path / "app_seven.py", TASKS + TASKS.replace("@wfe.task", '@wfe.task(name="double", version=2)'))
    with pytest.raises(KeyError):
        load_app(spec).tasks["double", 1]
    text = TASKS + TASKS.replace("@wfe.task", '@wfe.task(name="double", version=2)').replace("def double", "def new")
    assert set(load_app(write(tmp_path / "app_eight.py", text)).tasks) == {("double", 1), ("double", 2)}


def test_two_workflows_of_one_name_are_an_error_with_both_places(tmp_path: Path) -> None:
    good = "import wfe\n" + TASKS + FLOW.split("\n", 3)[3]
    first, second = (
        write(tmp_path / "app_ten.py", good),
        write(tmp_path / "app_ten.yaml", YAML.replace("doubled", "flow")),
    )
    with pytest.raises(wfe.AppError, match=r"workflow 'flow'.*app_ten\.py.*app_ten\.yaml"):
        load_app([first, second]).definitions()


def test_yaml_and_json_are_apps_that_take_their_tasks_from_the_others(tmp_path: Path) -> None:
    tasks = write(tmp_path / "app_eleven.py", TASKS.replace("@wfe.task", '@wfe.task(timeout="3s")'))
    text = write(tmp_path / "flow.yaml", YAML)
    app = load_app([tasks, text])
    (definition,) = app.definitions()
    assert definition.workflow == "doubled"
    assert definition.nodes[0].timeout_ms == 3_000  # type: ignore[union-attr]
    assert load_app([text]).tasks == {}


def test_a_drawn_workflow_and_its_yaml_are_the_same_definition(tmp_path: Path) -> None:
    spec = write(tmp_path / "app_twelve.py", TASKS + FLOW.split("\n", 3)[3].replace("def flow", "def doubled"))
    (drawn,) = load_app(spec).definitions()
    (read,) = load_app([write(tmp_path / "t.py", TASKS), write(tmp_path / "flow.yaml", YAML)]).definitions()
    assert (read.nodes, read.params, read.output) == (drawn.nodes, drawn.params, drawn.output)


def test_several_broken_workflows_are_reported_together(tmp_path: Path) -> None:
    body = FLOW.split("\n", 3)[3].replace("double(x)", "double(x, x)")
    spec = write(tmp_path / "app_13.py", TASKS + body + body.replace("def flow", "def other"))
    with pytest.raises(wfe.DefinitionError) as refused:
        load_app(spec).definitions()
    assert len(refused.value.findings) == 2
    assert all("app_13.py:" in line for line in refused.value.findings)


def test_a_file_inside_a_package_is_refused_naming_the_module(tmp_path: Path) -> None:
    write(tmp_path / "outer" / "__init__.py", "")
    write(tmp_path / "outer" / "inner" / "__init__.py", "")
    spec = write(tmp_path / "outer" / "inner" / "flows.py", TASKS)
    with pytest.raises(wfe.AppError, match=r"name the module instead, outer\.inner\.flows"):
        load_app(spec)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\nraise ValueError('boom')\n", r"broken\.py:2: ValueError: boom\nTraceback (?s:.*)boom"),
        ("def f(:\n", r"broken\.py:1: SyntaxError: [^\n]+$"),
        ("import nowhere_to_be_found\n", r"broken\.py:1: ModuleNotFoundError: .*nowhere_to_be_found.*install[^\n]+$"),
        ("from os import nothing_like_it\n", r"broken\.py:1: ImportError: .*nothing_like_it[^\n]+$"),
        ("import sys\nsys.exit(3)\n", r"broken\.py:2: SystemExit: 3"),
        ("import wfe\n\n@wfe.task\ndef f(*a): ...\n", r"broken\.py:3: @wfe\.task on f: [^\n]+$"),
        ("import wfe\nf = wfe.task(lambda x: x)\n", r"broken\.py:2: @wfe\.task on <lambda>: .*write a `def`[^\n]+$"),
        (
            "import wfe\n@wfe.task(retry=3)\ndef f(): ...\n",
            r"broken\.py:2: .*takes wfe\.Retry\(\.\.\.\).*max_attempts=3\)$",
        ),
        (
            "import wfe\n@wfe.workflow\ndef w(wf: wfe.Durable, n: int): ...\n",
            r"broken\.py:2: @wfe\.workflow on w: .*write async in front$",
        ),
        (
            "import wfe\n@wfe.workflow\ndef w(): ...\n",
            r"broken\.py:2: @wfe\.workflow on w: .*def w\(wf: wfe\.Graph\)[^\n]+$",
        ),
    ],
)
def test_a_failing_import_names_file_and_line(tmp_path: Path, source: str, words: str) -> None:
    spec = write(tmp_path / "broken.py", source)
    with pytest.raises(wfe.AppError, match=rf"^\S+{words}") as raised:
        load_app(spec)
    assert raised.value.file == spec
    for other in ("authoring", "importlib"):
        assert other not in str(raised.value)
    assert "broken" not in sys.modules
    with pytest.raises(wfe.AppError, match="broken"):
        load_app("broken")


def test_of_an_exception_only_the_authors_own_frames_are_shown(tmp_path: Path) -> None:
    inner = write(tmp_path / "app_inner.py", "import json\n\ndef read():\n    return json.loads('{')\n\nread()\n")
    outer = write(tmp_path / "app_outer.py", "import app_inner\n")
    with pytest.raises(wfe.AppError, match=r"app_inner\.py:4: JSONDecodeError: ") as raised:
        load_app(outer)
    files = [line.split('"')[1] for line in str(raised.value).splitlines() if line.startswith("  File ")]
    assert files == [outer, inner, inner]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nowhere.py", "no such file"),
        ("nowhere.yaml", "cannot be read"),
        ("nowhere", "there is no module 'nowhere'"),
        ("nowhere.deeper", "there is no module 'nowhere'"),
        ("json.nowhere", r"there is no module 'json\.nowhere'"),
        ("./thing.txt", "no such file"),
        ("not a module", "is no app"),
        ("", "is no app"),
    ],
)
def test_what_is_no_app_is_refused(spec: str, words: str) -> None:
    with pytest.raises(wfe.AppError, match=words):
        load_app(spec)


def test_an_app_without_tasks_and_workflows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wfe.AppError, match="offers nothing"):
        load_app(write(tmp_path / "empty_app.py", "x = 1\n"))
    with pytest.raises(wfe.AppError, match="no app was named"):
        load_app([])


def test_a_file_that_hides_another_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wfe.AppError, match=r"already a module of that name.*rename the file"):
        load_app(write(tmp_path / "json.py", TASKS))


def test_resources_are_collected(tmp_path: Path) -> None:
    text = TASKS + "\n@wfe.resource\ndef db():\n    yield 1\n"
    app = load_app(write(tmp_path / "app_14.py", text))
    assert list(app.resources) == ["app_14.db"]


def test_a_name_that_the_app_lacks_is_refused(tmp_path: Path) -> None:
    app = load_app(write(tmp_path / "app_15.py", TASKS))
    assert app.definitions() == []
    with pytest.raises(wfe.UnknownWorkflow, match="has no workflow 'x'"):
        app.definition("x")


def test_an_app_that_starts_an_engine_while_it_is_imported_is_refused_at_that_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine would import the file again, and so on: as many processes as the machine can hold."""
    monkeypatch.setattr(oneshot, "LocalServer", lambda *_: pytest.fail("an engine was started"))
    text = TASKS + FLOW.format(tasks="app_16") + "\n\nprint(wfe.run(flow, 3))\n"
    spec = write(tmp_path / "app_16.py", text)
    with pytest.raises(wfe.AppError, match=r"(?s)wfe\.run.*if __name__ == '__main__'") as refused:
        load_app(spec)
    assert (refused.value.file, refused.value.line) == (spec, text.count("\n"))
    with pytest.raises(wfe.UnknownWorkflow):
        wfe.run(len)  # what failed is over: this process may start engines again
