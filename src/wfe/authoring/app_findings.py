"""Everything that is to be said about an app's workflows at once: mistakes and warnings, each with its place.

Nothing is raised for what authors do wrong; what keeps the app from being imported at all is (AppError).
"""

from __future__ import annotations

from collections.abc import Iterator

from wfe.authoring.apps import App
from wfe.authoring.task_defaults import UNKNOWN_TASK
from wfe.authoring.workflows import WorkflowFunction
from wfe.authoring.yaml_reader import PlacedFinding
from wfe.core.validate import validate
from wfe.errors import GraphError
from wfe.model.definition import walk
from wfe.model.nodes import Task


def findings_of(app: App) -> list[PlacedFinding]:
    """Unknown tasks first, then by file and line; ``column`` 0: not known."""
    found = [finding for workflow in app.workflows.values() for finding in _of_function(workflow)]
    for file, text in app.texts.items():
        found += app.read_text(file, text).findings
    return sorted(found, key=_place)


def tasks_are_unknown(app: App) -> bool:
    """Whether workflows use tasks and the app has none at all, so that nothing can be said about them."""
    read = (definition for file, text in app.texts.items() for definition in app.read_text(file, text).definitions)
    return not app.tasks and any(isinstance(node, Task) for each in read for node in walk(each.nodes))


def _place(finding: PlacedFinding) -> tuple[bool, str, int, int]:
    return not finding.message.startswith(UNKNOWN_TASK), finding.file, finding.line, finding.column


def _of_function(workflow: WorkflowFunction[..., object]) -> Iterator[PlacedFinding]:
    registered = workflow.__wfe_workflow__
    try:
        definition = workflow.definition()
    except GraphError as error:
        for each in (error, *error.more):
            file, line = each.file or registered.file, each.line or registered.line
            yield PlacedFinding(file, line, 0, each.message, workflow=registered.name)
        return
    for finding in validate(definition):  # warnings: errors were raised
        place = workflow.places.get(finding.node or "")
        file, line = (place.file, place.line) if place is not None else (registered.file, registered.line)
        yield PlacedFinding(
            file,
            line,
            0,
            finding.message,
            finding.suggestion,
            finding.severity,
            registered.name,
            finding.node,
            finding.where,
        )
