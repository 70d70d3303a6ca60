"""Boundary events: a time that passes or a signal that comes while a firing is active.

A firing's timers count from its start; one at a time is armed, at the place of its frame. A signal that nothing took
yet is taken by the first firing that listens to it; one that came before the firing began is taken at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from wfe.core.faults import withdrawing
from wfe.core.nets.milestones import recheck
from wfe.core.nets.shape import NetNode
from wfe.core.turn import ALL, Turn
from wfe.model.event_nets import BoundaryArmed, BoundaryReached
from wfe.model.state import DEADLINE


def watch_boundaries(turn: Turn, key: int, node: NetNode, firing: int) -> None:
    """A firing has begun: its first timer counts, and signals that wait for somebody are heard."""
    if node.timers:
        first = node.timers[0]
        _arm(turn, key, firing, first, turn.now_ms + (node.boundary[first].after_ms or 0))
    for number, boundary in enumerate(node.boundary):
        while boundary.signal in turn.run.signals and firing in turn.run.nets[key].firings:
            _reach(turn, key, node, firing, number, taken=True)


def _arm(turn: Turn, key: int, firing: int, boundary: int, due_ms: int) -> None:
    act, block = divmod(key, turn.plan.stride)
    turn.emit(BoundaryArmed(block, act, firing, boundary, due_ms))
    turn.arm(due_ms, (firing * turn.plan.stride + turn.plan.stride - 1) * 2 + DEADLINE)


def boundary_due(turn: Turn, firing: int, due_ms: int) -> None:
    """The armed timer of a firing has fired; the next one counts from the same start."""
    run, plan = turn.run, turn.plan
    key = run.frames[firing].group
    marking = run.nets[key]
    node = plan.nets[marking.net].nodes[marking.firings[firing]]
    reached = marking.boundaries[firing]
    _reach(turn, key, node, firing, reached, taken=False)
    later = node.timers[node.timers.index(reached) + 1 :]
    if later and firing in marking.firings:
        after_ms = node.boundary[reached].after_ms or 0
        _arm(turn, key, firing, later[0], due_ms + (node.boundary[later[0]].after_ms or 0) - after_ms)


def hear(turn: Turn, later: Mapping[str, int]) -> None:
    """Give buffered signals to firings that listen to them, oldest firing first; ``later``: see `signals.hand_over`."""
    run, plan = turn.run, turn.plan
    for key in list(run.nets):
        marking = run.nets.get(key)
        if marking is None:
            continue
        net = plan.nets[marking.net]
        for signal, listeners in net.listeners.items():
            if signal not in run.signals or not any(index in marking.active for index in listeners):
                continue
            for firing, index in list(marking.firings.items()):
                node = net.nodes[index]
                for number, boundary in enumerate(node.boundary):
                    while boundary.signal == signal and signal in run.signals and firing in marking.firings:
                        if len(run.signals[signal]) <= later.get(signal, 0):
                            break
                        _reach(turn, key, node, firing, number, taken=True)


def _reach(turn: Turn, key: int, node: NetNode, firing: int, boundary: int, *, taken: bool) -> None:
    act, block = divmod(key, turn.plan.stride)
    edges = node.ports.get(node.boundary[boundary].port, ())
    withdrawing(turn, BoundaryReached(block, act, firing, boundary, taken, edges))
    turn.touch(key, ALL)
    recheck(turn, key, None)
