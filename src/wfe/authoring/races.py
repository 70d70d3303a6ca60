"""`wf.race`: the first child to end wins, the others are withdrawn. What the winner made is usable where it has won."""

from __future__ import annotations

from typing import cast

from wfe.authoring.canvas import Canvas
from wfe.authoring.open_blocks import Scope
from wfe.authoring.refs import RefProxy, RefState, state_of
from wfe.core.expressions import nodes


class Race:
    """What ``with wf.race() as r:`` gives."""

    __slots__ = ("_canvas", "_enclosing", "_id", "_scope")

    def __init__(self, canvas: Canvas, race_id: str, scope: Scope) -> None:
        self._canvas, self._id, self._scope = canvas, race_id, scope
        self._enclosing = canvas.closed_in() - {scope}

    def won(self, value: object) -> bool:
        """Whether the child that made this value (or the one with this id) ended first. Inside
        ``with wf.when(r.won(x)):`` x is usable."""
        canvas, scope = self._canvas, self._scope
        child = self._child(value)
        ids = frozenset((self._id,))
        condition: nodes.Node = nodes.Binary("==", nodes.Field(nodes.Name(self._id), "winner"), nodes.Literal(child))
        state = RefState(
            *(canvas, condition, bool, self._enclosing, scope, ids),
            spot=canvas.spot(),
            lost_with=self._enclosing,
            proves=((scope, child),),
        )
        canvas.check_usable(state)
        return cast(bool, RefProxy(state))

    def _child(self, value: object) -> str:
        canvas, owners = self._canvas, self._scope.owners
        if self._scope.open:
            raise canvas.fail("who has won is known once the `with wf.race()` block has ended: ask below the block")
        if isinstance(value, str):
            if value not in owners.values():
                known = ", ".join(dict.fromkeys(owners.values()))
                raise canvas.fail(f"the race has no child {value!r} (it has: {known})")
            return value
        state = state_of(value)
        if state is None:
            raise canvas.fail(f"r.won takes a value that was made in the race, or a child's id, not {value!r}")
        canvas.check_same(state)
        children = {owners[node_id] for node_id in state.node_ids if node_id in owners}
        if len(children) != 1:
            problem = "was not made in this race" if not children else "was made by several children of the race"
            raise canvas.fail(f"{state.text} {problem}: r.won takes a value that one child has made")
        return children.pop()
