"""Calling the author's functions while drawing: a workflow's own function, and the body of ``wf.map``.

Coroutines are driven by hand: every Ref gives itself when awaited, so a drawing never suspends; whatever does suspend
awaits something real, which a drawing cannot do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from wfe.authoring import fields
from wfe.authoring.canvas import Canvas
from wfe.authoring.open_blocks import OpenBlock
from wfe.authoring.places import Place
from wfe.authoring.refs import RefProxy, RefState, state_of
from wfe.authoring.results import MapResult
from wfe.authoring.templates import constant_ast, template
from wfe.core.expressions import nodes
from wfe.model import definition as model
from wfe.wire.payload import strip_ref

_AWAIT = (
    "a workflow can only await its own nodes: this `await` waits for something real, which belongs in a task "
    "(for time: wf.sleep, for a message: wf.wait_signal)"
)


def call(canvas: Canvas, function: Callable[..., Any], *args: Any) -> Any:
    """The function's result; of an ``async def`` what awaiting it gives."""
    result = function(*args)
    return drive(canvas, result) if inspect.iscoroutine(result) else result


def drive(canvas: Canvas, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end. GraphError at its line when it suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    place = _suspended_at(coroutine)
    error = canvas.fail(_AWAIT, place)
    coroutine.close()
    raise error


def _suspended_at(coroutine: Coroutine[Any, Any, Any]) -> Place | None:
    frame = coroutine.cr_frame if isinstance(coroutine, CoroutineType) else None
    return Place(frame.f_code.co_filename, frame.f_lineno) if frame is not None else None


@dataclass(frozen=True, slots=True)
class Leaving:
    """When ``wf.map`` has all its items, and when it does not wait for all of them."""

    grow: str | None = None
    complete_after: int | None = None
    complete_when: str | None = None
    rest: str = "cancel"

    def checked(self, canvas: Canvas) -> dict[str, Any]:
        """The fields of the node. GraphError for what can't be meant; expressions and names are validation's."""
        texts: tuple[tuple[str, Any], ...] = (("grow", self.grow), ("complete_when", self.complete_when))
        for option, text in texts:
            if text is not None and not isinstance(text, str):
                wanted = "the name of a signal" if option == "grow" else 'an expression such as "done * 2 > total"'
                raise canvas.fail(f"wf.map({option}={text!r}): {wanted} is wanted, as text")
        after: Any = self.complete_after
        if after is not None and (isinstance(after, bool) or not isinstance(after, int) or after < 0):
            raise canvas.fail(
                f"wf.map(complete_after={after!r}): a number of items is wanted; 0: nobody waits for them"
            )
        if self.rest not in ("cancel", "continue"):
            raise canvas.fail(f'wf.map(rest={self.rest!r}): "cancel" or "continue" is wanted')
        if self.rest == "continue" and after is None and self.complete_when is None:
            raise canvas.fail('wf.map(rest="continue") needs complete_after= or complete_when=: else there is no rest')
        return {name: getattr(self, name) for name in ("grow", "complete_after", "complete_when", "rest")}


def draw_map(
    canvas: Canvas,
    body: Callable[[Any], Any],
    items: Any,
    *,
    max_parallel: int,
    tolerate: int | str | None,
    leaving: Leaving,
    node_id: str | None,
) -> RefProxy:
    """Draws ``wf.map``: the body once, on a Ref that stands for any item."""
    if isinstance(max_parallel, bool) or not isinstance(max_parallel, int) or max_parallel < 1:
        raise canvas.fail(f"wf.map(max_parallel={max_parallel!r}): a number of at least 1 is wanted")
    if not callable(body) or isinstance(body, type):
        raise canvas.fail(f"wf.map takes a task, a workflow or a function of one Ref, not {body!r}")
    count, percent = _tolerance(canvas, tolerate)
    leaves = leaving.checked(canvas)
    expression, item_type = _items(canvas, items)
    map_id = canvas.node_id("map", node_id)
    canvas.check_entered()
    as_ = canvas.open_item()
    block = canvas.enter(None, "map")
    block.scope.serial = max_parallel == 1
    canvas.note_place(map_id, block.scope.place)
    item = RefProxy(RefState(canvas, nodes.Name(as_), item_type, canvas.closed_in()))
    try:
        result = _call_body(canvas, body, item)
        output, result_type = _output(canvas, block, result)
    except BaseException:
        canvas.leave(block, failed=True)
        raise
    canvas.close_item()
    canvas.leave(block)
    canvas.block.nodes.append(
        model.Map(
            id=map_id,
            items=expression,
            as_=as_,
            do=canvas.frozen(block),
            max_parallel=max_parallel,
            tolerate_count=count,
            tolerate_percent=percent,
            **leaves,
            **output,
        )
    )
    made: Any = list[result_type] if tolerate is None else MapResult[result_type]  # type: ignore[valid-type]
    return canvas.value_of(map_id, made)


def _call_body(canvas: Canvas, body: Callable[[Any], Any], item: RefProxy) -> Any:
    if not hasattr(body, "__wfe_call__"):
        try:
            inspect.signature(body).bind(item)
        except TypeError as error:
            raise canvas.fail(f"the body of wf.map takes one argument, the item: {error}") from error
        except ValueError as error:
            raise canvas.fail(f"the body of wf.map is a function of one Ref, not {body!r}") from error
    return call(canvas, body, item)


def _output(canvas: Canvas, block: OpenBlock, result: Any) -> tuple[dict[str, Any], Any]:
    """The node's ``output`` (left out when it is just the last node's value), and the type of one result."""
    value = template(canvas, result)
    state = state_of(result)
    result_type = state.type if state is not None else Any if result is None else type(result)
    if not block.nodes:
        canvas.add(model.Set(id=canvas.node_id("set"), value=value))
        return {}, result_type
    last = "${" + block.nodes[-1].id + "}"
    return ({} if value == last else {"output": value}), result_type


def _items(canvas: Canvas, items: Any) -> tuple[str, Any]:
    """The expression of the items, and the type of one."""
    state = state_of(items)
    if state is None:
        if isinstance(items, (str, bytes, dict)) or not hasattr(items, "__iter__"):
            raise canvas.fail(f"wf.map takes a list of items, not {items!r}")
        plain = list(items)
        kinds = {strip_ref(entry.type) if (entry := state_of(part)) else type(part) for part in plain}
        for part in plain:
            inner = state_of(part)
            if inner is not None:
                canvas.check_usable(inner)
        return canvas.written(constant_ast(canvas, plain)), kinds.pop() if len(kinds) == 1 else Any
    text = canvas.expression(state)
    if fields.kind(state.type) not in ("list", "unknown"):
        raise canvas.fail(
            f"wf.map takes a list of items, and {state.text} is a {fields.type_name(fields.plain(state.type))}"
        )
    return text, fields.item_type(state.type)


def _tolerance(canvas: Canvas, tolerate: int | str | None) -> tuple[int | None, float | None]:
    if tolerate is None:
        return None, None
    if isinstance(tolerate, int) and not isinstance(tolerate, bool) and tolerate >= 0:
        return tolerate, None
    if isinstance(tolerate, str) and tolerate.strip().endswith("%"):
        try:
            percent = float(tolerate.strip()[:-1])
        except ValueError:
            percent = -1.0
        if 0 <= percent <= 100:
            return None, percent
    raise canvas.fail(f'wf.map(tolerate={tolerate!r}): a number of failures, or a share such as "5%"')
