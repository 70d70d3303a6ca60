"""Everything that is to be said about an app's workflows at once: mistakes and warnings, each with its place.

Nothing is raised for what authors do wrong; what keeps the app from being imported at all is (AppError).
"""

from __future__ import annotations

from collections.abc import Iterator

from wfe.authoring.apps import App
from wfe.authoring.workflows import WorkflowFunction
from wfe.authoring.yaml_reader import PlacedFinding
from wfe.core.validate import validate
from wfe.errors import GraphError


def findings_of(app: App) -> list[PlacedFinding]:
    """By file and line; ``column`` 0: not known."""
    found = [finding for workflow in app.workflows.values() for finding in _of_function(workflow)]
    for file, text in app.texts.items():
        found += app.read_text(file, text).findings
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.column))


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
