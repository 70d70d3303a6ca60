"""Pauses (rule R13): what is recorded while a run is paused takes effect at its resume, in the order in which it came.

Results and the ends of sleeps and waits are booked at once: what they make possible is held (`RunState.held`). Faults,
other timers, and signals stand in that list as marks, so that nothing of them happens before what was recorded earlier,
and nothing that was recorded later happens before them. A signal is taken at once, too, unless what is held could
withdraw what waits for it (`places.may_take`): then it may be for somebody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from wfe.core.advance import advance
from wfe.core.plan import Op
from wfe.core.signals import hand_over
from wfe.core.turn import Turn
from wfe.model.state import DEADLINE, HELD_FAULT, HELD_SIGNAL, HELD_TIMER, RUN_DEADLINE, RUNNING, WAKE

_BOOKED = {WAKE: frozenset({Op.SLEEP}), DEADLINE: frozenset({Op.SIGNAL, Op.APPROVAL})}
"""Nodes whose end by a timer does nothing but what an event of their own says."""


def ends_in_pause(turn: Turn, timer: int) -> bool:
    """Whether a timer ends its node at once though the run is paused, as a result does."""
    run, plan = turn.run, turn.plan
    if timer == RUN_DEADLINE or run.durable is not None:
        return False
    key, kind = divmod(timer, 2)
    index = key % plan.stride
    if kind == DEADLINE and run.heard and run.waits.get(key) in run.heard:
        return False  # a signal was in time
    return index != plan.stride - 1 and key not in run.retrying and plan.nodes[index].op in _BOOKED[kind]


def enable_first(turn: Turn, held: Sequence[int]) -> Sequence[int]:
    """Enable what was held before the first mark; the rest."""
    first = next((number for number, key in enumerate(held) if key <= HELD_FAULT), len(held))
    turn.enabled.extend(held[:first])
    return held[first:]


def take_effect(turn: Turn, marks: Sequence[int], heard: Sequence[str], expire: Callable[[Turn, int], None]) -> None:
    """Advance through what was held, mark by mark."""
    run = turn.run
    faults = [HELD_FAULT - key for key in marks if HELD_SIGNAL < key <= HELD_FAULT]
    signals = Counter(heard)
    channels = iter(heard)
    for key in marks:
        if key > HELD_FAULT:
            turn.enabled.append(key)
            continue
        advance(turn, faults)
        if key > HELD_SIGNAL:
            faults.pop(0)
            advance(turn, faults)  # before a race that is won later in the list counts as won
        elif key == HELD_SIGNAL:
            signals[next(channels)] -= 1
            if run.status == RUNNING and run.signals:
                hand_over(turn, signals)
        elif HELD_TIMER - key in run.timers and run.status == RUNNING:
            expire(turn, HELD_TIMER - key)
    advance(turn)
