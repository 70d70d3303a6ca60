"""Planted bugs of what loops, races, locks, nets, approvals, compensation and maps mean. Part of `mutants`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from msgspec import structs
from planting import always, around, no_match, nothing

from wfe.core import advance, evolve, rounds
from wfe.model import event_kinds as kinds
from wfe.model import state
from wfe.model.event_rounds import RunRestored
from wfe.partition.entry import Entry


def _booked(table: dict[type, Any], event: type, wrong: Callable[..., Any]) -> Any:
    """A patch: ``wrong(original, run, plan, event, enabled)`` instead of how an event is booked."""
    original = table[event]
    return mock.patch.dict(table, {event: lambda *arguments: wrong(original, *arguments)})


def _opened(table: dict[Any, Any], op: Any, wrong: Callable[..., Any]) -> Any:
    original = table[op]
    return mock.patch.dict(table, {op: lambda *arguments: wrong(original, *arguments)})


def _compensates_again(done: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    handler = state.Registered(run.compensating.current, run.inputs[run.compensating.current])
    done(run, plan, event, enabled)
    if run.compensating is not None and event.attempt == 1 and run.seq % 3 == 0:
        run.compensating.todo.append(handler)


def _first_first(opened: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    opened(run, plan, event, enabled)
    run.compensating.todo.reverse()


def _all_withdrawn(began: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    began(run, plan, event, enabled)
    del run.compensating.todo[:1]


def _forgets_what_opens(restored: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    restored(run, plan, event, enabled)
    enabled.clear()


def _attempt_again(begin_anew: Any, point: Any, plan: Any, failed: Any, now_ms: int, **named: Any) -> Any:
    reopen = begin_anew(point, plan, failed, now_ms, **named)
    for key in point.run.open:
        point.run.open[key] -= 1
    return reopen


def _race_goes_on(won: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    kept, timers = dict(run.open), dict(run.timers)
    won(run, plan, event, enabled)
    run.open |= kept
    run.timers = {**run.timers, **timers}


def _last_wins(settle: Any, turn: Any, act: int, node: Any) -> None:
    contenders = [index for index in node.arms[0].entry if index not in turn.run.frames[act].values]
    if not contenders:
        return settle(turn, act, node)
    turn.emit(kinds.RaceWon(node.index, act, contenders[-1]))
    return None


def _count_lost(done: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    done(run, plan, event, enabled)
    loop = run.loops[event.act * plan.stride + event.node]
    if loop.iteration == 2:
        loop.iteration = 1


def _snapshot_without(field: str) -> Callable[..., Any]:
    def wrong(snapshot: Any, entry: Entry) -> Any:
        kept = getattr(entry.run, field)
        setattr(entry.run, field, type(kept)())
        try:
            return snapshot(entry)
        finally:
            setattr(entry.run, field, kept)

    return wrong


def _tokens_lost(snapshot: Any, entry: Entry) -> Any:
    kept = {key: marking.tokens for key, marking in entry.run.nets.items()}
    for marking in entry.run.nets.values():
        marking.tokens = {}
    try:
        return snapshot(entry)
    finally:
        for key, tokens in kept.items():
            entry.run.nets[key].tokens = tokens


def _counter_lost(snapshot: Any, entry: Entry) -> Any:
    kept = {key: loop.iteration for key, loop in entry.run.loops.items()}
    for loop in entry.run.loops.values():
        loop.iteration = min(loop.iteration, 1)
    try:
        return snapshot(entry)
    finally:
        for key, count in kept.items():
            entry.run.loops[key].iteration = count


def _two_hold(grant: Any, turn: Any) -> bool:
    waiting = [key for key, held in turn.run.locks.items() if not held and key not in turn.run.shared_locks]
    for key in waiting:
        act, index = divmod(key, turn.plan.stride)
        turn.emit(kinds.LockGranted(index, act))
    return bool(waiting)


def _lock_to_newest(give: Any, partition: Any, lock: str) -> None:
    queue = partition.record.locks[lock]
    kept = dict(queue)
    queue.clear()
    queue.update(reversed(kept.items()))
    try:
        give(partition, lock)
    finally:
        queue.clear()
        queue.update(kept)


def _assigned_elsewhere(assigned: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    before = run.frames[event.target_act].values.get(event.target)
    assigned(run, plan, event, enabled)
    if before is not None and run.seq % 3 == 0:
        run.frames[event.target_act].values[event.target] = before


def _refusal_forgotten(decided: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    decided(run, plan, structs.replace(event, error=None), enabled)


def _next_case(opened: Any, turn: Any, act: int, node: Any) -> None:
    with mock.patch.object(node, "cases", tuple(reversed(node.cases))):
        opened(turn, act, node)


def _arrives_twice(arrive: Any, game: Any, number: int) -> None:
    arrive(game, number)
    if game.run.seq % 5 == 0:
        arrive(game, number)


def _firing_left(sweep: Any, game: Any, nodes: Any, into: int = -1) -> None:
    sweep(game, nodes[1:], into)


def _any_channel(hand_over: Any, turn: Any) -> None:
    for key, channel in list(turn.run.waits.items()):
        turn.run.waits[key] = channel.partition("\x1f")[0]
    hand_over(turn)


def _leaves_soon(leaves: Any, *arguments: Any) -> bool:
    *_, group = arguments
    return bool(leaves(*arguments)) or len(group.results) > 0


def _one_more_at_once(close: Any, turn: Any, act: int, node: Any) -> None:
    wider = structs.replace(node.node, max_parallel=node.node.max_parallel + 1)
    with mock.patch.object(node, "node", wider):
        close(turn, act, node)


def _grows_less(grown: Any, run: Any, plan: Any, event: Any, enabled: Any) -> None:
    grown(run, plan, event, enabled)
    items = run.groups[event.act * plan.stride + event.node].items
    if not event.closed and len(items) > 1:
        items.pop()


def kind_patches() -> dict[str, Any]:
    from wfe.core import faults, signals
    from wfe.core.nets import boundaries, marking, play
    from wfe.core.nodes import CLOSE, EXPIRE, OPEN, locks, loops, maps, races
    from wfe.core.plan import Op
    from wfe.partition import locks as shared_locks

    book = evolve.EVOLVE
    return {
        "a handler is called twice": _booked(book, kinds.CompensationDone, _compensates_again),
        "handlers are called first first": _booked(book, kinds.CompensationBegan, _first_first),
        "a handler is forgotten when compensation begins": _booked(book, kinds.CompensationBegan, _all_withdrawn),
        "handlers are lost in a checkpoint": around(Entry, "snapshot", _snapshot_without("compensations")),
        "a lost race goes on": _booked(book, kinds.RaceWon, _race_goes_on),
        "what was about to open is lost in a fork": _booked(book, RunRestored, _forgets_what_opens),
        "a run goes on with the attempts that it had": around(rounds, "_begin_anew", _attempt_again),
        "retries are acknowledged and dropped": around(rounds, "retry", nothing),
        "a race has another winner": around(races, "settle_race", _last_wins),
        "the count of a loop is lost": _booked(book, kinds.IterationDone, _count_lost),
        "the count of a loop is lost in a checkpoint": around(Entry, "snapshot", _counter_lost),
        "a loop tests its condition too late": around(loops, "evaluate_truth", always),
        "a net's tokens are lost in a checkpoint": around(Entry, "snapshot", _tokens_lost),
        "an open lock is lost in a checkpoint": around(Entry, "snapshot", _snapshot_without("locks")),
        "two hold one lock": around(advance, "grant_locks", _two_hold),
        "a shared lock is never released": around(faults, "release_shared", nothing),
        "a lock is not released at its end": around(locks, "release_shared", nothing),
        "a shared lock goes to who came last": around(shared_locks, "_give", _lock_to_newest),
        "an assignment is forgotten": _booked(book, kinds.StateAssigned, _assigned_elsewhere),
        "a refusal is no fault": _booked(book, kinds.ApprovalDecided, _refusal_forgotten),
        "approvals do not time out": _opened(EXPIRE, Op.APPROVAL, nothing),
        "a decision takes its last case": _opened(OPEN, Op.DECISION, _next_case),
        "a token arrives twice": around(marking, "arrive", _arrives_twice),
        "a cancelled node goes on": around(marking, "sweep", _firing_left),
        "or-joins do not wait": around(play, "_is_awaited", no_match),
        "a boundary event lets its node go on": around(marking, "_withdraw_firing", nothing),
        "signals ignore their correlation": around(signals, "hand_over", _any_channel),
        "boundary timers are not armed": around(boundaries, "_arm", nothing),
        "a map is left too soon": around(maps, "_leaves", _leaves_soon),
        "a map begins one item too many": _opened(CLOSE, Op.MAP, _one_more_at_once),
        "a map forgets what it grew by": _booked(book, kinds.MapGrown, _grows_less),
        "transient signals are kept": around(signals, "_transient", no_match),
    }
