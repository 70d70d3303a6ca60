"""Turns that a worker ran ahead: on the result of a task of its own, before that was recorded. Pure, reads only.

The worker that has a function's coroutine and ran the task that it waits for lets it go on at once, and sends what it
did behind the task's result: one message and one commit for a step. Nobody knows there what else is recorded meanwhile,
so a turn ahead counts only when the function would have been given exactly that: this end of a call and nothing else
since the turn before. In every other case it is dropped, and an ordinary turn tells the function what is recorded.
"""

from __future__ import annotations

from msgspec import Raw
from msgspec.msgpack import Decoder

from wfe.core.durable.places import MAIN, state_of
from wfe.model.durable import TurnAhead
from wfe.model.malformed import MALFORMED
from wfe.model.state import RUNNING, RunState

_decode = Decoder(TurnAhead).decode


def ahead_of(run: RunState, did: Raw, now_ms: int) -> TurnAhead | None:
    """The turn that came with a task's result, if it goes on from where the record stands."""
    try:
        told = _decode(did)
    except MALFORMED:
        return None
    return told if _follows(run, told, now_ms) else None


def _follows(run: RunState, told: TurnAhead, now_ms: int) -> bool:
    """Whether the end of this task, recorded next, is all that the function has not had (no turn is open), and whether
    it stood where the record stands. What it took for the time of that end must be possible."""
    state = state_of(run)
    had = len(state.completions)
    since_ms = state.completions[-1].at_ms if had else state.began_ms
    return (
        run.status == RUNNING
        and MAIN not in run.open
        and told.attempt == state.attempt
        and told.round == state.round
        and told.turn.taken == had + 1
        and told.made == len(state.calls)
        and since_ms <= told.at_ms <= now_ms
    )
