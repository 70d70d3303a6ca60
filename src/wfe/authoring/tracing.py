"""Drawing a workflow: its function is called once, with a Graph and Refs, and what it drew is the definition.

`places.caller` looks for this file to know where the author's frames end.
"""

from __future__ import annotations

import traceback
from typing import Any

from wfe.authoring import operators, refusals
from wfe.authoring.argument_types import check_argument
from wfe.authoring.bodies import call
from wfe.authoring.calls import Signature
from wfe.authoring.canvas import Canvas
from wfe.authoring.current import current_canvas
from wfe.authoring.graph import Graph
from wfe.authoring.places import Place, is_author_file
from wfe.authoring.refs import RefProxy, RefState
from wfe.authoring.source_checks import check_source
from wfe.authoring.templates import constant, template
from wfe.core.expressions import nodes
from wfe.core.validate import validate
from wfe.errors import GraphError
from wfe.model.definition import Definition, Schema
from wfe.model.registered import RegisteredWorkflow

__all__ = ["draw", "operators", "refusals"]


def draw(workflow: RegisteredWorkflow, signature: Signature, places: dict[str, Place]) -> Definition:
    """Draws a workflow. GraphError (file, line, the construct to use) for the first mistake.

    ``places`` is filled with the lines of the nodes.
    """
    active = current_canvas()
    if active is not None:
        raise active.fail(f"{workflow.name!r} cannot be drawn inside the drawing of {active.workflow!r}: just call it")
    check_source(workflow.function)
    place = Place(workflow.file, workflow.line)
    canvas = Canvas(workflow.name, [param.name for param in signature.params], place)
    try:
        params = _params(canvas, signature)
        refs = [RefProxy(RefState(canvas, nodes.Name(param.name), param.type)) for param in signature.params]
        returned = _run(canvas, workflow, refs)
        canvas.check_ended(returned)
        output = template(canvas, returned)
        definition = Definition(
            workflow=workflow.name,
            version=workflow.version,
            params=params,
            nodes=canvas.tree(),
            output=output,
            returns=canvas.schema_of(signature.returns, f"what {workflow.name}() returns"),
            types=canvas.schemas.types,
            timeout_ms=workflow.timeout_ms,
            tags=dict(workflow.tags),
            triggers=workflow.triggers,
            locks={name: holders for name, holders in canvas.locks.items() if holders is not None},
        )
    finally:
        canvas.close()
    _validate(canvas, definition)
    places.update(canvas.places)
    return definition


def _params(canvas: Canvas, signature: Signature) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    for param in signature.params:
        schema = canvas.schema_of(param.type, f"the parameter {param.name!r}") or {}
        if not param.required:
            check_argument(canvas, f"the default of {param.name!r}", param.default, param.type)
            schema = {**schema, "default": constant(canvas, param.default)}
        schemas[param.name] = schema
    return schemas


def _run(canvas: Canvas, workflow: RegisteredWorkflow, refs: list[RefProxy]) -> Any:
    """Calls the function; its first mistake counts, even one that the author's code caught."""
    try:
        returned = call(canvas, workflow.function, Graph(canvas), *refs)
    except GraphError as error:
        raise canvas.first_error or error from error.__cause__
    except Exception as error:
        if canvas.first_error is not None:
            raise canvas.first_error from error
        raise canvas.fail(_explain(error), _raised_at(error) or canvas.place) from error
    if canvas.first_error is not None:
        raise canvas.first_error
    return returned


def _explain(error: Exception) -> str:
    what = f"{type(error).__name__} while the workflow was drawn: {error}"
    if type(error).__module__.startswith("pydantic"):
        return f"{what}\n(a pydantic model checks its fields at once: with Refs, use wf.make(Model, field=...))"
    if isinstance(error, RuntimeError) and "event loop" in str(error):
        return f"{what} (nothing real can be awaited in a workflow: use wf.sleep, wf.wait_signal, or a task)"
    return f"{what} (the function is called once, with stand-ins for the values: what needs values goes into a task)"


def _raised_at(error: Exception) -> Place | None:
    """The innermost line of the author's code in the traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_author_file(f.filename)]
    return Place(frames[-1].filename, frames[-1].lineno or 0) if frames else None


def _validate(canvas: Canvas, definition: Definition) -> None:
    """What holds for every definition holds for a drawn one: all findings, each at the line of its node."""
    errors: list[GraphError] = []
    for finding in validate(definition):
        if finding.severity == "error":
            place = canvas.places.get(finding.node or "", canvas.place)
            hint = f"; {finding.suggestion}" if finding.suggestion else ""
            errors.append(GraphError(f"{finding.message}{hint} ({finding.where})", file=place.file, line=place.line))
    if errors:
        errors[0].more = tuple(errors[1:])
        raise errors[0]
