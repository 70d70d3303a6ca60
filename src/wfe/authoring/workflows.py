"""`@workflow`: a function that draws a graph, or a durable function, by its first parameter.

A graph is drawn at most once per process, at first need, never replayed; a durable function is run by workers.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from functools import update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, NoReturn, ParamSpec, Protocol, TypeVar, cast, overload

from wfe.authoring.current import current_canvas
from wfe.authoring.places import Place
from wfe.authoring.retry import Duration, Retry, mistake, optional_ms
from wfe.authoring.tasks import refuse_later
from wfe.authoring.triggers import triggers_of
from wfe.errors import GraphError
from wfe.limits import TAGS_MAX
from wfe.model.calling import CALLER, Caller
from wfe.model.durable import TASK_PREFIX
from wfe.model.registered import RegisteredTask, RegisteredWorkflow

if TYPE_CHECKING:
    from wfe.authoring.calls import CallOptions, Signature
    from wfe.authoring.durable import Durable
    from wfe.authoring.graph import Graph
    from wfe.authoring.wiring import JoinWords
    from wfe.model.definition import Definition

P = ParamSpec("P")
R = TypeVar("R")


class WorkflowFunction(Generic[P, R]):
    """A workflow: called inside another one it is a sub-workflow; elsewhere it is started by a client."""

    __wfe_call__ = True
    __name__: str
    __qualname__: str

    def __init__(self, registered: RegisteredWorkflow) -> None:
        self.__wfe_workflow__ = registered
        self._signature: Signature | None = None
        self._definition: Definition | None = None
        self.places: dict[str, Place] = {}
        """Where its nodes are drawn, by id, once it is."""
        self._lock = threading.RLock()
        update_wrapper(cast(Any, self), registered.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        from wfe.authoring.calls import CallOptions

        return cast(R, self._called(args, kwargs, CallOptions()))

    def __wfe_types__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Never called: what a run takes and gives, to type checkers (`client.typed`)."""
        raise NotImplementedError

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions) -> Any:
        """A node in a drawing, a recorded call in a durable function; elsewhere a mistake."""
        canvas = current_canvas()
        if canvas is not None:
            from wfe.authoring.calls import call_workflow

            return call_workflow(canvas, self.__wfe_workflow__, self.signature, args, kwargs, options)
        caller = CALLER.get()
        if caller is not None:
            from wfe.authoring import durable_calls

            return durable_calls.call_workflow(caller, self.__wfe_workflow__, self.signature, args, kwargs, options)
        self._outside()

    def _outside(self) -> NoReturn:
        name = self.__wfe_workflow__.name
        raise mistake(
            f"the workflow {name!r} was called outside of a workflow: start a run with client.start({name}, ...), "
            f"or run it on the spot with wfe.run({name}, ...)"
        )

    @property
    def signature(self) -> Signature:
        """Parameters (without the graph) and result, resolved at first use."""
        if self._signature is None:
            from wfe.authoring.calls import signature_of

            workflow = self.__wfe_workflow__
            place, what = Place(workflow.file, workflow.line), f"the workflow {workflow.name!r}"
            self._signature = signature_of(workflow.function, skip=1, what=what, place=place)
        return self._signature

    def definition(self) -> Definition:
        """The workflow as data, drawn at the first call. GraphError (file, line, what to use) when it cannot be."""
        if self._definition is None:
            with self._lock:
                if self._definition is None:
                    self._definition = self._make_definition()
        return self._definition

    def _make_definition(self) -> Definition:
        from wfe.authoring.tracing import draw

        return draw(self.__wfe_workflow__, self.signature, self.places)

    def with_options(
        self,
        *,
        id: str | None = None,
        after: object = None,
        join: JoinWords | None = None,
        cancels: object = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        priority: int | None = None,
        limits: Iterable[str] = (),
    ) -> Callable[P, R]:
        """The sub-workflow with options for one node."""
        from wfe.authoring.calls import CallOptions
        from wfe.authoring.wiring import join_option, several

        refuse_later(limits=tuple(limits))
        if retry is not None or priority is not None:
            raise mistake("retry= and priority= go on tasks: a sub-workflow's own tasks have theirs")
        options = CallOptions(
            id=id,
            after=several(after),
            join=join_option(join),
            cancels=several(cancels),
            timeout_ms=optional_ms(timeout, "with_options(timeout=...)"),
        )

        def configured(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast(R, self._called(args, kwargs, options))

        configured.__wfe_call__ = True  # type: ignore[attr-defined]
        configured.__wfe_configured__ = (self, options)  # type: ignore[attr-defined]
        return configured

    def __reduce__(self) -> str:
        return self.__wfe_workflow__.function.__qualname__

    def __repr__(self) -> str:
        return f"<workflow {self.__wfe_workflow__.name} of {self.__wfe_workflow__.function.__module__}>"


class DurableFunction(WorkflowFunction[P, R]):
    """A workflow that is a durable function. ``offered``: the task that workers offer it as."""

    def __init__(self, registered: RegisteredWorkflow) -> None:
        super().__init__(replace(registered, face=self._face))
        workflow = self.__wfe_workflow__
        function = workflow.function
        self.offered = RegisteredTask(
            name=TASK_PREFIX + workflow.name,
            version=workflow.version or 1,
            function=function,
            is_async=True,
            module=function.__module__,
            qualname=function.__qualname__,
            file=workflow.file,
            line=workflow.line,
            workflow=workflow,
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        return cast("Coroutine[Any, Any, R]", super().__call__(*args, **kwargs))

    def _face(self, caller: Caller) -> Any:
        from wfe.authoring.durable import Durable
        from wfe.authoring.durable_calls import bound

        name, params = self.__wfe_workflow__.name, self.signature.params
        return Durable(caller, lambda args, kwargs: bound(name, params, args, kwargs))

    def _make_definition(self) -> Definition:
        from wfe.authoring.durable_calls import define

        return define(self.__wfe_workflow__, self.signature)


@overload
def workflow(function: Callable[Concatenate[Durable, P], Coroutine[Any, Any, R]], /) -> DurableFunction[P, R]: ...
@overload
def workflow(function: Callable[Concatenate[Graph, P], Coroutine[Any, Any, R]], /) -> WorkflowFunction[P, R]: ...
@overload
def workflow(function: Callable[Concatenate[Graph, P], R], /) -> WorkflowFunction[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: int | None = None,
    timeout: Duration | None = None,
    on: object = (),
    tags: Mapping[str, Any] | None = None,
    limits: Iterable[str] = (),
) -> WorkflowDecorator: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: int | None = None,
    timeout: Duration | None = None,
    on: object = (),
    tags: Mapping[str, Any] | None = None,
    limits: Iterable[str] = (),
) -> Any:
    """Makes a workflow of a function whose first parameter is a Graph, or a Durable (an ``async def``).

    ``version=None``: the server counts up (a durable function: when its signature differs).
    ``tags``: values to search runs by: text, or templates over the parameters such as ``"${order.region}"``.
    ``on``: what else starts it: `Webhook`, "manual", "api", or several of them.
    """
    timeout_ms = optional_ms(timeout, "@wfe.workflow(timeout=...)")
    refuse_later(limits=tuple(limits))
    triggers = triggers_of(on)
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise mistake(f"@wfe.workflow(version={version!r}): a number of at least 1, or None")
    if name is not None and (not isinstance(name, str) or not name):
        raise mistake(f"@wfe.workflow(name={name!r}): a name is text")
    if tags is not None and (not isinstance(tags, Mapping) or len(tags) > TAGS_MAX):
        raise mistake(f"@wfe.workflow(tags=...): a dict of at most {TAGS_MAX} names and values")

    def decorate(function: Callable[..., Any]) -> WorkflowFunction[Any, Any]:
        place, durable = check_workflow_function(function)
        registered = RegisteredWorkflow(
            name=name or function.__name__,
            version=version,
            function=function,
            kind="durable" if durable else "graph",
            file=place.file,
            line=place.line,
            timeout_ms=timeout_ms,
            tags=dict(tags or {}),
            triggers=triggers,
        )
        return DurableFunction(registered) if durable else WorkflowFunction(registered)

    return decorate if function is None else decorate(function)


class WorkflowDecorator(Protocol):
    """What ``@wfe.workflow(...)`` with options gives: it takes the function."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Durable, P], Coroutine[Any, Any, R]], /
    ) -> DurableFunction[P, R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Graph, P], Coroutine[Any, Any, R]], /
    ) -> WorkflowFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Graph, P], R], /) -> WorkflowFunction[P, R]: ...


def check_workflow_function(function: Any) -> tuple[Place, bool]:
    """Where the function is, and whether it is a durable one; GraphError for what cannot be a workflow."""
    if not isinstance(function, FunctionType):
        raise mistake(f"@wfe.workflow goes on a plain `def` or `async def`, directly, not on {function!r}")
    place = Place(function.__code__.co_filename, function.__code__.co_firstlineno)

    def wrong(message: str) -> GraphError:
        return GraphError(f"@wfe.workflow on {function.__qualname__}: {message}", file=place.file, line=place.line)

    if function.__name__ == "<lambda>":
        raise wrong("a workflow has a name: write a `def`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise wrong("a generator cannot draw a workflow: `return` its result")
    params = list(inspect.signature(function).parameters.values())
    if not params:
        name = function.__name__
        raise wrong(
            f"the first parameter is the graph: def {name}(wf: wfe.Graph), or async def {name}(wf: wfe.Durable)"
        )
    first = params[0].annotation
    written = first if isinstance(first, str) else getattr(first, "__name__", "")
    durable = written.rpartition(".")[2] == "Durable"
    if durable and not inspect.iscoroutinefunction(function):
        raise wrong("a durable function (wf: wfe.Durable) is an `async def`: it awaits its calls; write async in front")
    if not durable and first is not inspect.Parameter.empty and written.rpartition(".")[2] != "Graph":
        raise wrong(f"the first parameter is the graph, but {params[0].name!r} is annotated {written or first!r}")
    for param in params[1:]:
        if param.kind in (param.VAR_POSITIONAL, param.VAR_KEYWORD):
            raise wrong(f"{param.name!r} collects arguments, but a run's input has fixed names: use a list or dict")
        if param.kind is param.POSITIONAL_ONLY:
            raise wrong(f"inputs go by name, so {param.name!r} cannot be positional-only: remove the `/`")
    return place, durable
