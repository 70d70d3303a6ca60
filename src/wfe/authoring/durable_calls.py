"""Calls of tasks and workflows from durable functions: arguments bound as Python would, options as the graph form has.

A durable function as a workflow is a definition with one node, which `define` makes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from wfe.authoring.retry import mistake
from wfe.authoring.types import SchemaSet
from wfe.errors import GraphError
from wfe.model.calling import Call, Caller
from wfe.model.definition import Definition, DurableCall, Schema
from wfe.model.durable import (
    CALL_START,
    CALL_TASK,
    CALL_WORKFLOW,
    NO_TIMEOUT,
    ChildBody,
    TaskBody,
)
from wfe.model.needs import needs_of
from wfe.model.policy import RetryPolicy
from wfe.model.registered import RegisteredTask, RegisteredWorkflow
from wfe.wire import payload
from wfe.wire.payload import Param

if TYPE_CHECKING:
    from wfe.authoring.calls import CallOptions, Signature

HTTP_TASK = "wfe.http"
HTTP_OPTIONS = frozenset(
    ("headers", "query", "auth", "retry_status", "accept", "response_bytes_max", "allow_private", "body", "json")
)
_RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
_encode = msgspec.msgpack.Encoder().encode
_Awaited = Coroutine[Any, Any, Any]
Bind = Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]
"""A function's own arguments by name."""


