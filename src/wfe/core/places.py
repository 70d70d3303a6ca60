"""What evolve does to a run's places: frames begin, nodes complete, what is withdrawn disappears. It writes, too.

Which values become blobs (`BLOB_BYTES_MIN`) and which maps and loops are paged (`MAP_PAGE_ITEMS`) is decided here,
while an event is booked, and stands in no event. So both numbers belong to the format of log and stores: with others a
log would replay to other states than those that its snapshots and later events were made from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from wfe.core.groups import length_of, number_in, page_range, total_of
from wfe.core.plan import Arm, Op, Plan, PlanNode
from wfe.core.values import decode_items, encode, split_items
from wfe.limits import BLOB_BYTES_MIN, MAP_PAGE_ITEMS
from wfe.model.blob import compact, name_of, ref_to, whole
from wfe.model.event import MapOpened
from wfe.model.marking import Marking
from wfe.model.policy import ErrorInfo
from wfe.model.state import (
    DEADLINE,
    HELD_FAULT,
    PAUSED,
    RUN_DEADLINE,
    WAKE,
    Frame,
    Group,
    LoopState,
    RunState,
)
from wfe.model.tables import Items, Table, add, items_of, put

Enabled = list[int]
_WITHDRAW_NOTHING = frozenset({Op.TASK, Op.SLEEP, Op.SIGNAL, Op.APPROVAL, Op.WORKFLOW, Op.START})
"""Nodes that open, and then only wait."""
Evolve = Callable[[RunState, Plan, Any, Enabled], None]
"""Books one type of event, see `evolve`."""


def new_frame(plan: Plan, scope: int, parent: int, group: int, index: int) -> Frame:
    shape = plan.scopes[scope]
    return Frame(scope, parent, group, index, shape.remaining.copy(), {plan.stride - 1: shape.arm.pending}, {})


def enter(run: RunState, plan: Plan, act: int, block: int, arm: Arm, enabled: Enabled) -> None:
    """The nodes of a block (or of a frame) begin; a block without any may close at once, and a net may begin."""
    base = act * plan.stride
    if arm.net >= 0:
        marking = Marking(arm.net, joined=[(node, -1) for node in plan.nets[arm.net].entry])
        run.nets = put(run.nets, base + block, marking)
    enabled.extend(base + node for node in arm.entry)
    if not arm.pending:
        enabled.append(~(base + block))


def disarm(run: RunState, key: int) -> None:
    """A place waits for no time any more, nor has a timer that fired while the run is paused anything to say of it."""
    run.timers.pop(key * 2 + WAKE, None)
    run.timers.pop(key * 2 + DEADLINE, None)
    if run.expired:
        run.expired = items_of([timer for timer in run.expired if timer // 2 != key])


def complete(run: RunState, plan: Plan, act: int, node: int, value: Raw, enabled: Enabled) -> None:
    """A node has ended with a value: count down what waits for it."""
    place = plan.nodes[node]
    scope = plan.scopes[place.scope]
    stride = plan.stride
    if not scope.framed:
        home = run.homes.pop(act, None) if run.homes else None
        holder = scope.holder if home is None else home
        group = run.groups[holder]
        put_result(run, group, act - group.base, value)
        if may_move(plan.nodes[holder % stride], group):
            enabled.append(~holder)
        return
    frame = run.frames[act]
    if place.keep:
        frame.values[node] = value.copy() if len(value) < BLOB_BYTES_MIN else keep(run, value)
    if place.last:
        left = frame.pending[place.block] - 1
        if left >= 0:
            frame.pending[place.block] = left
            if left == 0:
                enabled.append(~(act * stride + place.block))
        return  # below zero: a race that another contender has won already
    remaining = frame.remaining
    start = scope.start
    for successor in place.successors:
        left = remaining[successor - start] - 1
        remaining[successor - start] = left
        if left == 0:
            enabled.append(act * stride + successor)


def may_move(node: PlanNode, group: Group) -> bool:
    """Whether the end of an item can matter to its map by now: for most of many items, it does not."""
    total = group.count or len(group.items)
    return group.next < total or group.done + len(group.results) + len(group.errors) >= total or node.watched


def may_take(run: RunState, plan: Plan) -> bool:
    """Whether a signal in a pause may be taken at once: nothing that is held can withdraw what waits for it."""
    nodes, stride = plan.nodes, plan.stride
    return not run.deferred and all(key >= 0 and nodes[key % stride].op in _WITHDRAW_NOTHING for key in run.held)


def keep(run: RunState, value: Raw) -> Raw:
    """A value for the state: a copy, or a reference when it is large, whose content is then kept once as a blob."""
    if len(value) < BLOB_BYTES_MIN:
        return value.copy()

    def stored(name: bytes, data: Raw) -> bool:
        if name not in run.blobs:
            _add_blob(run, name, Raw(bytes(data)))
        return True

    return compact(value, stored)


def keep_items(run: RunState, items: Raw) -> list[Raw]:
    """The elements of an encoded array, for the state."""
    found = split_items(whole(items, run.blobs))
    return found if len(items) < BLOB_BYTES_MIN and not run.blobs else [keep(run, item) for item in found]


def keep_page(run: RunState, items: list[Raw]) -> Raw:
    """A page of a map: a blob whatever its size, so that it is no part of any snapshot."""
    data = encode(items)
    name = name_of(data)
    if name not in run.blobs:
        _add_blob(run, name, Raw(data))
    return ref_to(name)


def _add_blob(run: RunState, name: bytes, data: Raw) -> None:
    if not run.blobs:
        run.blobs = {}  # not the one that all runs without blobs share
    run.blobs[name] = data


def new_group(run: RunState, event: MapOpened) -> Group:
    """The group of a map that begins, paged when it has many items."""
    number = number_in(event.items)
    if number is not None:
        return Group(event.base, [], count=number)
    items = whole(event.items, run.blobs)
    count = length_of(items) or 0
    if count <= MAP_PAGE_ITEMS or event.reserved:
        return Group(event.base, keep_items(run, items))
    return Group(event.base, [], count=count, pages=_pages_of(run, items))


def new_loop(run: RunState, items: Raw) -> LoopState:
    """A loop that begins, over an encoded list or (null) over none; its items are paged as those of a map."""
    items = whole(items, run.blobs)
    count = length_of(items)
    if count is None:
        return LoopState()
    if count <= MAP_PAGE_ITEMS:
        return LoopState(items=keep_items(run, items))
    return LoopState(count=count, pages=_pages_of(run, items))


def _pages_of(run: RunState, items: Raw) -> list[Raw]:
    found = decode_items(items)
    pages = (found[first : first + MAP_PAGE_ITEMS] for first in range(0, len(found), MAP_PAGE_ITEMS))
    return [
        keep_page(run, [item if len(item) < BLOB_BYTES_MIN else keep(run, item) for item in page]) for page in pages
    ]


def put_result(run: RunState, group: Group, index: int, value: Raw) -> None:
    """An item has ended with a value."""
    group.results[index] = value.copy() if len(value) < BLOB_BYTES_MIN else keep(run, value)
    if group.count:
        collect(run, group, index)


def collect(run: RunState, group: Group, index: int) -> None:
    """An item of a paged map has ended: when it is the last of its page, the page's results are put together."""
    number, waiting = index // MAP_PAGE_ITEMS, group.waiting
    left = waiting[number] - 1 if number in waiting else len(page_range(group, number)) - 1
    if left:
        waiting[number] = left
        return
    waiting.pop(number, None)
    page = page_range(group, number)
    values = [group.results.pop(inside) for inside in page if inside in group.results]
    group.done += len(values)
    if not group.left:
        group.collected[number] = keep_page(run, values)


