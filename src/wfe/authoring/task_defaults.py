"""What a task node in YAML takes from the Python task it names, so that Python and YAML give the same definition.

Retry, timeout, heartbeat, redeliver, labels, resources, version and the type of the result come from the task where the
node does not set them; the arguments are checked against the function's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from wfe.authoring.types import SchemaSet
from wfe.authoring.yaml_tree import Mapping as MappingTree
from wfe.authoring.yaml_tree import Mark
from wfe.core.findings import did_you_mean
from wfe.model.definition import Schema
from wfe.model.registered import RegisteredTask
from wfe.wire.payload import Param, params_of, return_type_of


class Reporter(Protocol):
    """Where findings go."""

    def problem(self, mark: Mark, message: str, suggestion: str | None = None) -> None: ...

    def warning(self, mark: Mark, message: str, suggestion: str | None = None) -> None: ...


UNKNOWN_TASK = "no task of this app is called"
"""How that warning begins: it is told first, since others may follow from it."""


class TaskDefaults:
    """The tasks of an app, by name or by ``name@version``. One per definition: it gathers the types of results."""

    def __init__(self, tasks: Mapping[str, RegisteredTask]) -> None:
        self._tasks = tasks
        self._schemas = SchemaSet()

    def types(self, own: dict[str, Schema]) -> dict[str, Schema]:
        """The definition's own types and those of its tasks' results."""
        return {**self._schemas.types, **own}

    def complete(
        self, fields: dict[str, Any], tree: MappingTree, own_types: Mapping[str, Schema], report: Reporter
    ) -> dict[str, Any]:
        """The fields of a task node with the task's own settings under those that the node gives."""
        task = self._find(fields, tree, report)
        if task is None:
            return fields
        self._check_arguments(task, fields.get("with_", {}), tree, report)
        defaults: dict[str, Any] = {
            "task_version": task.version,
            "retry": task.retry,
            "timeout_ms": task.timeout_ms,
            "heartbeat_ms": task.heartbeat_ms,
            "redeliver": task.redeliver,
            "labels": task.labels,
            "resources": task.resources,
        }
        if "returns" not in fields:
            defaults["returns"] = self._returns(task, own_types)
        return {**defaults, **fields}

    def complete_handler(self, fields: dict[str, Any], tree: MappingTree, report: Reporter) -> dict[str, Any]:
        """The same for a ``compensate_with``, which has no heartbeat and no result that anybody sees."""
        task = self._find(fields, tree, report)
        if task is None:
            return fields
        self._check_arguments(task, fields.get("with_", {}), tree, report)
        defaults: dict[str, Any] = {
            "task_version": task.version,
            "retry": task.retry,
            "timeout_ms": task.timeout_ms,
            "labels": task.labels,
            "resources": task.resources,
        }
        return {**defaults, **fields}

    def _find(self, fields: dict[str, Any], tree: MappingTree, report: Reporter) -> RegisteredTask | None:
        name = fields["task"]
        version = fields.get("task_version")
        task = self._tasks.get(name if version is None else f"{name}@{version}") or self._tasks.get(name)
        if task is None and self._tasks:
            message = f"{UNKNOWN_TASK} {name!r}: a worker of another app must offer it"
            hint = did_you_mean(name, [known for known in self._tasks if "@" not in known])
            report.warning(_name_mark(tree), message, hint)
        return task if task is not None and version in (None, task.version) else None

    @staticmethod
    def _check_arguments(task: RegisteredTask, given: Mapping[str, Any], tree: MappingTree, report: Reporter) -> None:
        params = _params(task)
        if params is None:
            return
        names = [param.name for param in params]
        with_ = tree.entries.get("with")
        marks = with_.keys if isinstance(with_, MappingTree) else {}
        for name in given:
            if name not in names:
                hint = did_you_mean(name, names) or f"it has: {', '.join(names) or 'none'}"
                report.problem(marks.get(name, tree.mark), f"{task.name}() has no parameter {name!r}", hint)
        missing = [param.name for param in params if param.required and param.name not in given]
        if missing:
            mark = tree.keys.get("with", _name_mark(tree))
            plural = "s" if len(missing) > 1 else ""
            report.problem(mark, f"{task.name}() lacks the argument{plural} {', '.join(missing)}")

    def _returns(self, task: RegisteredTask, own_types: Mapping[str, Schema]) -> Schema | None:
        """The schema of the task's result; None when it has none, or when it would clash with a type of the text."""
        own = SchemaSet()
        try:
            returns = return_type_of(task.function)
            schema = None if returns is Any else own.schema(returns)
        except (TypeError, NameError, NotImplementedError):
            return None
        known = {**self._schemas.types, **own_types}
        if any(known.get(name, described) != described for name, described in own.types.items()):
            return None
        self._schemas.types.update(own.types)
        return schema


def _name_mark(tree: MappingTree) -> Mark:
    """Where a node names its task."""
    return next(tree.entries[name].mark for name in ("task", "compensate_with") if name in tree.entries)


def _params(task: RegisteredTask) -> tuple[Param, ...] | None:
    try:
        return params_of(task.function)
    except (TypeError, NameError):
        return None
