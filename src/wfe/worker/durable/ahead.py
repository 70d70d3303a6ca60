"""Functions that are live in this worker, and when one may go ahead: on the result of a task that ran here, before
the shard has recorded it (`core.durable.ahead` says when that counts).

What a function does ahead is lost when anything else is recorded first, and costs a re-run then. So it goes ahead only
while nothing else is likely to: it awaits few calls, and each of them is a task that this worker has, a timer or a
signal. While the end of a call is on its way that the function has not had, it waits for the shard's turn.
"""

from __future__ import annotations

from msgspec import Raw

from wfe.wire.durable import (
    CALL_APPROVAL,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_TASK,
    NONDETERMINISTIC,
    DurableRecord,
    DurableTurn,
    TurnAhead,
)
from wfe.worker.durable.instance import Instance
from wfe.worker.durable.outcomes import Answer

AWAITED_MAX = 8
_QUIET = frozenset((CALL_SLEEP, CALL_SIGNAL, CALL_APPROVAL))
"""Calls whose ends are rare beside those of tasks."""


class Live:
    """A function that is kept between its turns. ``since_s``: the loop's time of its last turn; ``attempt``: of that.

    ``here``: numbers of called tasks that this worker has; ``left``: of those whose results left, and the function did
    not have them.
    """

    __slots__ = ("_base", "_clock_ms", "_clock_s", "attempt", "here", "instance", "left", "since_s")

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.since_s = 0.0
        self.attempt = 0
        self.here: set[int] = set()
        self.left: set[int] = set()
        self._base = 0
        self._clock_ms, self._clock_s = 0, 0.0

    def turn(self, attempt: int, record: DurableRecord, now_s: float) -> None:
        """It has had a turn from the shard, whose clock it is told thereby."""
        self.attempt, self._base = attempt, record.base
        self._clock_ms, self._clock_s = record.now_ms, now_s
        if self.left:
            self.left.intersection_update(self.instance.awaited)

    def took(self, activation: int) -> None:
        """This worker has a task that the function called."""
        seq = activation - self._base
        self.here.add(seq)
        self.left.discard(seq)

    def ended(self, activation: int) -> int:
        """A task that this worker had is over; the number of its call, -1 if the function does not wait for it."""
        seq = activation - self._base
        self.here.discard(seq)
        return seq if seq in self.instance.awaited else -1

    def may_go(self, seq: int) -> bool:
        """Whether the end of this call is probably the next thing that is recorded."""
        awaited = self.instance.awaited
        if self.left or len(awaited) > AWAITED_MAX:
            return False
        here, kind_of = self.here, self.instance.kind_of
        for other in awaited:
            if other != seq and not (other in here if (kind := kind_of(other)) == CALL_TASK else kind in _QUIET):
                return False
        return True

    def go(self, seq: int, value: Raw, now_s: float) -> tuple[TurnAhead, Answer] | None:
        """Runs the function on; None when it cannot be, and is to be let go."""
        instance = self.instance
        at_ms = max(self._clock_ms + int((now_s - self._clock_s) * 1_000), instance.now_ms)
        made, number = instance.made, instance.round
        answer = instance.go_ahead(seq, value, at_ms)
        if answer.status == NONDETERMINISTIC:
            return None
        told = TurnAhead(
            self.attempt, made, at_ms, answer.status, DurableTurn(answer.commands, answer.taken), answer.value,
            answer.error, number,
        )  # fmt: skip
        self.attempt += 1
        return told, answer
