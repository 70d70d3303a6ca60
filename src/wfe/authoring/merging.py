"""What ``wf.merge`` takes out of blocks: values that exist only if the run took the block that they were made in.

The value of a node does so by itself. One that was computed of other things (``wf.format("big {}", n)``, a dataclass)
would exist whatever the run decides: a node that computes it is put where the author wrote it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from wfe.authoring.canvas import Canvas, Scope
from wfe.authoring.refs import RefProxy, RefState, state_of
from wfe.authoring.templates import template
from wfe.core.expressions import nodes


def kept(canvas: Canvas, value: Any) -> Any:
    """The value, or a Ref to a node that has it: if blocks that have ended decide whether it exists, or if it is an
    object of several Refs, which no expression can make."""
    states, own = refs_in(value), state_of(value)
    scopes = frozenset[Scope]().union(*(state.scopes for state in states))
    ended = frozenset(scope for scope in scopes if not scope.open)
    plain = not states or own is not None or isinstance(value, (list, tuple, dict))
    if any(scope.kind == "map" for scope in ended) or (plain and ended <= _lost_with(states)):
        return value
    spots = [state.spot for state in states if state.spot is not None and ended & state.scopes]
    deepest = max(spots, key=lambda spot: (spot.depth, spot.before), default=canvas.spot())
    with reopened(ended):
        node_id = canvas.keep(value, template(canvas, value), deepest)
    type_ = type(value) if own is None else own.type
    bound = scopes | (frozenset() if ended else canvas.closed_in())
    ref = RefState(canvas, nodes.Name(node_id), type_, bound, None, frozenset((node_id,)), lost_with=bound)
    return RefProxy(ref)


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
