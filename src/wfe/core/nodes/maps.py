"""Map: one activation of the body per item (patterns 13 and 14), a bounded number at once."""

from __future__ import annotations

from wfe.core.faults import raise_fault
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import evaluate_raw, split_items
from wfe.errors import ExpressionError
from wfe.limits import MAP_ITEMS_MAX, PAYLOAD_BYTES_MAX
from wfe.model.definition import Map
from wfe.model.event import ItemsOpened, MapDone, MapOpened


def open_map(turn: Turn, act: int, node: PlanNode) -> None:
    """Evaluate the items; the window over them opens when the group closes for the first time (`close_map`)."""
    assert node.expression is not None
    try:
        items = evaluate_raw(turn.run, turn.plan, node.scope, act, node.expression, turn.now_ms)
        count = len(split_items(items))
        if count > MAP_ITEMS_MAX:
            raise ExpressionError(f"map over {count} items, the limit is {MAP_ITEMS_MAX}", text=node.expression.text)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    turn.emit(MapOpened(node.index, act, turn.run.next_act, items))


def close_map(turn: Turn, act: int, node: PlanNode) -> None:
    """Some item may have ended: end the map, or let further items begin."""
    assert isinstance(node.node, Map)
    plan = turn.plan
    group = turn.run.groups[act * plan.stride + node.index]
    ended = len(group.results) + len(group.errors)
    total = len(group.items)
    if ended == total:
        size_bytes = sum(map(len, group.results.values()))
        if size_bytes > PAYLOAD_BYTES_MAX:
            message = f"the values of the map have {size_bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}"
            raise_fault(turn, act, node, "PayloadTooLarge", f"{message}: pass paths or URLs instead")
            return
        turn.emit(MapDone(node.index, act))
        return
    upto = min(total, ended + node.node.max_parallel)
    first = group.next
    if upto <= first:
        return
    turn.emit(ItemsOpened(node.index, act, upto))
    scope = plan.scopes[node.body]
    if not scope.framed and plan.nodes[scope.start].input.template is None:
        stride = plan.stride
        start = (group.base + first) * stride + scope.start
        turn.ready.extend(range(start, start + (upto - first) * stride, stride))
