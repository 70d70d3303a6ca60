"""`@task`: a function becomes a task. Where it is called decides what a call means: in a drawing a node, in a durable
function a recorded call, elsewhere the plain function.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from wfe.authoring.current import current_canvas
from wfe.authoring.places import Place
from wfe.authoring.retry import Duration, Retry, mistake, optional_ms, policy_of
from wfe.errors import GraphError
from wfe.model.calling import CALLER
from wfe.model.needs import Amount, check_needs
from wfe.model.registered import RegisteredTask, RunIn

if TYPE_CHECKING:
    from wfe.authoring.calls import CallOptions, Signature
    from wfe.authoring.durable_calls import TaskCalls
    from wfe.authoring.wiring import JoinWords

P = ParamSpec("P")
R = TypeVar("R")


class TaskFunction(Generic[P, R]):
    """A task: called as its function is. ``__wfe_task__`` is what workers and readers of definitions see."""

    __wfe_call__ = True
    __name__: str
    __qualname__: str

    def __init__(self, registered: RegisteredTask) -> None:
        self.__wfe_task__ = registered
        self._signature: Signature | None = None
        self._recorded: TaskCalls | None = None
        update_wrapper(cast(Any, self), registered.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        canvas = current_canvas()
        if canvas is None:
            return cast(R, self._called(args, kwargs, None))
        from wfe.authoring.calls import CallOptions, call_task

        return cast(R, call_task(canvas, self.__wfe_task__, self.signature, args, kwargs, CallOptions()))

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions | None) -> Any:
        """Outside of a drawing: a recorded call in a durable function, elsewhere the plain function. The author's frame
        is that of the caller's caller."""
        caller = CALLER.get()
        if caller is None:
            return self.__wfe_task__.function(*args, **kwargs)
        return (self._recorded or self.recorded).plain(caller, args, kwargs, options, sys._getframe(2))

    @property
    def recorded(self) -> TaskCalls:
        """Its calls in durable functions."""
        if self._recorded is None:
            from wfe.authoring.durable_calls import TaskCalls

            self._recorded = TaskCalls(self.__wfe_task__, self.signature)
        return self._recorded

    @property
    def signature(self) -> Signature:
        """Parameters and result, resolved at first use."""
        if self._signature is None:
            from wfe.authoring.calls import signature_of

            task = self.__wfe_task__
            place = Place(task.file, task.line)
            self._signature = signature_of(task.function, skip=0, what=f"the task {task.name!r}", place=place)
        return self._signature

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
        labels: Iterable[str] | None = None,
        resources: Mapping[str, Amount | str] | None = None,
    ) -> Callable[P, R]:
        """The task with options for one node; ``after=[...]`` (values of nodes, or ids) replaces the order of lines.

        ``join``: how many of those it waits for: "all", "any", a number, ... ``cancels=[...]`` (values of nodes, or
        ids, or "run"): what is withdrawn when it ends. ``labels``, ``resources``: instead of the task's own.
        """
        from wfe.authoring.calls import CallOptions, call_task
        from wfe.authoring.wiring import join_option, several

        refuse_later(limits=tuple(limits))
        options = CallOptions(
            id=id,
            after=several(after),
            join=join_option(join),
            cancels=several(cancels),
            retry=policy_of(retry, "with_options(retry=...)"),
            timeout_ms=optional_ms(timeout, "with_options(timeout=...)"),
            priority=_priority(priority),
            labels=None if labels is None else _needs(labels, None, "with_options")[0],
            resources=None if resources is None else _needs((), resources, "with_options")[1],
        )

        def configured(*args: P.args, **kwargs: P.kwargs) -> R:
            canvas = current_canvas()
            if canvas is None:
                return cast(R, self._called(args, kwargs, options))
            return cast(R, call_task(canvas, self.__wfe_task__, self.signature, args, kwargs, options))

        configured.__wfe_call__ = True  # type: ignore[attr-defined]
        configured.__wfe_configured__ = (self, options)  # type: ignore[attr-defined]
        return configured

    def __get__(self, instance: object, owner: type | None = None) -> TaskFunction[P, R]:
        return self  # a task kept on a class is itself, never a method

    def __reduce__(self) -> str:
        return self.__wfe_task__.qualname

    def __repr__(self) -> str:
        return f"<task {self.__wfe_task__.name} of {self.__wfe_task__.module}>"


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    version: int = 1,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
    run_in: RunIn = "thread",
    redeliver: bool = True,
    limits: Iterable[str] = (),
    labels: Iterable[str] = (),
    resources: Mapping[str, Amount | str] | None = None,
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
    run_in: RunIn = "thread",
    redeliver: bool = True,
    limits: Iterable[str] = (),
    labels: Iterable[str] = (),
    resources: Mapping[str, Amount | str] | None = None,
) -> Any:
    """Makes a task of a module-level ``def`` or ``async def``. ``retry=None``: one attempt. Bare or with options.

    Only a worker that has these ``labels`` (``["gpu"]``), and that much of its ``resources`` to spare
    (``{"gpu": 1, "memory": "2GB"}``), is given it: see ``wfe worker --label`` and ``--resource``.
    """
    policy = policy_of(retry, "@wfe.task(retry=...)")
    timeout_ms = optional_ms(timeout, "@wfe.task(timeout=...)")
    heartbeat_ms = optional_ms(heartbeat, "@wfe.task(heartbeat=...)")
    refuse_later(limits=tuple(limits))
    named, amounts = _needs(labels, resources, "@wfe.task")
    if run_in not in ("thread", "process"):
        raise mistake(f"@wfe.task(run_in={run_in!r}): 'thread' or 'process'")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise mistake(f"@wfe.task(version={version!r}): a number of at least 1")
    if name is not None and (not isinstance(name, str) or not name):
        raise mistake(f"@wfe.task(name={name!r}): a name is text")

    def decorate(function: Callable[..., Any]) -> TaskFunction[Any, Any]:
        place = check_task_function(function)
        return TaskFunction(
            RegisteredTask(
                name=name or function.__name__,
                version=version,
                function=function,
                is_async=inspect.iscoroutinefunction(function),
                module=function.__module__,
                qualname=function.__qualname__,
                file=place.file,
                line=place.line,
                retry=policy,
                timeout_ms=timeout_ms,
                heartbeat_ms=heartbeat_ms,
                run_in=run_in,
                redeliver=redeliver,
                labels=named,
                resources=amounts,
            )
        )

    return decorate if function is None else decorate(function)