def forget(run: RunState, key: int) -> None:
    """Drop what a place holds besides its open attempt."""
    if run.inputs:
        run.inputs.pop(key, None)
    if run.failures:
        run.failures.pop(key, None)
    if run.losses:
        run.losses.pop(key, None)
    if run.previous:
        run.previous.pop(key, None)
    if run.handed_out:
        run.handed_out.pop(key, None)


def withdraw(run: RunState, plan: Plan, act: int, first: int, stop: int) -> None:
    """Remove everything that is open in nodes ``first`` to ``stop`` (exclusive) of a frame, and in frames inside
    them."""
    stride = plan.stride
    within = _activations_inside(run, plan, act, first, stop)
    handler = -1 if run.compensating is None else run.compensating.current

    def inside(key: int) -> bool:
        if key == handler:  # it is the run's, not the block's that registered it
            return False
        key_act, node = divmod(key, stride)
        return first <= node < stop if key_act == act else key_act in within

    tables: tuple[dict[int, Any] | Table[int, Any], ...] = (
        run.open, run.inputs, run.failures, run.losses, run.retrying, run.previous, run.waits, run.children,
        run.loops, run.approvals, run.locks, run.shared_locks, run.handed_out, run.nets,
    )  # fmt: skip
    for table in tables:
        for key in [k for k in table if inside(k)]:
            del table[key]
    for timer in [t for t in run.timers if t != RUN_DEADLINE and inside(t // 2)]:
        del run.timers[timer]
    if run.faults:
        run.faults = items_of([fault for fault in run.faults if not inside(fault[0])])
    if run.held:
        run.held[:] = [key for key in run.held if not inside(key if key >= 0 else ~key)]
    if run.expired:
        run.expired = items_of([t for t in run.expired if t == RUN_DEADLINE or not inside(t // 2)])
    for key in [k for k in run.groups if inside(k)]:
        del run.groups[key]
    for key_act in [a for a in run.homes if a in within]:
        del run.homes[key_act]
    for key_act in [a for a in run.frames if a in within]:
        del run.frames[key_act]
    if run.compensating is not None:
        _leave_compensation(run, inside)
    frame = run.frames.get(act)
    if frame is not None:
        for block in [b for b in frame.pending if first <= b < stop and b != stride - 1]:
            del frame.pending[block]


def _leave_compensation(run: RunState, inside: Callable[[int], bool]) -> None:
    """Withdrawn Compensate nodes wait no more; when none is left, what they had not come to stays registered."""
    compensating = run.compensating
    assert compensating is not None
    if compensating.status or not compensating.places:
        return
    compensating.places = [key for key in compensating.places if not inside(key)]
    if not compensating.places:
        run.compensations = items_of([*compensating.todo, *run.compensations])
        compensating.todo = []


class _Activations:
    """A set of activations: single ones and ranges."""

    __slots__ = ("ranges", "single")

    def __init__(self) -> None:
        self.single: set[int] = set()
        self.ranges: list[tuple[int, int]] = []

    def __contains__(self, act: int) -> bool:
        return act in self.single or any(low <= act < high for low, high in self.ranges)


def _activations_inside(run: RunState, plan: Plan, act: int, first: int, stop: int) -> _Activations:
    """Activations that belong to the given nodes of a frame: items of maps, iterations, firings, and those in them."""
    found = _Activations()

    def inside(key: int) -> bool:
        key_act, node = divmod(key, plan.stride)
        return first <= node < stop if key_act == act else key_act in found

    groups, frames = set(run.groups), dict(run.frames)
    growing = True
    while growing:
        growing = False
        for key in [k for k in groups if inside(k)]:
            groups.discard(key)
            group = run.groups[key]
            found.ranges.append((group.base, group.base + total_of(group)))
            growing = True
        for key_act in [a for a, frame in frames.items() if frame.group >= 0 and inside(frame.group)]:
            del frames[key_act]
            if key_act not in found:
                found.single.add(key_act)
                growing = True
    return found


def fail(run: RunState, key: int, error: ErrorInfo, enabled: Enabled) -> None:
    """A place has failed; in a pause it is marked what had been recorded by then (``enabled`` is what is held)."""
    run.faults = add(run.faults, (key, error))
    if run.status == PAUSED:
        enabled.append(HELD_FAULT - key)


def clear_open(run: RunState) -> None:
    """Withdraw everything: no place of the run is open any more, and nothing waits to happen."""
    tables: tuple[dict[int, Any] | list[Any] | Table[int, Any] | Items[Any], ...] = (
        run.frames, run.groups, run.homes, run.open, run.inputs, run.failures, run.losses, run.retrying, run.previous,
        run.timers, run.waits, run.children, run.faults, run.held, run.expired, run.loops, run.approvals, run.locks,
        run.shared_locks, run.handed_out, run.nets, run.heard,
    )  # fmt: skip
    for table in tables:
        if table:
            table.clear()


def drop_enabled(plan: Plan, enabled: Enabled, act: int, first: int, stop: int) -> None:
    """Forget what was enabled inside withdrawn nodes (frames inside them are gone, see `advance`)."""
    base = act * plan.stride
    enabled[:] = [key for key in enabled if not base + first <= (key if key >= 0 else ~key) < base + stop]
