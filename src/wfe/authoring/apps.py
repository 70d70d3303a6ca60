"""Apps: what ``--app file.py``, ``--app package.module`` and ``--app file.yaml`` offer, found and imported.

Imports the author's modules as ``python file.py`` or ``python -m package.module`` would find them, but never as
``__main__``. Tasks, workflows and resources count wherever the module can see them: its own, those it imported, and
those in modules that it imported (outside the standard library and wfe). Definitions are drawn and read at first need.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wfe.authoring.import_failures import import_failure
from wfe.authoring.tasks import TaskFunction
from wfe.authoring.workflows import DurableFunction, WorkflowFunction
from wfe.errors import AppError, DefinitionError, GraphError, UnknownWorkflow, WfeError
from wfe.model.definition import Definition, Task, walk
from wfe.model.registered import RegisteredTask

if TYPE_CHECKING:
    from wfe.authoring.yaml_reader import Reading

TEXT_SUFFIXES = (".yaml", ".yml", ".json")

_imports_under_way: list[str] = []
"""The specifications that this process is importing right now."""


@dataclass(slots=True, eq=False)
class App:
    """What one or several app specifications offer together."""

    specs: tuple[str, ...]
    tasks: dict[tuple[str, int], RegisteredTask] = field(default_factory=dict)
    """By (name, version)."""
    workflows: dict[str, WorkflowFunction[Any, Any]] = field(default_factory=dict)
    """Those drawn in Python, by name."""
    resources: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Definitions as YAML or JSON: file -> text."""
    files: list[str] = field(default_factory=list)
    """The files to watch: the apps' own and those of the modules that they import their tasks from."""
    _definitions: dict[str, Definition] | None = None

    def definitions(self) -> list[Definition]:
        """Every workflow as data, drawn or read at the first call. GraphError or DefinitionError for the author."""
        return list(self._by_name().values())

    def definition(self, name: str) -> Definition:
        """One workflow as data. UnknownWorkflow when the app has none of this name."""
        found = self._by_name().get(name)
        if found is None:
            known = ", ".join(self._by_name()) or "none"
            raise UnknownWorkflow(f"{', '.join(self.specs)} has no workflow {name!r} (it has: {known})")
        return found

    def missing_tasks(self) -> list[tuple[str, str, str]]:
        """Tasks that its definitions call and it does not have: (workflow, node id, what is missing)."""
        return [
            (definition.workflow, node.id, f"task {node.task!r} (version {node.task_version})")
            for definition in self.definitions()
            for node in walk(definition.nodes)
            if isinstance(node, Task) and (node.task, node.task_version) not in self.tasks
        ]

    def _by_name(self) -> dict[str, Definition]:
        if self._definitions is None:
            problems: list[WfeError] = []
            found: dict[str, Definition] = {}
            for name, workflow in self.workflows.items():
                try:
                    found[name] = workflow.definition()
                except GraphError as error:
                    problems.append(error)
            places = {
                name: f"{workflow.__wfe_workflow__.file}:{workflow.__wfe_workflow__.line}"
                for name, workflow in self.workflows.items()
            }
            for file, text in self.texts.items():
                for definition in self._read(file, text, problems):
                    name = definition.workflow
                    if name in places:
                        raise _twice("workflow", name, places[name], file)
                    found[name], places[name] = definition, file
            if len(problems) == 1:
                raise problems[0]
            if problems:
                lines = [getattr(problem, "findings", None) or [str(problem)] for problem in problems]
                raise DefinitionError([line for finding in lines for line in finding])
            self._definitions = found
        return self._definitions

    def read_text(self, file: str, text: str) -> Reading:
        """What a text of the app holds, read with the app's tasks in mind, and all that is to be said about it."""
        from wfe.authoring.yaml_reader import read_text

        newest: dict[str, RegisteredTask] = {}
        for (name, version), task in sorted(self.tasks.items()):
            newest[name] = task
            newest[f"{name}@{version}"] = task
        return read_text(text, file, tasks=newest)

    def _read(self, file: str, text: str, problems: list[WfeError]) -> list[Definition]:
        reading = self.read_text(file, text)
        if not reading.ok:
            problems.append(DefinitionError(reading.errors))
        return reading.definitions if reading.ok else []


def load_app(specs: str | Sequence[str]) -> App:
    """Imports and reads one app or several. AppError when a part cannot be imported, or when all offer nothing."""
    given = (specs,) if isinstance(specs, str) else tuple(specs)
    if not given:
        raise AppError("no app was named: give a file.py, a file.yaml or a package.module")
    app = App(given)
    seen: dict[int, Any] = {}
    for spec in given:
        if spec.endswith(TEXT_SUFFIXES):
            _load_text(app, spec)
        else:
            module = _load_file(spec) if _is_file(spec) else _load_module(spec)
            _collect(app, module, seen)
    if not app.tasks and not app.workflows and not app.texts:
        raise AppError(f"{', '.join(given)} offers nothing: no function with @wfe.task or @wfe.workflow, no definition")
    return app


def refuse_during_import(what: str) -> None:
    """AppError while this process imports an app: an engine started by a file that engines import would start others,
    each of which imports the file again, without end."""
    if _imports_under_way:
        raise AppError(
            f"{what} was called while the file was imported as the app of an engine: let it happen only where the file "
            "is the program, below `if __name__ == '__main__':`"
        )


