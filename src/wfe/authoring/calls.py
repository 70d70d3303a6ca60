"""A call inside a drawing: a task or sub-workflow becomes a node, its arguments bound and checked like Python's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wfe.authoring.argument_types import check_argument
from wfe.authoring.canvas import Canvas
from wfe.authoring.places import Place
from wfe.authoring.refs import RefProxy
from wfe.authoring.templates import template
from wfe.authoring.wiring import ids_of_nodes
from wfe.errors import GraphError
from wfe.model import definition as model
from wfe.model.needs import Amount
from wfe.model.net import Join
from wfe.model.policy import RetryPolicy
from wfe.model.registered import RegisteredTask, RegisteredWorkflow
from wfe.wire.payload import Param, params_of, return_type_of


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What ``with_options`` sets for one node; None: not given."""

    id: str | None = None
    after: tuple[Any, ...] | None = None
    join: Join | None = None
    cancels: tuple[Any, ...] | None = None
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    priority: int | None = None
    labels: tuple[str, ...] | None = None
    resources: dict[str, Amount] | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters and the result of a task or workflow, resolved."""

    params: tuple[Param, ...]
    returns: Any


def signature_of(function: Callable[..., Any], *, skip: int, what: str, place: Place) -> Signature:
    """Resolves the annotations. GraphError when one names what is not there at run time."""
    try:
        return Signature(params_of(function, skip=skip), return_type_of(function))
    except NameError as error:
        raise GraphError(
            f"{what}: an annotation cannot be resolved ({error}); import the type outside of `if TYPE_CHECKING:`",
            file=place.file,
            line=place.line,
        ) from error
    except TypeError as error:
        raise GraphError(f"{what}: {error}", file=place.file, line=place.line) from error


def call_task(
    canvas: Canvas,
    task: RegisteredTask,
    signature: Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
) -> RefProxy:
    """Draws a task node."""
    with_ = arguments(canvas, task.name, signature.params, args, kwargs)
    after = ids_of_nodes(canvas, options.after, "after=")
    cancels = ids_of_nodes(canvas, options.cancels, "cancels=") or ()
    node_id = canvas.node_id(task.name, options.id)
    canvas.add(
        model.Task(
            id=node_id,
            after=after,
            join=options.join,
            cancels=cancels,
            task=task.name,
            task_version=task.version,
            with_=with_,
            retry=options.retry or task.retry,
            timeout_ms=options.timeout_ms or task.timeout_ms,
            heartbeat_ms=task.heartbeat_ms,
            redeliver=task.redeliver,
            priority=options.priority or 0,
            returns=canvas.schema_of(signature.returns, f"what {task.name}() returns"),
            labels=task.labels if options.labels is None else options.labels,
            resources=task.resources if options.resources is None else options.resources,
        )
    )
    return canvas.value_of(node_id, signature.returns)


def call_workflow(
    canvas: Canvas,
    workflow: RegisteredWorkflow,
    signature: Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
) -> RefProxy:
    """Draws a sub-workflow that is awaited; it runs the version that is current then."""
    with_ = arguments(canvas, workflow.name, signature.params, args, kwargs)
    after = ids_of_nodes(canvas, options.after, "after=")
    cancels = ids_of_nodes(canvas, options.cancels, "cancels=") or ()
    node_id = canvas.node_id(workflow.name, options.id)
    canvas.add(
        model.SubWorkflow(
            id=node_id,
            after=after,
            join=options.join,
            cancels=cancels,
            workflow=workflow.name,
            with_=with_,
            timeout_ms=options.timeout_ms,
            returns=canvas.schema_of(signature.returns, f"what {workflow.name}() returns"),
        )
    )
    return canvas.value_of(node_id, signature.returns)


def arguments(
    canvas: Canvas, name: str, params: Sequence[Param], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The call's arguments by name, as templates. Those left out take the function's own defaults when it runs."""
    known = {param.name: param for param in params}
    if len(args) > len(params):
        raise canvas.fail(f"{name}() takes {len(params)} argument{'s' * (len(params) != 1)}, {len(args)} were given")
    bound = {param.name: value for param, value in zip(params, args, strict=False)}
    for key, value in kwargs.items():
        if key not in known:
            raise canvas.fail(f"{name}() has no parameter {key!r} (it has: {', '.join(known) or 'none'})")
        if key in bound:
            raise canvas.fail(f"{name}() got {key!r} twice, by position and by name")
        bound[key] = value
    missing = [param.name for param in params if param.required and param.name not in bound]
    if missing:
        raise canvas.fail(f"{name}() lacks the argument{'s' * (len(missing) > 1)} {', '.join(missing)}")
    for key, value in bound.items():
        check_argument(canvas, f"{name}({key}=...)", value, known[key].type)
    return {param.name: template(canvas, bound[param.name]) for param in params if param.name in bound}
