"""Tasks that a worker offers beside its app's: the engine's own, and those of node types from plugins.

A plugin contributes a node type by an entry point in the group ``wfe.nodes``: its name is the type, and what it names
is a function decorated with ``@wfe.task``. Entry points are scanned once per process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points

from wfe.errors import AppError
from wfe.model.durable import TASK_PREFIX
from wfe.model.registered import RegisteredTask
from wfe.worker.http import HTTP_TASK

GROUP = "wfe.nodes"
Tasks = Mapping[tuple[str, int], RegisteredTask]


def with_builtin(tasks: Tasks) -> dict[tuple[str, int], RegisteredTask]:
    """An app's tasks, and those that every worker has. The app's own come first: it may replace a plugin's."""
    offered = {(HTTP_TASK.name, HTTP_TASK.version): HTTP_TASK}
    offered.update({(task.name, task.version): task for task in plugin_tasks()})
    offered.update(tasks)
    return offered


def only_these(tasks: Tasks, names: Sequence[str]) -> dict[tuple[str, int], RegisteredTask]:
    """Of the tasks those with these names (``charge``, ``charge@2``, or a durable function's); no names: all.

    AppError for a name that there is not.
    """
    if not names:
        return dict(tasks)
    found: dict[tuple[str, int], RegisteredTask] = {}
    for name in names:
        bare, _, version = name.partition("@")
        meant = {
            kind: task
            for kind, task in tasks.items()
            if kind[0] in (bare, TASK_PREFIX + bare) and version in ("", str(kind[1]))
        }
        if not meant:
            offered = sorted({kind[0].removeprefix(TASK_PREFIX) for kind in tasks})
            raise AppError(f"--only {name}: the app has no such task; it has {', '.join(offered)}")
        found |= meant
    return found


@lru_cache(maxsize=1)
def plugin_tasks() -> tuple[RegisteredTask, ...]:
    """The tasks of node types that installed plugins contribute. AppError when one cannot be imported, or is none."""
    found = []
    for point in entry_points(group=GROUP):
        try:
            made = point.load()
        except Exception as error:
            where = f"the plugin {point.value!r} for the node type {point.name!r}"
            raise AppError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
        registered = getattr(made, "__wfe_task__", None)
        if not isinstance(registered, RegisteredTask):
            raise AppError(f"the node type {point.name!r} names {point.value!r}, which is no function with @wfe.task")
        found.append(replace(registered, name=point.name))
    return tuple(found)
