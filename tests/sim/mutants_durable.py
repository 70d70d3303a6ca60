"""Planted bugs of durable functions: turns, ends of calls, rounds, cancellation, lost coroutines. Part of `mutants`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from msgspec.msgpack import Decoder
from planting import around, nothing

from wfe.core import decide
from wfe.core.durable import booking, calls, turns
from wfe.core.durable.places import MAIN
from wfe.core.evolve import EVOLVE
from wfe.model import event_durable as ev
from wfe.model.durable import CANCEL, OPEN, DurableCompletion, DurableTurn, TurnAhead
from wfe.model.state import RUNNING
from wfe.shard import durable as shard_durable
from wfe.shard import results
from wfe.shard.durable import Homes
from wfe.worker.durable.instance import Instance

_decode_ahead = Decoder(TurnAhead).decode


def _booked(event: type, wrong: Callable[..., Any]) -> Any:
    original = EVOLVE[event]
    return mock.patch.dict(EVOLVE, {event: lambda *arguments: wrong(original, *arguments)})


def _an_end_is_lost(done: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    done(run, plan, event, enabled)
    if event.act % 5 == 4:
        run.durable.completions.pop()


def _an_end_twice(done: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    done(run, plan, event, enabled)
    if event.act % 5 == 4:
        run.durable.completions.append(run.durable.completions[-1])


def _in_order_of_calls(record: Any, run: Any, plan: Any, now_ms: int, *, partial: bool) -> Any:
    kept = list(run.durable.completions)
    run.durable.completions.sort(key=lambda completion: completion.seq)
    try:
        return record(run, plan, now_ms, partial=partial)
    finally:
        run.durable.completions[:] = kept


def _nothing_new(record: Any, run: Any, plan: Any, now_ms: int, *, partial: bool) -> Any:
    return record(run, plan, now_ms, partial=True)


def _cancelled_calls_stay(taken: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    kept = dict(run.timers)
    taken(run, plan, event, enabled)
    if event.cancels:
        run.timers = {**run.timers, **kept}


def _round_forgets_nothing(began: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    kept = list(run.durable.calls)
    began(run, plan, event, enabled)
    run.durable.calls = [call for call in kept if call.status != OPEN][:1]


def _values_change(ended: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    ended(run, plan, event, enabled)
    completions = run.durable.completions
    if len(completions) > 1 and completions[-2].status == completions[-1].status == 0:
        last, before = completions[-1], completions[-2]
        completions[-1] = DurableCompletion(last.seq, 0, before.value, None, last.at_ms)


def _no_turn_for_what_ended_meanwhile(opens: Any, run: Any, state: Any) -> None:
    if len(state.completions) <= state.taken + 1 or state.attempt % 3:
        opens(run, state)


def _one_more_attempt(delay: Any, policy: Any, failures: int, error: Any, random: Any) -> Any:
    return delay(policy, failures - 1, error, random) if failures > 1 else delay(policy, failures, error, random)


def _cancels_twice(ask: Any, turn: Any) -> bool:
    turn.run.durable.cancelled = False
    return bool(ask(turn))


def _ahead_of_another_end(ahead_of: Any, run: Any, did: Any, now_ms: int) -> Any:
    told = ahead_of(run, did, now_ms)
    return _decode_ahead(did) if told is None and MAIN in run.open else told


def _takes_whatever_is_open(take: Any, turn: Any, told: Any) -> None:
    turn.ready.append(MAIN)
    take(turn, told)


@contextmanager
def _ahead_though_something_came_first() -> Iterator[None]:
    with (
        around(turns, "ahead_of", _ahead_of_another_end),
        around(turns, "_take_ahead", _takes_whatever_is_open),
    ):
        yield


def _ahead_of_a_stale_attempt(
    task_result: Any, turn: Any, key: int, attempt: int, status: int, value: Any, error: Any, previous: Any, did: Any
) -> bool:
    counted = task_result(turn, key, attempt, status, value, error, previous, did)
    run = turn.run
    if not counted and key and run.durable is not None and run.status == RUNNING and bytes(did) != b"\xc0":
        told, state = _decode_ahead(did), run.durable
        made = [command for command in told.turn.commands if command.kind < CANCEL]
        for seq, command in enumerate(made, len(state.calls)):
            command.seq = seq
        done = turns._checked(turn, DurableTurn(made, state.taken))
        turns._take(turn, state.attempt + 1, done, told.status, told.value, told.error)
    return bool(counted)


@contextmanager
def _ahead_of_stale_attempts() -> Iterator[None]:
    with (
        around(decide, "task_result", _ahead_of_a_stale_attempt),
        around(results, "what_it_did", lambda said, entry, key, result, worker: result.turn),
    ):
        yield


@contextmanager
def _coroutines_stay_where_they_went() -> Iterator[None]:
    """The shard does not mind that a turn ahead was dropped, and the worker goes on with the coroutine it has."""
    with (
        around(Homes, "forget", nothing),
        around(Instance, "fits", lambda fits, live, record, had: record.partial and record.round == live.round),
    ):
        yield


def durable_patches() -> dict[str, Any]:
    """By name: each plants one bug."""
    return {
        "an end of a call is lost": _booked(ev.CallEnded, _an_end_is_lost),
        "an end of a call counts twice": _booked(ev.CallEnded, _an_end_twice),
        "a re-run has the ends of calls in another order": around(shard_durable, "record_of", _in_order_of_calls),
        "a turn always has only what is new": around(shard_durable, "record_of", _nothing_new),
        "timers of calls that were given up stay": _booked(ev.TurnTaken, _cancelled_calls_stay),
        "a next round begins with an old call": _booked(ev.RoundContinued, _round_forgets_nothing),
        "a call ends with the value of another one": _booked(ev.CallEnded, _values_change),
        "what ended during a turn opens none": around(booking, "_open_next_turn", _no_turn_for_what_ended_meanwhile),
        "a called task has one attempt too many": around(calls, "retry_delay_ms", _one_more_attempt),
        "a function is told twice of its cancellation": around(turns, "ask_cancel", _cancels_twice),
        "a turn ahead counts though something else came first": _ahead_though_something_came_first(),
        "a turn ahead counts with a stale attempt of its task": _ahead_of_stale_attempts(),
        "a coroutine is kept whose turn ahead was dropped": _coroutines_stay_where_they_went(),
    }
