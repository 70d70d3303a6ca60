"""What reading a `wf.state` means: the states of a drawing, their changes, and values that are kept because of these.

Python reads a value at the line of the read; an expression reads it where it is evaluated. So a value that was read
before a later change is kept by a node of its own, put where it was read (`ast_of`); values that nothing changes in
between cost nothing. `assignments` draws the changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from wfe.authoring import fields
from wfe.authoring.places import Place
from wfe.core.expressions import nodes
from wfe.core.expressions.rewrite import free_names

if TYPE_CHECKING:
    from wfe.authoring.open_blocks import Scope
    from wfe.authoring.refs import RefState

Path: TypeAlias = "tuple[tuple[Scope, int], ...]"
"""A place in the tree: the open blocks from the root, each with the number of the child that is being drawn."""


class Change(NamedTuple):
    """An Assign node of the drawing: of which state and field, where in the tree and in the source."""

    state: str
    field: str
    path: Path
    place: Place


@dataclass(slots=True)
class States:
    """The states of a drawing and their changes so far."""

    declared: dict[str, Path] = field(default_factory=dict)
    assigned: list[Change] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """How many changes were drawn: a clock, by which a read tells whether a change came after it."""
        return len(self.assigned)


def ast_of(state: RefState) -> nodes.Node:
    """The expression of a Ref where it is used: the name of a kept value if a state that it reads has changed since."""
    canvas = state.canvas
    if state.handle or not canvas.states.declared or not _is_stale(state):
        return state.ast
    assert state.spot is not None, "what reads a state was made somewhere"
    if state.spot.block.scope.kind == "race":
        raise canvas.fail(
            f"{state.text} was read directly in a race and has been changed since: read it before the race"
        )
    made = "${" + canvas.written(state.ast) + "}"
    name = nodes.Name(canvas.keep(state, made, state.spot))
    if not state.is_time:
        return name
    return nodes.Call("timestamp" if fields.kind(state.type) == "time" else "duration", (name,))


def _is_stale(state: RefState) -> bool:
    """Whether a state was, or in a later iteration may have been, changed between the read and here."""
    canvas = state.canvas
    read = {name: set(_fields_read(state.ast, name)) for name in free_names(state.ast) & canvas.states.declared.keys()}
    if not read:
        return False
    if any(scope.kind == "loop" and scope not in state.scopes for scope in canvas.closed_in()):
        return True  # read outside of a loop, used in it: the loop may change it
    changes = canvas.states.assigned[state.born :]
    return any(read.get(change.state, set()) & {change.field, ""} for change in changes)


def _fields_read(ast: nodes.Node, state: str) -> Iterator[str]:
    """The fields of a state that an expression reads; an empty name stands for all of it."""
    match ast:
        case nodes.Field(target=nodes.Name(name=name), name=read) if name == state:
            yield read
        case nodes.Index(target=nodes.Name(name=name), key=nodes.Literal(value=str() as read)) if name == state:
            yield read
        case nodes.Name(name=name):
            if name == state:
                yield ""
        case _:
            for part in nodes.children(ast):
                yield from _fields_read(part, state)
