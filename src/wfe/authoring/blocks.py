"""The context managers of a Graph: ``with wf.when(...)`` and its kin. Each opens a block of the canvas and closes it.

They never swallow an exception, and to a checker they say so (``__exit__`` gives None), so that names bound inside are
bound below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar, cast

from wfe.authoring.canvas import Canvas
from wfe.authoring.open_blocks import OpenBlock, PendingBlock, PendingWhen, ScopeKind, Unentered, drawn_in, ids_of
from wfe.authoring.races import Race
from wfe.authoring.refs import RefState
from wfe.authoring.results import ErrorInfo
from wfe.model import definition as model

T = TypeVar("T")


class BlockContext(Generic[T]):
    """A block that waits for its ``with``. ``opened`` and ``closed`` are called on the way in and out."""

    __slots__ = ("_block", "_canvas", "_closed", "_kind", "_opened", "_waiting", "_what")

    def __init__(
        self,
        canvas: Canvas,
        kind: ScopeKind,
        what: str,
        opened: Callable[[OpenBlock], T],
        closed: Callable[[OpenBlock], None],
    ) -> None:
        self._canvas, self._kind, self._what = canvas, kind, what
        self._opened, self._closed = opened, closed
        self._waiting: Unentered | None = canvas.announce(what)
        self._block: OpenBlock | None = None

    def __enter__(self) -> T:
        if self._waiting is None:
            raise self._canvas.fail(f"{self._what} was entered before: make a new block for every `with`")
        self._block = self._canvas.enter(self._waiting, self._kind)
        self._waiting = None
        return self._opened(self._block)

    async def __aenter__(self) -> NoReturn:
        raise self._canvas.fail(f"a block of a workflow is entered by a plain `with {self._what}:`, without async")

    async def __aexit__(self, *_: object) -> None:
        raise AssertionError("never entered")

    def __bool__(self) -> NoReturn:
        raise self._canvas.fail(f"{self._what} is a block, not a condition: write `with {self._what}:`")

    def __iter__(self) -> NoReturn:
        raise self._canvas.fail(f"{self._what} is a block, not a list: write `with {self._what}:`")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._block is not None
        self._canvas.leave(self._block, failed=error is not None)
        if error is None:
            self._closed(self._block)
        else:
            self._canvas.abandoned = self._canvas.abandoned or (self._what, self._block.scope.place, error)


def _made(kind: Any, do: tuple[model.Node, ...], **fields: Any) -> model.Node:
    node: model.Node = kind(do=do, **fields)
    return node


def condition_text(canvas: Canvas, state: RefState, what: str) -> str:
    """A condition's expression, checked to be one and to be usable here."""
    canvas.check_usable(state)
    canvas.check_condition(state, what)
    return canvas.expression(state)


def when_block(canvas: Canvas, condition: RefState, node_id: str | None) -> BlockContext[None]:
    """A new choice with one arm."""
    text = condition_text(canvas, condition, "wf.when(...)")
    choice: list[PendingWhen] = []

    def opened(block: OpenBlock) -> None:
        choice.append(PendingWhen(canvas.node_id("when", node_id)))
        canvas.note_place(choice[0].id, block.scope.place)
        canvas.won += condition.proves

    def closed(block: OpenBlock) -> None:
        choice[0].branches.append((text, block))
        canvas.block.nodes.append(choice[0])
        canvas.forget_won(condition.proves)

    return BlockContext(canvas, "when", "wf.when(...)", opened, closed)


def otherwise_block(canvas: Canvas, choice: PendingWhen, condition: RefState | None) -> BlockContext[None]:
    """A further arm of the choice right above."""
    what = "wf.otherwise()" if condition is None else "wf.otherwise(...)"
    text = None if condition is None else condition_text(canvas, condition, what)
    proves = () if condition is None else condition.proves

    def opened(block: OpenBlock) -> None:
        choice.closed = choice.closed or condition is None
        canvas.won += proves

    def closed(block: OpenBlock) -> None:
        choice.branches.append((text, block))
        canvas.forget_won(proves)

    return BlockContext(canvas, "otherwise", what, opened, closed)