def app_of_module(module: ModuleType) -> App:
    """What a module that is imported already can see. AppError when two things have one name."""
    app = App((module.__name__,))
    _collect(app, module, {})
    return app


# ---- finding and importing -----------------------------------------------------------------------------------------


@contextmanager
def _importing(spec: str) -> Iterator[None]:
    _imports_under_way.append(spec)
    try:
        yield
    finally:
        _imports_under_way.pop()


def _is_file(spec: str) -> bool:
    return spec.endswith(".py") or os.sep in spec or (os.altsep is not None and os.altsep in spec)


def _load_text(app: App, spec: str) -> None:
    try:
        text = Path(spec).read_text(encoding="utf-8")
    except OSError as error:
        raise AppError(f"{spec} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DefinitionError([f"{spec}: not UTF-8 text ({error})"]) from error
    app.texts[spec] = text
    app.files.append(os.path.abspath(spec))


def _load_file(spec: str) -> ModuleType:
    path = Path(spec).resolve()
    if not path.is_file():
        raise AppError(f"{spec}: there is no such file")
    if path.suffix != ".py":
        raise AppError(f"{spec}: an app is a file.py, a file.yaml (or .yml, .json) or a package.module")
    if (path.parent / "__init__.py").exists():
        root, parts = path.parent, [path.stem] if path.stem != "__init__" else []
        while (root / "__init__.py").exists():
            parts.insert(0, root.name)
            root = root.parent
        raise AppError(f"{spec} is a part of a package: name the module instead, {'.'.join(parts)} (from {root})")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if _same_file(known, path):
            return known
        raise AppError(
            f"{spec} would be imported as {name!r}, and there is already a module of that name "
            f"({getattr(known, '__file__', None) or 'built in'}): rename the file"
        )
    _put_on_path(str(path.parent))
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise AppError(f"{spec} cannot be imported as a Python module")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        with _importing(spec):
            module_spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise import_failure(spec, error) from error
    return module


def _load_module(spec: str) -> ModuleType:
    if not all(part.isidentifier() for part in spec.split(".")):
        raise AppError(f"{spec!r} is no app: give a file.py, a file.yaml (or .yml, .json) or a package.module")
    _put_on_path(os.getcwd())
    try:
        with _importing(spec):
            return importlib.import_module(spec)
    except ModuleNotFoundError as error:
        if error.name is not None and (spec == error.name or spec.startswith(f"{error.name}.")):
            raise AppError(f"there is no module {error.name!r} (looked in {os.getcwd()} and on sys.path)") from error
        raise import_failure(spec, error) from error
    except BaseException as error:
        raise import_failure(spec, error) from error


def _same_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _put_on_path(directory: str) -> None:
    if directory not in sys.path:
        sys.path.insert(0, directory)


# ---- collecting ----------------------------------------------------------------------------------------------------


def _collect(app: App, module: ModuleType, seen: dict[int, Any]) -> None:
    for owner, name, value in _visible(module, seen):
        if isinstance(value, TaskFunction):
            task = value.__wfe_task__
            known = app.tasks.get((task.name, task.version))
            if known is not None:
                where = f"task {task.name!r} (version {task.version})"
                raise _twice(where, "", f"{known.file}:{known.line}", f"{task.file}:{task.line}")
            app.tasks[task.name, task.version] = task
            _watch(app, task.file)
        elif isinstance(value, WorkflowFunction):
            workflow = value.__wfe_workflow__
            other = app.workflows.get(workflow.name)
            if other is not None:
                first = other.__wfe_workflow__
                raise _twice(
                    "workflow", workflow.name, f"{first.file}:{first.line}", f"{workflow.file}:{workflow.line}"
                )
            app.workflows[workflow.name] = value
            if isinstance(value, DurableFunction):
                app.tasks[value.offered.name, value.offered.version] = value.offered
            _watch(app, workflow.file)
        else:
            app.resources[f"{owner}.{name}"] = value
    _watch(app, getattr(module, "__file__", None))


def _visible(module: ModuleType, seen: dict[int, Any]) -> Iterator[tuple[str, str, Any]]:
    """(module, name, object) for each task, workflow and resource that a module can see, each object once."""
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen[id(current)] = current
        for name, value in list(vars(current).items()):
            if isinstance(value, ModuleType):
                if not _is_foreign(value.__name__):
                    waiting.append(value)
            elif id(value) not in seen and (isinstance(value, (TaskFunction, WorkflowFunction)) or _is_resource(value)):
                seen[id(value)] = value
                yield current.__name__, name, value


def _is_resource(value: Any) -> bool:
    return "__wfe_resource__" in getattr(value, "__dict__", ()) or hasattr(type(value), "__wfe_resource__")


def _is_foreign(module: str) -> bool:
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names or root == "wfe"


def _watch(app: App, file: str | None) -> None:
    if file is not None and os.path.isfile(file) and os.path.abspath(file) not in app.files:
        app.files.append(os.path.abspath(file))


def _twice(what: str, name: str, first: str, second: str) -> AppError:
    named = f"{what} {name!r}" if name else what
    return AppError(f"two of one name: {named} is defined at {first} and at {second}; rename one, or give it name=")
