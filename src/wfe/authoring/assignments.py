"""`wf.state` and ``s.x = value``: drawing a state and its changes.

A state's Ref is a handle; setting its fields draws Assign nodes. Changes that two branches could make at the same time
are refused. What reading means is in `states`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wfe.authoring import fields
from wfe.authoring.argument_types import check_argument
from wfe.authoring.canvas import Canvas
from wfe.authoring.operators import attribute, item
from wfe.authoring.places import caller
from wfe.authoring.refs import RefProxy, RefState, state_of
from wfe.authoring.states import Change, Path
from wfe.authoring.templates import template
from wfe.core.expressions import nodes
from wfe.core.expressions.rewrite import free_names
from wfe.model import definition as model

_CONCURRENT = ("parallel", "race")


def declare(canvas: Canvas, value: Any, node_id: str | None) -> RefProxy:
    """Draws ``wf.state(value)`` and gives its handle."""
    given = state_of(value)
    type_ = type(value) if given is None else given.type
    if isinstance(value, type) or fields.kind(type_) not in ("record", "map", "unknown"):
        shown = f"{value!r}" if given is None else given.text
        raise canvas.fail(
            f"wf.state keeps an object whose fields change, not {shown}: give it a dataclass, Struct or dict, such as "
            "`s = wf.state(Progress(count=0))`, and set its fields: `s.count = s.count + 1`"
        )
    made = template(canvas, value)
    state_id = canvas.node_id("state", node_id)
    canvas.states.declared[state_id] = canvas.path()
    canvas.add(model.State(id=state_id, value=made))
    return RefProxy(replace(canvas.value_of(state_id, type_).__wfe_ref__, handle=True))


def set_field(self: RefProxy, name: str, value: Any) -> None:
    """``s.x = value``"""
    state = _handle(self, f"assignment to .{name}", f"s.{name} = ...")
    _assign(state, attribute(self, name).__wfe_ref__, value)


def set_entry(self: RefProxy, key: Any, value: Any) -> None:
    """``s["x"] = value``"""
    state = _handle(self, "assignment to an item", f"s[{key!r}] = ...")
    if not isinstance(key, str):
        raise state.canvas.fail(f"the entries of a state are known while drawing: a name as plain text, not {key!r}")
    _assign(state, item(self, key).__wfe_ref__, value)


def _handle(proxy: RefProxy, what: str, example: str) -> RefState:
    state = proxy.__wfe_ref__
    canvas = state.canvas
    canvas.check_usable(state)
    if state.handle:
        return state
    roots = free_names(state.ast) & canvas.states.declared.keys()
    if roots and isinstance(state.ast, (nodes.Field, nodes.Index)):
        raise canvas.fail(
            f"{what} of {state.text}: only the fields of a state itself are set: give its field a new value as a whole"
        )
    raise canvas.fail(
        f"{what} of {state.text} is not possible, for values are never changed: make a new one in a task or as a "
        f"dataclass, or keep what changes in `s = wf.state(...)` and write `{example}`"
    )


def _assign(state: RefState, target: RefState, value: Any) -> None:
    canvas = state.canvas
    (name,) = state.node_ids
    path = target.ast
    key = path.name if isinstance(path, nodes.Field) else path.key.value  # type: ignore[union-attr]
    if not isinstance(key, str):
        raise canvas.fail(f"{target.text} has a number, not a name: a state's fields are set by name")
    check_argument(canvas, target.text, value, target.type)
    made = template(canvas, value)
    change = Change(name, key, canvas.path(), caller(canvas.place))
    _check_alone(canvas, change)
    canvas.add(model.Assign(id=canvas.node_id("assign"), state=name, fields={key: made}))
    canvas.states.assigned.append(change)


def _check_alone(canvas: Canvas, change: Change) -> None:
    """GraphError when something else may make the same change at the same time."""
    shown = f"{change.state}.{change.field}"
    if canvas.block.scope.kind == "race":
        raise canvas.fail(f"setting {shown} would be a child of the race: group it with `with wf.branch():`")
    outside = len(canvas.states.declared[change.state])
    for scope, _ in change.path[outside:]:
        if scope.kind == "map" and not scope.serial:
            raise canvas.fail(
                f"{shown} would be set by several items of wf.map at the same time: return a value per item and use "
                "the list that wf.map gives (or max_parallel=1)"
            )
    for other in canvas.states.assigned:
        if (other.state, other.field) == (change.state, change.field) and _concurrent(other.path, change.path):
            raise canvas.fail(
                f"{shown} is also set at line {other.place.line}, by another branch that runs at the same time: set it "
                "below the block, or give each branch a field of its own"
            )


def _concurrent(one: Path, other: Path) -> bool:
    """Whether two places are in different children of a block whose children run together."""
    for (scope, child), (other_scope, other_child) in zip(one, other, strict=False):
        if scope is not other_scope:
            return False
        if child != other_child:
            return scope.kind in _CONCURRENT
    return False