def catch_block(canvas: Canvas, errors: tuple[str, ...], node_id: str | None) -> BlockContext[ErrorInfo]:
    """Nodes whose failure of these types ends the block; gives the ErrorInfo, known once the block has ended."""
    ids: list[str] = []

    def opened(block: OpenBlock) -> ErrorInfo:
        ids.append(canvas.node_id("catch", node_id))
        canvas.note_place(ids[0], block.scope.place)
        enclosing = canvas.closed_in() - {block.scope}
        return cast(ErrorInfo, canvas.value_of(ids[0], ErrorInfo, scopes=enclosing, not_inside=block.scope))

    def closed(block: OpenBlock) -> None:
        make = partial(_made, model.Catch, id=ids[0], errors=errors)
        canvas.block.nodes.append(PendingBlock(ids[0], block, make))

    return BlockContext(canvas, "catch", "wf.catch(...)", opened, closed)


def group_block(canvas: Canvas, kind: ScopeKind, node_id: str | None) -> BlockContext[None]:
    """``parallel``: ordered by data only; ``branch``: several lines inside it as one."""
    ids: list[str] = []

    def opened(block: OpenBlock) -> None:
        ids.append(canvas.node_id(kind, node_id))
        canvas.note_place(ids[0], block.scope.place)

    def closed(block: OpenBlock) -> None:
        make = partial(_made, model.Parallel if kind == "parallel" else model.Block, id=ids[0])
        canvas.block.nodes.append(PendingBlock(ids[0], block, make))

    return BlockContext(canvas, kind, f"wf.{kind}()", opened, closed)


def loop_block(canvas: Canvas, max_iterations: int | None, node_id: str | None) -> BlockContext[None]:
    """Repeated until a `BreakIf` inside ends it; each iteration has values of its own."""
    ids: list[str] = []

    def opened(block: OpenBlock) -> None:
        ids.append(canvas.node_id("loop", node_id))
        canvas.note_place(ids[0], block.scope.place)

    def closed(block: OpenBlock) -> None:
        if max_iterations is None and not any(isinstance(node, WAITING) for node in drawn_in(block)):
            raise canvas.fail(
                "wf.loop(max_iterations=None) needs something in it that waits (wf.sleep, wf.wait_signal, "
                "wf.approval, a sub-workflow), or it could spin for ever: give it a bound",
                block.scope.place,
            )
        make = partial(_made, model.Loop, id=ids[0], max_iterations=max_iterations)
        canvas.block.nodes.append(PendingBlock(ids[0], block, make))

    return BlockContext(canvas, "loop", "wf.loop(...)", opened, closed)


WAITING = (model.Sleep, model.WaitSignal, model.Approval, model.SubWorkflow)
"""What takes time by itself: a loop without a bound has one of these."""


def race_block(canvas: Canvas, node_id: str | None) -> BlockContext[Race]:
    """Its children start together, and the first to end wins."""
    ids: list[str] = []

    def opened(block: OpenBlock) -> Race:
        ids.append(canvas.node_id("race", node_id))
        canvas.note_place(ids[0], block.scope.place)
        return Race(canvas, ids[0], block.scope)

    def closed(block: OpenBlock) -> None:
        if len(block.nodes) < 2:
            raise canvas.fail("a race has at least two children: what runs alone needs no race", block.scope.place)
        for child in block.nodes:
            block.scope.owners |= dict.fromkeys(ids_of(child), child.id)
        canvas.block.nodes.append(PendingBlock(ids[0], block, partial(_made, model.Race, id=ids[0])))

    return BlockContext(canvas, "race", "wf.race()", opened, closed)


def lock_block(
    canvas: Canvas, names: tuple[str, ...], key: model.Template | None, node_id: str | None
) -> BlockContext[None]:
    """Its nodes run while the locks are held."""
    ids: list[str] = []

    def opened(block: OpenBlock) -> None:
        ids.append(canvas.node_id("lock", node_id))
        canvas.note_place(ids[0], block.scope.place)

    def closed(block: OpenBlock) -> None:
        make = partial(_made, model.Lock, id=ids[0], names=names, key=key)
        canvas.block.nodes.append(PendingBlock(ids[0], block, make))

    return BlockContext(canvas, "lock", "wf.lock(...)", opened, closed)
