"""What moves an open net: tokens behind joins become firings; when all is quiet or-joins are tested and nets end."""

from __future__ import annotations

from collections.abc import Sequence

from wfe.core.nets.boundaries import watch_boundaries
from wfe.core.nets.leave import miss
from wfe.core.nets.milestones import fail_net, is_enabled, recheck
from wfe.core.nets.shape import Net, NetNode
from wfe.core.nets.stuck import describe_stranded
from wfe.core.turn import ALL, Turn
from wfe.limits import NET_EVENTS_MAX
from wfe.model.event_nets import FiringHeld, FiringsOpened, JoinFired, NetEnded, RoundReset
from wfe.model.marking import Marking
from wfe.model.state import ENDED


def step(turn: Turn, key: int) -> None:
    """Begin firings of all nodes that have a token behind their join."""
    run, plan = turn.run, turn.plan
    act, block = divmod(key, plan.stride)
    marking = run.nets[key]
    nodes = plan.nets[marking.net].nodes
    if key not in turn.nets:
        turn.touch(key, ALL)  # it has just opened, or the run was paused
    while key in run.nets and marking.joined and run.status not in ENDED:
        if len(turn.events) - turn.first_event > NET_EVENTS_MAX:
            message = f"the net goes round without ever waiting: more than {NET_EVENTS_MAX} events in one turn"
            fail_net(turn, key, "LoopLimit", message)
            return
        batch: list[int] = []
        for index, _ in marking.joined:
            if nodes[index].enabled is not None:
                break
            batch.append(index)
        if not batch:
            first = nodes[marking.joined[0][0]]
            enabled = is_enabled(turn, key, first)
            if enabled is None:
                return
            if not enabled and first.skips:
                if not miss(turn, key, first):
                    return
                continue
            if not enabled:
                turn.emit(FiringHeld(block, act, first.index))
                continue
            batch.append(first.index)
        _open(turn, key, marking, batch)


def _open(turn: Turn, key: int, marking: Marking, batch: list[int]) -> None:
    run, plan = turn.run, turn.plan
    act, block = divmod(key, plan.stride)
    nodes = plan.nets[marking.net].nodes
    base, stride = run.next_act, plan.stride
    turn.emit(FiringsOpened(block, act, base, tuple(batch)))
    joins = 0
    for offset, index in enumerate(batch):
        node = nodes[index]
        joins |= node.watch
        if node.plain:
            turn.ready.append((base + offset) * stride + index)
    turn.touch(key, joins)
    for offset, index in enumerate(batch):
        if nodes[index].boundary and base + offset in marking.firings:
            watch_boundaries(turn, key, nodes[index], base + offset)
    if marking.held:
        recheck(turn, key, tuple({heard for index in batch for heard in nodes[index].heard}))


def wake(turn: Turn, opened: Sequence[int]) -> None:
    """The state comes from the middle of a turn: look at everything that the rest of that turn may have moved.

    ``opened``: firings that had only just begun, so that nobody watched their boundaries yet.
    """
    run, stride = turn.run, turn.plan.stride
    for key, marking in list(run.nets.items()):
        turn.touch(key, ALL)
        turn.enabled.append(~key)
        recheck(turn, key, None)
        nodes = turn.plan.nets[marking.net].nodes
        for firing in list(marking.firings):
            turn.enabled.append(~(firing * stride + stride - 1))
            if firing in opened and firing in marking.firings:
                watch_boundaries(turn, key, nodes[marking.firings[firing]], firing)


def settle(turn: Turn) -> bool:
    """When nothing else in the run can move: or-joins, rounds of n-joins, the ends of nets. Whether anything moved."""
    run = turn.run
    for key, joins in list(turn.nets.items()):
        marking = run.nets.get(key)
        if marking is None:
            del turn.nets[key]
            continue
        net = turn.plan.nets[marking.net]
        if _test_joins(turn, key, net, marking, joins):
            return True
        turn.nets[key] = 0
        if not (marking.firings or marking.joined):
            if _resolve_stalemate(turn, key, net, marking):
                return True
            if not marking.lingering:
                _end(turn, key, marking)
                return True
        del turn.nets[key]
    return False


def _test_joins(turn: Turn, key: int, net: Net, marking: Marking, joins: int) -> bool:
    """R3, for the joins that a change concerns, in order of declaration. Whether one moved."""
    act, block = divmod(key, turn.plan.stride)
    for bit, index in enumerate(net.joins):
        if not joins >> bit & 1:
            continue
        node = net.nodes[index]
        if node.join.mode == "or":
            if index in marking.filled and not _is_awaited(net, marking, bit, node, marking.tokens):
                turn.emit(JoinFired(block, act, index))
                turn.touch(key, node.watch)
                return True
            continue
        round_ = marking.rounds.get(index)
        if round_ is not None and round_.fired and not _is_awaited(net, marking, bit, node, round_.seen):
            turn.emit(RoundReset(block, act, index))
            turn.touch(key, node.watch)
            return True
    return False


def _is_awaited(net: Net, marking: Marking, bit: int, join: NetNode, filled: dict[int, int]) -> bool:
    """Whether some live token can still reach an empty edge into the join, and none of its filled ones."""
    reach = net.reach[bit]
    if any(_keeps_waiting(reach.get(index, 0), join, filled) for index in marking.active):
        return True
    if any(_keeps_waiting(reach.get(index, 0), join, filled) for index, _ in marking.held):
        return True
    return any(
        net.edges[number].dst != join.index and _keeps_waiting(reach.get(net.edges[number].dst, 0), join, filled)
        for number in marking.tokens
    ) or any(
        index != join.index and not round_.fired and _keeps_waiting(reach.get(index, 0), join, filled)
        for index, round_ in marking.rounds.items()
    )


def _keeps_waiting(reachable: int, join: NetNode, filled: dict[int, int]) -> bool:
    reaches_empty = False
    while reachable:
        lowest = reachable & -reachable
        if join.incoming[lowest.bit_length() - 1] in filled:
            return False
        reaches_empty = True
        reachable ^= lowest
    return reaches_empty


def _resolve_stalemate(turn: Turn, key: int, net: Net, marking: Marking) -> bool:
    """Nothing is active, but or-joins wait for each other: the first in order of declaration fires, with a warning."""
    act, block = divmod(key, turn.plan.stride)
    for index in net.joins:
        if index in marking.filled:
            turn.emit(JoinFired(block, act, index, stalemate=True))
            turn.touch(key, net.nodes[index].watch)
            return True
    return False


def _end(turn: Turn, key: int, marking: Marking) -> None:
    """Nothing is active and no token can move (R10): the net has ended, or it is stuck."""
    act, block = divmod(key, turn.plan.stride)
    stranded = describe_stranded(turn.plan, marking)
    if stranded:
        fail_net(turn, key, "stuck", f"nothing can move any more: {'; '.join(stranded)}")
    else:
        turn.emit(NetEnded(block, act))
