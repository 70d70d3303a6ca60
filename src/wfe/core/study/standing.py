"""Where a run stands: which of its nodes are open, have ended, or have not begun, in each of its frames. Pure.

Told by position in the plan that the run executes. A node in an arm that was not taken counts as ended, since nothing
of it will ever begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum

from wfe.core.plan import Plan
from wfe.model.state import HELD_FAULT, RUN_DEADLINE, RunState


class Standing(IntEnum):
    WAITS = 0
    """It has not begun."""
    OPEN = 1
    ENDED = 2


def open_places(run: RunState, plan: Plan) -> dict[int, str]:
    """Place -> what is open there. Places of whole frames are left out."""
    found: dict[int, str] = {}

    def at(keys: Iterable[int], what: str) -> None:
        for key in keys:
            if key % plan.stride != plan.stride - 1:
                found.setdefault(key, what)

    at(run.open, "a task")
    at(run.retrying, "a task that is retried")
    at(run.approvals, "an approval")
    at(run.waits, "a wait for a signal")
    at(run.children, "a sub-workflow")
    at(run.groups, "a map")
    at(run.loops, "a loop")
    at(run.locks, "a lock")
    at((key if key >= 0 else ~key for key in run.held if key > HELD_FAULT), "a node that waits for the run's resume")
    at((timer // 2 for timer in [*run.timers, *run.expired] if timer != RUN_DEADLINE), "a timer")
    at((key for key, _ in run.faults), "a fault")
    for act, frame in run.frames.items():
        at((act * plan.stride + block for block, left in frame.pending.items() if left > 0), "a block")
    at(run.nets, "a net")
    return found


class Standings:
    """The standing of every node of a run, by (activation of its frame, position)."""

    def __init__(self, run: RunState, plan: Plan) -> None:
        self.run, self.plan = run, plan
        self.open = open_places(run, plan)

    def of(self, act: int, index: int) -> Standing:
        """Of a node in a frame of its scope."""
        plan = self.plan
        if act * plan.stride + index in self.open:
            return Standing.OPEN
        node = plan.nodes[index]
        frame = self.run.frames.get(act)
        if frame is None or frame.scope != node.scope:
            return Standing.WAITS
        if node.block != plan.stride - 1:
            around = self.of(act, node.block)
            if around is not Standing.OPEN:
                return around
        left = frame.remaining[index - plan.scopes[node.scope].start]
        return Standing.WAITS if left > 0 else Standing.ENDED

    def frames(self) -> Iterator[tuple[int, int]]:
        """(activation, scope) of every frame that is open."""
        for act, frame in self.run.frames.items():
            yield act, frame.scope