def check_task_function(function: Any) -> Place:
    """Where the function is; GraphError for what cannot be a task."""
    if not isinstance(function, FunctionType):
        raise mistake(f"@wfe.task goes on a plain `def` or `async def` at module level, directly, not on {function!r}")
    place = Place(function.__code__.co_filename, function.__code__.co_firstlineno)
    name = function.__qualname__

    def wrong(message: str) -> GraphError:
        return GraphError(f"@wfe.task on {name}: {message}", file=place.file, line=place.line)

    if function.__name__ == "<lambda>":
        raise wrong("a task has a name: write a `def` at module level")
    if "<locals>" in name:
        raise wrong("a function inside a function cannot be found by workers: move it to module level")
    if "." in name:
        raise wrong("a method cannot be a task: make it a function at module level, and its object a @wfe.resource")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise wrong("a generator cannot be a task: return a list")
    for param in inspect.signature(function).parameters.values():
        if param.kind in (param.VAR_POSITIONAL, param.VAR_KEYWORD):
            stars = "*" if param.kind is param.VAR_POSITIONAL else "**"
            raise wrong(f"{stars}{param.name} has no place in an input by name: use a list or dict parameter")
        if param.kind is param.POSITIONAL_ONLY:
            raise wrong(f"inputs go by name, so {param.name!r} cannot be positional-only: remove the `/`")
    return place


def refuse_later(**options: object) -> None:
    """Options that a later version brings."""
    for name, value in options.items():
        if value is not None and value != ():
            raise mistake(f"{name}= comes in a later version of wfe; leave it out")


def _needs(labels: object, resources: object, where: str) -> tuple[tuple[str, ...], dict[str, Amount]]:
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise mistake(f'{where}(labels={labels!r}): a list of labels, as in labels=["gpu"]')
    if resources is not None and not isinstance(resources, Mapping):
        raise mistake(f'{where}(resources={resources!r}): amounts by name, as in resources={{"gpu": 1}}')
    try:
        return check_needs(labels, resources or {})
    except ValueError as error:
        raise mistake(f"{where}: {error}") from error


def _priority(priority: int | None) -> int | None:
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int)):
        raise mistake(f"with_options(priority={priority!r}): a number, higher goes first")
    return priority