def call(caller: Caller, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Awaited:
    """``wf.call``: a task or a workflow, perhaps with options. The author's frame is that of the caller's caller."""
    target, options = getattr(target, "__wfe_configured__", (target, None))
    task = getattr(target, "__wfe_task__", None)
    if task is not None:
        calls: TaskCalls = target.recorded
        return calls(caller, args, kwargs, options, sys._getframe(2))
    workflow = getattr(target, "__wfe_workflow__", None)
    if workflow is not None:
        return call_workflow(caller, workflow, target.signature, args, kwargs, options)
    raise mistake(f"wf.call takes a task or a workflow and its arguments, not {target!r}")


class TaskCalls:
    """Recorded calls of one task: what is the same in each of them is made once."""

    def __init__(self, task: RegisteredTask, signature: Signature) -> None:
        self._task, self._params = task, signature.params
        self._names = tuple(param.name for param in signature.params)
        self._decode = payload.decoder_for(signature.returns)
        self._returns = signature.returns
        self._needs = needs_of(task.labels, task.resources) if task.labels or task.resources else None

    def __call__(
        self,
        caller: Caller,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions | None,
        origin: FrameType,
    ) -> _Awaited:
        task = self._task
        if len(args) == len(self._names) and not kwargs:
            named = dict(zip(self._names, args, strict=True))
        else:
            named = bound(task.name, self._params, args, kwargs)
        retry, timeout_ms, priority, needs = task.retry, task.timeout_ms, 0, self._needs
        if options is not None:
            _check_options(options)
            if options.labels is not None or options.resources is not None:
                labels = task.labels if options.labels is None else options.labels
                needs = needs_of(labels, task.resources if options.resources is None else options.resources)
            retry, timeout_ms = options.retry or retry, options.timeout_ms or timeout_ms
            priority = options.priority or 0

        def body() -> Raw:
            arguments = payload.encode_value(named)
            heartbeat_ms = task.heartbeat_ms or 0
            return Raw(_encode(TaskBody(arguments, retry, heartbeat_ms, task.redeliver, priority, needs)))

        limit_ms = timeout_ms or NO_TIMEOUT
        return caller.call(
            Call(CALL_TASK, task.name, body, self._decode, task.version, limit_ms, self._returns, origin=origin)
        )

    def plain(
        self,
        caller: Caller,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions | None,
        origin: FrameType,
    ) -> _Awaited:
        """``await charge(order)`` in a durable function: for async tasks, since only they have the type for it."""
        task = self._task
        if not task.is_async:
            raise mistake(
                f"{task.name}() is a sync task: in a durable function call it by `await wf.call({task.name}, ...)`, "
                "or make it an `async def`"
            )
        return self(caller, args, kwargs, options, origin)


def call_workflow(
    caller: Caller,
    workflow: RegisteredWorkflow,
    signature: Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions | None = None,
) -> _Awaited:
    """A sub-workflow, a graph or a durable function, awaited; it runs the version that is current then."""
    named = bound(workflow.name, signature.params, args, kwargs)
    if options is not None:
        _check_options(options)
    return caller.call(
        Call(
            CALL_WORKFLOW,
            workflow.name,
            lambda: Raw(_encode(ChildBody(payload.encode_value(named)))),
            payload.decoder_for(signature.returns),
            timeout_ms=(options.timeout_ms if options is not None else None) or NO_TIMEOUT,
            returns=signature.returns,
        )
    )


def start(
    caller: Caller, workflow: Any, args: tuple[Any, ...], kwargs: dict[str, Any], key: str | None
) -> Coroutine[Any, Any, str]:
    """``wf.start``: another run, not awaited."""
    registered = getattr(workflow, "__wfe_workflow__", None)
    if registered is None:
        raise mistake(f"wf.start takes a workflow (a function with @wfe.workflow), not {workflow!r}")
    named = bound(registered.name, workflow.signature.params, args, kwargs)
    return caller.call(
        Call(
            CALL_START,
            registered.name,
            lambda: Raw(_encode(ChildBody(payload.encode_value(named), key or ""))),
            payload.decoder_for(str),
            returns=str,
        )
    )


def http(
    caller: Caller, request: dict[str, Any], retry: RetryPolicy | None, timeout_ms: int, response: Any
) -> _Awaited:
    """The engine's own task that makes HTTP calls."""
    arguments = {"request": {"retry_status": _RETRY_STATUS, **request}}
    return caller.call(
        Call(
            CALL_TASK,
            HTTP_TASK,
            lambda: Raw(_encode(TaskBody(payload.encode_value(arguments), retry))),
            payload.decoder_for(response),
            version=1,
            returns=response,
        )
    )


def bound(name: str, params: Sequence[Param], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name; those left out take the function's own defaults. TypeError, as Python says it."""
    if len(args) > len(params):
        raise TypeError(f"{name}() takes {len(params)} arguments but {len(args)} were given")
    named = {param.name: value for param, value in zip(params, args, strict=False)}
    if kwargs:
        known = {param.name for param in params}
        for key, value in kwargs.items():
            if key not in known:
                raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
            if key in named:
                raise TypeError(f"{name}() got multiple values for argument {key!r}")
            named[key] = value
    if len(named) < len(params):
        missing = [param.name for param in params if param.required and param.name not in named]
        if missing:
            raise TypeError(f"{name}() missing {len(missing)} required arguments: {', '.join(missing)}")
    return named


def define(workflow: RegisteredWorkflow, signature: Signature) -> Definition:
    """The definition of a durable function: one node that is the function. GraphError when its types have no schema.

    Without an explicit version the server counts up when the signature differs, and workers go on to offer version 1.
    """
    place = f"the durable function {workflow.name!r}"
    schemas = SchemaSet()

    def schema_of(type_: Any, what: str) -> Schema | None:
        try:
            return None if type_ is Any else schemas.schema(type_)
        except (TypeError, NotImplementedError, NameError) as error:
            reason = f"{what} of {place} cannot be a payload ({error})"
            raise GraphError(reason, file=workflow.file, line=workflow.line) from error

    params: dict[str, Schema] = {}
    for param in signature.params:
        params[param.name] = schema_of(param.type, f"the parameter {param.name!r}") or {}
        if not param.required:
            params[param.name] = {**params[param.name], "default": payload.to_json_value(param.default)}
    node_id = workflow.name if workflow.name.isidentifier() and workflow.name.isascii() else "function"
    while node_id in params or node_id == "run":
        node_id += "_"
    returns = schema_of(signature.returns, "what is returned")
    node = DurableCall(
        id=node_id,
        function=workflow.name,
        version=workflow.version or 1,
        with_={name: f"${{{name}}}" for name in params},
        returns=returns,
    )
    return Definition(
        workflow=workflow.name,
        version=workflow.version,
        params=params,
        nodes=(node,),
        output=f"${{{node_id}}}",
        returns=returns,
        types=schemas.types,
        timeout_ms=workflow.timeout_ms,
        tags=dict(workflow.tags),
        triggers=workflow.triggers,
    )


def _check_options(options: CallOptions) -> None:
    if options.id is not None or options.after is not None or options.join is not None or options.cancels is not None:
        raise mistake(
            "with_options in a durable function takes no id=, after=, join= and cancels=: Python orders the calls"
        )
