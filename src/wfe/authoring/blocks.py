"""The context managers of a Graph: ``with wf.when(...)`` and its kin. Each opens a block of the canvas and closes it.

They never swallow an exception, and to a checker they say so (``__exit__`` gives None), so that names bound inside are
bound below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from wfe.authoring.canvas import Canvas, OpenBlock, PendingBlock, PendingWhen, ScopeKind, Unentered
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
    return state.text


def when_block(canvas: Canvas, condition: str, node_id: str | None) -> BlockContext[None]:
    """A new choice with one arm."""
    choice: list[PendingWhen] = []

    def opened(block: OpenBlock) -> None:
        choice.append(PendingWhen(canvas.node_id("when", node_id)))
        canvas.note_place(choice[0].id, block.scope.place)

    def closed(block: OpenBlock) -> None:
        choice[0].branches.append((condition, block))
        canvas.block.nodes.append(choice[0])

    return BlockContext(canvas, "when", "wf.when(...)", opened, closed)


def otherwise_block(canvas: Canvas, choice: PendingWhen, condition: str | None) -> BlockContext[None]:
    """A further arm of the choice right above."""

    def opened(block: OpenBlock) -> None:
        choice.closed = choice.closed or condition is None

    def closed(block: OpenBlock) -> None:
        choice.branches.append((condition, block))

    what = "wf.otherwise()" if condition is None else "wf.otherwise(...)"
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
