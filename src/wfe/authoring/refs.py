"""Ref: a value that exists only while a run executes, as a stand-in while its workflow is drawn.

To a type checker ``Ref[T]`` *is* ``T``. While drawing it is a `RefProxy`: attributes, ``[i]``, comparisons, ``+ - * /``
and ``& |`` give further Refs, which become expressions (`operators` puts these methods on the class); anything else
raises a GraphError at the author's line (`refusals`). A proxy has no public attribute, so that ``order.items`` is
always the field; `state_of` reads what it carries.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from wfe.core.expressions import nodes
from wfe.core.expressions.unparse import unparse

if TYPE_CHECKING:
    from wfe.authoring.canvas import Canvas
    from wfe.authoring.open_blocks import Scope, Spot

T = TypeVar("T")


class RefMarker:
    """Marks ``Annotated[T, ...]`` as a Ref; `wire.payload.strip_ref` knows it by its attribute."""

    is_wfe_ref = True

    def __repr__(self) -> str:
        return "wfe.Ref"


Ref: TypeAlias = Annotated[T, RefMarker()]
"""``order: wfe.Ref[Order]`` is ``order: Order`` to a checker; plain ``Order`` means the same."""

_LENIENT = ("merge", "is_none", "has")
"""Functions that take what has no value."""

REPR_MARK = "<wfe.Ref "
"""How the repr of a proxy begins; text that holds it was made from a Ref and is refused."""


@dataclass(frozen=True, slots=True, eq=False)
class RefState:
    """What a proxy stands for: an expression, its Python type, and where it may be used."""

    canvas: Canvas
    ast: nodes.Node
    type: Any = Any
    scopes: frozenset[Scope] = frozenset()
    """Blocks that the value may not leave."""
    not_inside: Scope | None = None
    """The block that must have ended before there is a value: a catch block's own."""
    node_ids: frozenset[str] = frozenset()
    """The nodes that it is made of."""
    is_time: bool = False
    """Whether the expression gives a timestamp or a duration, not its text."""
    spot: Spot | None = None
    """Where in the drawing it was made."""
    lost_with: frozenset[Scope] = frozenset()
    """Blocks without which it has no value by itself: those of the nodes that it cannot do without."""
    born: int = 0
    """How many changes of states were drawn before it was made."""
    handle: bool = False
    """Whether it is a state itself, whose fields may be set."""
    proves: tuple[tuple[Scope, str], ...] = ()
    """Of a condition: races and the children that have won if it holds."""

    @property
    def text(self) -> str:
        """The expression as text."""
        return unparse(self.ast)


class RefProxy:
    """A Ref while its workflow is drawn. Its methods are put on by `operators` and `refusals`."""

    __slots__ = ("__wfe_ref__",)
    __wfe_ref__: RefState

    def __init__(self, state: RefState) -> None:
        object.__setattr__(self, "__wfe_ref__", state)

    def __await__(self) -> Generator[None, None, RefProxy]:
        yield from ()  # awaiting a Ref never suspends
        return self

    def __repr__(self) -> str:
        return f"{REPR_MARK}{self.__wfe_ref__.text}>"

    def __copy__(self) -> RefProxy:
        return self

    def __deepcopy__(self, memo: Any) -> RefProxy:
        return self


class SecretProxy:
    """`wfe.secret` in a drawing: only its name is known here, and it may only be handed on to a task."""

    __slots__ = ("__wfe_secret__",)
    __wfe_secret__: tuple[Canvas, str]

    def __init__(self, canvas: Canvas, name: str) -> None:
        object.__setattr__(self, "__wfe_secret__", (canvas, name))

    def __repr__(self) -> str:
        return f"{REPR_MARK}secret {self.__wfe_secret__[1]}>"


def state_of(value: Any) -> RefState | None:
    """What a proxy carries; None for any other value."""
    return value.__wfe_ref__ if type(value) is RefProxy else None


def join(
    canvas: Canvas, parts: Iterable[RefState], ast: nodes.Node, type_: Any = Any, *, is_time: bool = False
) -> RefProxy:
    """A Ref made of others, here: it may be used where all of them may, and not outside of the blocks open now."""
    scopes = canvas.closed_in()
    lost_with: frozenset[Scope] = frozenset()
    node_ids: frozenset[str] = frozenset()
    not_inside: Scope | None = None
    for part in parts:
        scopes |= part.scopes
        lost_with |= part.lost_with
        node_ids |= part.node_ids
        not_inside = not_inside or part.not_inside
    lost_with = frozenset() if _does_without(ast) else lost_with
    born = canvas.states.changes
    return RefProxy(RefState(canvas, ast, type_, scopes, not_inside, node_ids, is_time, canvas.spot(), lost_with, born))


def _does_without(ast: nodes.Node) -> bool:
    """Whether an expression may have a value although one of its parts has none."""
    match ast:
        case nodes.Call(function=name):
            return name in _LENIENT
        case nodes.Binary(operator=operator):
            return operator in ("&&", "||")
    return False
