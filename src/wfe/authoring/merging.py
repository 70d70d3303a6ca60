"""What ``wf.merge`` takes out of blocks: values that exist only if the run took the block that they were made in.

The value of a node does so by itself. One that was computed of other things (``wf.format("big {}", n)``, a dataclass)
would exist whatever the run decides: a node that computes it is put where the author wrote it. What a loop makes is
seen in its iteration only: a state above the loop takes it in each, so that the last one can be had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from wfe.authoring.canvas import Canvas
from wfe.authoring.open_blocks import Scope, Spot
from wfe.authoring.refs import RefProxy, RefState, state_of
from wfe.authoring.templates import template
from wfe.core.expressions import nodes
from wfe.model import definition as model


def kept(canvas: Canvas, value: Any) -> Any:
    """The value, or a Ref to a node that has it: if blocks that have ended decide whether it exists, or if it is an
    object of several Refs, which no expression can make."""
    states, own = refs_in(value), state_of(value)
    scopes = frozenset[Scope]().union(*(state.scopes for state in states))
    ended = frozenset(scope for scope in scopes if not scope.open)
    if any(scope.kind == "map" for scope in ended):
        return value
    loops = [scope for scope in ended if scope.kind == "loop"]
    if loops:
        return _of_last_iteration(canvas, value, states, loops)
    plain = not states or own is not None or isinstance(value, (list, tuple, dict))
    if plain and ended <= _lost_with(states):
        return value
    with reopened(ended):
        node_id = canvas.keep(value, template(canvas, value), _made_at(canvas, states, ended))
    type_ = type(value) if own is None else own.type
    bound = scopes | (frozenset() if ended else canvas.closed_in())
    ref = RefState(canvas, nodes.Name(node_id), type_, bound, None, frozenset((node_id,)), lost_with=bound)
    return RefProxy(ref)


def _made_at(canvas: Canvas, states: list[RefState], ended: frozenset[Scope]) -> Spot:
    """Where a value made in blocks that have ended was complete."""
    spots = [state.spot for state in states if state.spot is not None and ended & state.scopes]
    return max(spots, key=lambda spot: (spot.depth, spot.before), default=canvas.spot())


def _of_last_iteration(canvas: Canvas, value: Any, states: list[RefState], loops: list[Scope]) -> RefProxy:
    """A Ref to what the last iteration that made the value gave: a state above the loop takes it in each."""
    ended = frozenset(scope for state in states for scope in state.scopes if not scope.open)
    spot = _made_at(canvas, states, ended)
    if spot.block.scope.kind == "race":
        raise canvas.fail("a value made directly in a race inside of a loop: keep it in wf.state(...) where r.won(x)")
    above = min((scope.spot for scope in loops if scope.spot is not None), key=lambda place: place.depth)

    def make() -> str:
        with reopened(ended):
            made = template(canvas, value)
        state_id = canvas.node_id("kept")
        canvas.put(model.State(id=state_id, value="${dyn({})}"), above)
        canvas.put(model.Assign(id=canvas.node_id("assign"), state=state_id, fields={"value": made}), spot)
        return state_id

    state_id = canvas.once(value, make)
    own = state_of(value)
    outside = frozenset(scope for scope in ended if scope.spot is not None and scope.spot.depth < above.depth)
    return RefProxy(
        RefState(
            *(canvas, nodes.Field(nodes.Name(state_id), "value"), type(value) if own is None else own.type),
            scopes=outside | canvas.closed_in(),
            node_ids=frozenset((state_id,)),
            spot=canvas.spot(),
            lost_with=outside,
        )
    )


@contextmanager
def reopened(scopes: frozenset[Scope]) -> Iterator[None]:
    """A node that goes into a block that has ended may use what was made there."""
    for scope in scopes:
        scope.open = True
    try:
        yield
    finally:
        for scope in scopes:
            scope.open = False


def _lost_with(states: list[RefState]) -> frozenset[Scope]:
    return frozenset[Scope]().union(*(state.lost_with for state in states))


def refs_in(value: object) -> list[RefState]:
    """Every Ref inside a value."""
    state = state_of(value)
    if state is not None:
        return [state]
    if isinstance(value, dict):
        return [found for part in value.values() for found in refs_in(part)]
    if isinstance(value, (list, tuple)):
        return [found for part in value for found in refs_in(part)]
    if isinstance(value, msgspec.Struct):
        return [found for name in value.__struct_fields__ for found in refs_in(getattr(value, name))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [found for f in dataclasses.fields(value) for found in refs_in(getattr(value, f.name))]
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return [found for part in vars(value).values() for found in refs_in(part)]
    return []
