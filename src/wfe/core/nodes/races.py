"""Races: the first to end wins, the others are withdrawn in the same transition (pattern 16, deferred choice)."""

from __future__ import annotations

from wfe.core.faults import raise_fault, settle_race
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import encode_value, evaluate_truth
from wfe.errors import ExpressionError
from wfe.model.event import NodeDone
from wfe.model.event_kinds import RaceOpened


def open_race(turn: Turn, act: int, node: PlanNode) -> None:
    """Begin all whose ``if`` holds; without any the race ends at once, and nobody has won."""
    contenders: list[int] = []
    for index in node.arms[0].entry:
        contender = turn.plan.nodes[index]
        try:
            if contender.condition is None or evaluate_truth(
                turn.run, turn.plan, contender.scope, act, contender.condition, turn.now_ms
            ):
                contenders.append(index)
        except ExpressionError as error:
            raise_fault(turn, act, contender, "expression", str(error))
            return
    if contenders:
        turn.emit(RaceOpened(node.index, act, tuple(contenders)))
    else:
        turn.emit(NodeDone(node.index, act, encode_value({"winner": None})))


def close_race(turn: Turn, act: int, node: PlanNode) -> None:
    """A contender has ended."""
    settle_race(turn, act, node)
