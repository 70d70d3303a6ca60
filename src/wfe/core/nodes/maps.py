"""Map: one activation of the body per item (patterns 12 to 15, 26, 27, 34 to 36), a bounded number at once."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from wfe.core.expressions import Lookup
from wfe.core.faults import raise_fault, withdrawing
from wfe.core.groups import done_of, length_of, number_in, total_of, values_bytes
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import decode, encode_value, evaluate_raw, lookup_for, truth
from wfe.errors import ExpressionError, InvalidInput
from wfe.limits import MAP_GROWN_MAX, MAP_ITEMS_MAX, MAP_PAGE_ITEMS, MAP_PARALLEL_MAX, PAYLOAD_BYTES_MAX
from wfe.model.blob import Blobs, whole
from wfe.model.definition import Map
from wfe.model.event import ItemsOpened, MapDone, MapOpened
from wfe.model.event_kinds import MapEmptied, MapGrown, MapLeft
from wfe.model.state import Group


def open_map(turn: Turn, act: int, node: PlanNode) -> None:
    """Evaluate the items; the window over them opens when the group closes for the first time (`close_map`)."""
    definition = node.node
    assert isinstance(definition, Map)
    assert node.expression is not None
    try:
        items = evaluate_raw(turn.run, turn.plan, node.scope, act, node.expression, turn.now_ms)
        items = _checked(items, turn.run.blobs, grows=definition.grow is not None)
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    reserved = MAP_GROWN_MAX if definition.grow is not None else 0
    turn.emit(MapOpened(node.index, act, turn.run.next_act, items, reserved))
    while definition.grow in turn.run.signals and act * turn.plan.stride + node.index in turn.run.waits:
        grow_map(turn, act, node)


def _checked(items: Raw, blobs: Blobs, *, grows: bool) -> Raw:
    """The items: a list, or a whole number, which means that many: 0 and up. Of many, only the number is kept."""
    number = number_in(items)
    count = length_of(whole(items, blobs)) if number is None else number
    if count is None:
        raise ExpressionError("a list of items is wanted")
    if count < 0:
        raise ExpressionError(f"map over {count} items")
    most = MAP_GROWN_MAX if grows else MAP_ITEMS_MAX
    if count > most:
        raise ExpressionError(f"map over {count} items, the limit is {most}")
    paged = count > MAP_PAGE_ITEMS and not grows
    return items if number is None or paged else encode_value(list(range(count)))


def close_map(turn: Turn, act: int, node: PlanNode) -> None:
    """Some item may have ended: end the map, leave it early, or let further items begin."""
    definition = node.node
    assert isinstance(definition, Map)
    plan = turn.plan
    group = turn.run.groups[act * plan.stride + node.index]
    ended = done_of(group) + len(group.errors)
    total = total_of(group)
    complete = ended == total and (definition.grow is None or group.closed)
    if complete or (node.watched and not group.left and _leaves(turn, act, node, group)):
        faults = len(turn.run.faults)  # those of a pause that are met only later
        _end(turn, act, node, group, complete=complete)
        if complete or definition.rest == "cancel" or len(turn.run.faults) > faults:
            return
        if ended == total:  # it could have grown
            turn.emit(MapEmptied(node.index, act))
            return
    # Now and then, which costs next to nothing: results that are no value together are not gathered to the end.
    if not ended & (ended - 1) and not group.left and _too_large(turn, act, node, group):
        return
    upto = min(total, ended + min(definition.max_parallel, MAP_PARALLEL_MAX))
    first = group.next
    if upto <= first:
        return
    turn.emit(ItemsOpened(node.index, act, upto))
    scope = plan.scopes[node.body]
    if not scope.framed and plan.nodes[scope.start].input.template is None:
        stride = plan.stride
        start = (group.base + first) * stride + scope.start
        turn.ready.extend(range(start, start + (upto - first) * stride, stride))


def _leaves(turn: Turn, act: int, node: PlanNode, group: Group) -> bool:
    """Whether enough items have ended (patterns 34 to 36)."""
    definition = node.node
    assert isinstance(definition, Map)
    done, failed = done_of(group), len(group.errors)
    if definition.complete_after is not None and done + failed >= definition.complete_after:
        return True
    condition = node.parts.get("complete_when")
    if condition is None:
        return False
    counts = {"done": done, "failed": failed, "active": group.next - done - failed, "total": total_of(group)}
    around = lookup_for(turn.run, turn.plan, node.scope, act, turn.now_ms)
    try:
        return truth(condition.evaluate(_counting(counts, around)), definition.complete_when or "")
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return False


def _counting(counts: dict[str, int], around: Lookup) -> Lookup:
    def lookup(name: str) -> Any:
        return counts[name] if name in counts else around(name)

    return lookup


def _end(turn: Turn, act: int, node: PlanNode, group: Group, *, complete: bool) -> None:
    """The map has its value, or its last unheard item has ended."""
    if group.left:
        turn.emit(MapEmptied(node.index, act))
        return
    if _too_large(turn, act, node, group):
        return
    if complete:
        turn.emit(MapDone(node.index, act))
    else:
        withdrawing(turn, MapLeft(node.index, act))


def _too_large(turn: Turn, act: int, node: PlanNode, group: Group) -> bool:
    """Whether the results so far are no value together: then it is a fault."""
    size_bytes = values_bytes(group, turn.run.blobs)
    if size_bytes <= PAYLOAD_BYTES_MAX:
        return False
    message = f"the values of the map have {size_bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}"
    raise_fault(turn, act, node, "PayloadTooLarge", f"{message}: pass paths or URLs instead")
    return True


def grow_map(turn: Turn, act: int, node: PlanNode) -> None:
    """The oldest signal brings further items, or says that there will be none (pattern 15)."""
    definition = node.node
    assert isinstance(definition, Map)
    run = turn.run
    _, payload = run.signals[definition.grow or ""][0]
    brought = decode(whole(payload, run.blobs))
    turn.emit(MapGrown(node.index, act, brought is None))
    count = len(run.groups[act * turn.plan.stride + node.index].items)
    if count > MAP_GROWN_MAX:
        raise_fault(turn, act, node, "expression", f"map over {count} items, the limit is {MAP_GROWN_MAX}")


def check_growth(node: Map, payload: Raw) -> None:
    """InvalidInput when a signal brings neither items nor the end of them."""
    brought = decode(payload)
    if not (brought is None or isinstance(brought, list)):
        raise InvalidInput(f"signal {node.grow!r} brings a list of further items, or null when there will be none")
