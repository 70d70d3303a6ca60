"""Nodes that only compute: decision, transformation, state, assignment, emitted event. No worker is involved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wfe.core.expressions import Lookup, Metered
from wfe.core.faults import raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import (
    act_of_scope,
    decode,
    encode_value,
    evaluate,
    evaluate_raw,
    evaluate_truth,
    lookup_for,
    truth,
)
from wfe.errors import ExpressionError
from wfe.limits import EXPRESSION_STEPS_MAX, NAME_CHARS_MAX
from wfe.model.definition import Assign, Transform
from wfe.model.event import NodeDone
from wfe.model.event_kinds import EventEmitted, StateAssigned

_ITEM_STEPS = 5
"""What looking at one item costs at least, in steps of expressions."""


def open_decision(turn: Turn, act: int, node: PlanNode) -> None:
    """The value is the name of the first case that holds (rule R6, xor)."""
    try:
        for name, cond in node.cases:
            if cond is None or evaluate_truth(turn.run, turn.plan, node.scope, act, cond, turn.now_ms):
                turn.emit(NodeDone(node.index, act, encode_value(name)))
                return
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    raise_fault(turn, act, node, "NoCase", f"no case of {node.id} holds: {', '.join(name for name, _ in node.cases)}")


def open_assign(turn: Turn, act: int, node: PlanNode) -> None:
    """Compute the state's new value; it lives in the frame of the scope that declares it."""
    assign, target = node.node, node.target
    assert isinstance(assign, Assign)
    assert node.template is not None
    run, plan = turn.run, turn.plan
    try:
        if target is None:
            raise ExpressionError(f"there is no state {assign.state!r} here")
        home = act_of_scope(run, plan, node.scope, act, target.scope)
        before = run.frames[home].values.get(target.node)
        if before is None:
            raise ExpressionError(f"state {assign.state!r} has not begun yet")
        if assign.fields:
            fields = evaluate(run, plan, node.scope, act, node.template, turn.now_ms)
            whole = decode(before)
            if not isinstance(whole, dict):
                raise ExpressionError(f"state {assign.state!r} is no object: its fields cannot be set")
            value = encode_value({**whole, **fields})
        else:
            value = evaluate_raw(run, plan, node.scope, act, node.template, turn.now_ms)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(StateAssigned(node.index, act, target.node, home, value))


def open_emit(turn: Turn, act: int, node: PlanNode) -> None:
    """Publish an event: it is in the run's history from now on."""
    assert node.template is not None
    try:
        made = evaluate(turn.run, turn.plan, node.scope, act, node.template, turn.now_ms)
        name, data = made["emit"], encode_value(made["data"])
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX:
            raise ExpressionError(f"an event's type is text of 1 to {NAME_CHARS_MAX} characters, not {name!r:.100}")
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(EventEmitted(node.index, act, name, data))


def open_transform(turn: Turn, act: int, node: PlanNode) -> None:
    """Filter, enrich, map and reduce a list; all of it together may take no more steps than one expression."""
    definition = node.node
    assert isinstance(definition, Transform)
    around = lookup_for(turn.run, turn.plan, node.scope, act, turn.now_ms)
    try:
        items = evaluate(turn.run, turn.plan, node.scope, act, _part(node, "expression"), turn.now_ms)
        if not isinstance(items, list):
            raise ExpressionError("a list of items is wanted", text=definition.items)
        value = encode_value(_transformed(node, definition, items, around))
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(NodeDone(node.index, act, value))


def _transformed(node: PlanNode, definition: Transform, items: list[Any], around: Lookup) -> Any:
    steps = Steps(around, definition.as_)
    if definition.filter is not None:
        condition = _part(node, "filter")
        items = [item for item in items if truth(steps.evaluate(condition, item), definition.filter)]
    if definition.enrich:
        fields = _part(node, "enrich")
        items = [{**_object(item), **steps.evaluate(fields, item)} for item in items]
    if definition.map is not None:
        mapped = _part(node, "map")
        items = [steps.evaluate(mapped, item) for item in items]
    reduce = definition.reduce
    if reduce is None:
        return items
    total = _part(node, "initial").evaluate(around)
    value = _part(node, "reduce")
    for item in items:
        total = steps.evaluate(value, item, {reduce.total: total})
    return total


class Steps:
    """Evaluates a part per item, within one budget of steps for all items and parts together."""

    def __init__(self, around: Lookup, as_: str) -> None:
        self._around = around
        self._as = as_
        self._left = EXPRESSION_STEPS_MAX

    def evaluate(self, part: Any, item: Any, more: dict[str, Any] | None = None) -> Any:
        names = {self._as: item, **(more or {})}
        metered = Metered(_within(names, self._around), self._left - _ITEM_STEPS)
        value = part.evaluate(metered)
        self._left = metered.left
        return value


def _within(names: dict[str, Any], around: Lookup) -> Callable[[str], Any]:
    return lambda name: names[name] if name in names else around(name)


def _object(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ExpressionError(f"only objects can be enriched, not {item!r:.100}")
    return item


def _part(node: PlanNode, name: str) -> Any:
    part = node.expression if name == "expression" else node.parts[name]
    assert part is not None
    return part
