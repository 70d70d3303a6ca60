"""`Graph`: what a workflow's function draws on. Every method adds nodes to the canvas, or gives an expression.

To a checker the methods have the types of the values that a run will see; while drawing they give Refs. Block methods
take an optional ``id`` for the node, as tasks do by ``with_options``; else ids are made from the names of things.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Optional, TypeVar, cast, overload

from wfe.authoring import blocks, fields
from wfe.authoring.bodies import Leaving, draw_map
from wfe.authoring.calls import arguments
from wfe.authoring.canvas import Canvas
from wfe.authoring.control import Control
from wfe.authoring.current import current_canvas
from wfe.authoring.open_blocks import PendingWhen
from wfe.authoring.refs import state_of
from wfe.authoring.results import UNSET_ARGUMENT, ErrorInfo, MapResult
from wfe.authoring.retry import Duration, duration_ms, error_names
from wfe.authoring.services import Services
from wfe.authoring.templates import key_template, template, time_text
from wfe.core.findings import did_you_mean
from wfe.model import definition as model

T = TypeVar("T")
R = TypeVar("R")
D = TypeVar("D")


class Graph(Control, Services):
    """Handed to the workflow's function as its first parameter, ``wf``."""

    __slots__ = ("_canvas",)

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas

    def _active(self) -> Canvas:
        canvas = current_canvas()
        if canvas is self._canvas:
            return canvas
        message = f"this wf belongs to the drawing of {self._canvas.workflow!r}, which is not the one that is going on"
        raise (canvas or self._canvas).fail(message)

    if not TYPE_CHECKING:  # a checker shall know exactly the methods below

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            hint = did_you_mean(name, [known for known in dir(type(self)) if not known.startswith("_")])
            raise self._active().fail(f"wf has no method {name!r}" + (f"; {hint}" if hint else ""))

    # ---- choices and groups ----------------------------------------------------------------------------------------

    def when(self, condition: bool, *, id: str | None = None) -> blocks.BlockContext[None]:
        """``with wf.when(order.total > 1000):`` draws what runs if the condition holds."""
        canvas = self._active()
        return blocks.when_block(canvas, self._condition(condition, "wf.when(...)"), id)

    def otherwise(self, condition: bool = True) -> blocks.BlockContext[None]:
        """``with wf.otherwise():`` right below a when block: else; with a condition: elif."""
        canvas = self._active()
        canvas.check_entered()
        choice = canvas.block.nodes[-1] if canvas.block.nodes else None
        if not isinstance(choice, PendingWhen):
            raise canvas.fail("wf.otherwise must follow a wf.when block directly, in the same block")
        if choice.closed:
            raise canvas.fail("this wf.otherwise can never be reached: the one above it has no condition")
        if condition is True:
            return blocks.otherwise_block(canvas, choice, None)
        return blocks.otherwise_block(canvas, choice, self._condition(condition, "wf.otherwise(...)"))

    def catch(self, *errors: type[BaseException] | str, id: str | None = None) -> blocks.BlockContext[ErrorInfo]:
        """Like contextlib.suppress: errors of these types (or names) end the block, not the run. Gives ErrorInfo."""
        canvas = self._active()
        if not errors:
            raise canvas.fail("wf.catch takes the types of errors to catch, such as wf.catch(CardDeclined)")
        return blocks.catch_block(canvas, error_names(errors, "wf.catch(...)"), id)

    def parallel(self, *, id: str | None = None) -> blocks.BlockContext[None]:
        """Inside, only data orders: what needs nothing of each other runs at once. Ends when all have."""
        return blocks.group_block(self._active(), "parallel", id)

    def branch(self, *, id: str | None = None) -> blocks.BlockContext[None]:
        """Several lines, in their order, as one child of a parallel block or a race."""
        canvas = self._active()
        if canvas.block.scope.kind not in ("parallel", "race"):
            raise canvas.fail("wf.branch() stands directly inside `with wf.parallel():` or `with wf.race() as r:`")
        return blocks.group_block(canvas, "branch", id)

    # ---- fan-out ---------------------------------------------------------------------------------------------------

    @overload
    def map(
        self,
        body: Callable[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        max_parallel: int = 100,
        tolerate: None = None,
        grow: str | None = None,
        complete_after: int | None = None,
        complete_when: str | None = None,
        rest: Literal["cancel", "continue"] = "cancel",
        id: str | None = None,
    ) -> list[R]: ...
    @overload
    def map(
        self,
        body: Callable[[T], Coroutine[Any, Any, R]],
        items: Iterable[T],
        *,
        max_parallel: int = 100,
        tolerate: int | str,
        grow: str | None = None,
        complete_after: int | None = None,
        complete_when: str | None = None,
        rest: Literal["cancel", "continue"] = "cancel",
        id: str | None = None,
    ) -> MapResult[R]: ...
    @overload
    def map(
        self,
        body: Callable[[T], R],
        items: Iterable[T],
        *,
        max_parallel: int = 100,
        tolerate: None = None,
        grow: str | None = None,
        complete_after: int | None = None,
        complete_when: str | None = None,
        rest: Literal["cancel", "continue"] = "cancel",
        id: str | None = None,
    ) -> list[R]: ...
    @overload
    def map(
        self,
        body: Callable[[T], R],
        items: Iterable[T],
        *,
        max_parallel: int = 100,
        tolerate: int | str,
        grow: str | None = None,
        complete_after: int | None = None,
        complete_when: str | None = None,
        rest: Literal["cancel", "continue"] = "cancel",
        id: str | None = None,
    ) -> MapResult[R]: ...
    def map(
        self,
        body: Callable[[Any], Any],
        items: Any,
        *,
        max_parallel: int = 100,
        tolerate: int | str | None = None,
        grow: str | None = None,
        complete_after: int | None = None,
        complete_when: str | None = None,
        rest: Literal["cancel", "continue"] = "cancel",
        id: str | None = None,
    ) -> Any:
        """One activation of the body (a task, a workflow, or a function of one Ref) per item; results in item order.

        ``tolerate``: so many failures (3 or "5%") are no fault, and the value is a MapResult. ``grow``: a signal of
        this name brings further items (a list), or says that there will be none (None). ``complete_after``: it ends
        with so many items; ``complete_when``: when this expression over done, failed, active and total holds; the
        ``rest`` is withdrawn, or goes on while nobody waits for it.
        """
        leaving = Leaving(grow, complete_after, complete_when, rest)
        return draw_map(
            self._active(), body, items, max_parallel=max_parallel, tolerate=tolerate, leaving=leaving, node_id=id
        )

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def sleep(
        self, duration: Duration | None = None, *, until: datetime | str | None = None, id: str | None = None
    ) -> None:
        """Waits for a duration ("2d", a timedelta, or a Ref to one as text or seconds), or until a time."""
        canvas = self._active()
        if (duration is None) == (until is None):
            raise canvas.fail("wf.sleep takes either a duration or until=")
        how: dict[str, Any] = {}
        state = state_of(duration if until is None else until)
        if state is not None:
            how["duration" if until is None else "until"] = canvas.expression(state)
        elif duration is not None:
            how["duration_ms"] = duration_ms(duration, "wf.sleep(...)")
        else:
            how["until"] = time_text(canvas, until, "wf.sleep(until=...)")
        canvas.add(model.Sleep(id=canvas.node_id("sleep", id), **how))

    @overload
    def wait_signal(
        self,
        name: str,
        *,
        timeout: Duration | None = None,
        default: Any = ...,
        correlate: object = None,
        transient: bool = False,
        id: str | None = None,
    ) -> Any: ...
    @overload
    def wait_signal(
        self,
        name: str,
        cls: type[T],
        *,
        timeout: Duration | None = None,
        correlate: object = None,
        transient: bool = False,
        id: str | None = None,
    ) -> T: ...
    @overload
    def wait_signal(
        self,
        name: str,
        cls: type[T],
        *,
        timeout: Duration | None = None,
        default: D,
        correlate: object = None,
        transient: bool = False,
        id: str | None = None,
    ) -> T | D: ...
    def wait_signal(
        self,
        name: str,
        cls: Any = Any,
        *,
        timeout: Duration | None = None,
        default: Any = UNSET_ARGUMENT,
        correlate: object = None,
        transient: bool = False,
        id: str | None = None,
    ) -> Any:
        """Waits for an outside message and gives its payload. Sent early: queued. Late: the default, else TimedOut.

        ``correlate``: only a signal that was sent with this correlation counts. ``transient``: one that comes while
        nobody waits for it is lost.
        """
        canvas = self._active()
        if not isinstance(name, str) or not name:
            raise canvas.fail("wf.wait_signal takes the signal's name as plain text, known while drawing")
        given = default is not UNSET_ARGUMENT
        if given and timeout is None:
            raise canvas.fail("wf.wait_signal(default=...) needs a timeout=, after which the default is taken")
        node_id = canvas.node_id("signal", id)
        canvas.add(
            model.WaitSignal(
                id=node_id,
                signal=name,
                schema=canvas.schema_of(cls, f"the payload of the signal {name!r}"),
                timeout_ms=None if timeout is None else duration_ms(timeout, "wf.wait_signal(timeout=...)"),
                correlate=None if correlate is None else template(canvas, correlate),
                transient=transient,
                **({"default": template(canvas, default)} if given else {}),
            )
        )
        return canvas.value_of(node_id, Optional[cls] if default is None else cls)  # noqa: UP045 (cls is a value)

    def now(self) -> datetime:
        """The time at which the run gets here."""
        canvas = self._active()
        node_id = canvas.node_id("time")
        canvas.add(model.Set(id=node_id, value="${now()}"))
        return cast(datetime, canvas.value_of(node_id, datetime))

    # ---- ends and other runs ---------------------------------------------------------------------------------------

    def end(self, value: object = None) -> None:
        """Ends the run as completed with this value."""
        canvas = self._active()
        canvas.add(model.End(id=canvas.node_id("end"), value=template(canvas, value)))

    def fail(self, type: str | builtins.type[BaseException], message: object = "") -> None:
        """Fails with an error of this type (a name or a class), which a catch block may take."""
        canvas = self._active()
        (name,) = error_names(type, "wf.fail(...)")
        state = state_of(message)
        if state is None and not isinstance(message, str):
            raise canvas.fail("wf.fail takes its message as text; use wf.format(...) to make it")
        if state is not None and fields.kind(state.type) not in ("text", "unknown"):
            raise canvas.fail(f"wf.fail takes its message as text, and {state.text} is none; use wf.format(...)")
        canvas.add(model.Fail(id=canvas.node_id("fail"), error=name, message=template(canvas, message)))

    def start(self, workflow: Any, /, *args: Any, key: object = None, id: str | None = None, **kwargs: Any) -> str:
        """Starts another run and does not wait; gives its run id. ``key`` makes it idempotent, as for clients."""
        canvas = self._active()
        registered = getattr(workflow, "__wfe_workflow__", None)
        if registered is None:
            raise canvas.fail(f"wf.start takes a workflow (a function with @wfe.workflow), not {workflow!r}")
        with_ = arguments(canvas, registered.name, workflow.signature.params, args, kwargs)
        drawn_key = None if key is None else key_template(canvas, key, "wf.start(key=...)")
        node_id = canvas.node_id("start", id)
        canvas.add(model.StartWorkflow(id=node_id, workflow=registered.name, with_=with_, key=drawn_key))
        return cast(str, canvas.value_of(node_id, str))
