"""Random workflows go on from any event, as another run or after a failure: they end and leave nothing open."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from support.programs import SIGNALS, programs, tasks
from support.runs import RunDriver, encode
from wfe.core import decide, rounds, skips
from wfe.errors import InvalidInput, RunClosed
from wfe.model.definition import Definition
from wfe.model.event import RunStarted
from wfe.model.ids import mint_run_id
from wfe.model.state import ENDED, FAILED

FORK_ID = mint_run_id(5, 1_000_000, 43)


def forked(origin: RunDriver, event: int) -> RunDriver:
    """Another run that begins after an event of this one."""
    point, at = rounds.fork_point(origin.plan, origin.events, event=event)
    fork = RunDriver(origin.definition, origin.input, tasks(), now_ms=origin.now_ms)
    fork.events, fork.ready, fork.mail = [], [], []
    first = RunStarted(FORK_ID, "w", 1, "hash", point.run.input, fork.now_ms)
    fork.run = decide.start(fork.plan, first)

    def begin(turn) -> None:
        turn.events.append(first)
        rounds.fork(turn, point, origin.run.id, at)

    fork.command(begin)
    return fork


def check_end(run: RunDriver, what: str) -> None:
    """It has ended, nothing of it is open, and its events alone give the same state."""
    state = run.run
    assert state.status in ENDED, f"{what}: {state}"
    left = (state.frames, state.groups, state.open, state.timers, state.waits, state.faults, state.held, state.nets)
    assert not any(left), f"{what}: {left}"
    assert encode(run.replayed()) == encode(state), what


def send_signals(run: RunDriver, number: int) -> None:
    for at in range(number):
        try:
            run.signal(SIGNALS[at % 2], at, f"late-{at}")
        except RunClosed:
            return


@given(programs(), st.integers(1, 6), st.integers(0, 3), st.data())
def test_a_fork_from_any_event_ends(definition: Definition, value: int, signals: int, data: st.DataObject) -> None:
    origin = RunDriver(definition, value, tasks())
    send_signals(origin, signals)
    origin.finish()
    count = len(origin.events)
    for event in sorted(data.draw(st.sets(st.integers(1, count), min_size=1, max_size=12))):
        try:
            fork = forked(origin, event)
        except (InvalidInput, RunClosed):
            continue  # the run has ended by then, or was inside a lock that other runs share
        check_end(fork.finish(), f"fork from event {event} of {count}, {origin.events[event - 1]}")


@given(programs(), st.integers(1, 6), st.integers(0, 3))
def test_a_run_that_failed_may_be_retried_until_it_ends(definition: Definition, value: int, signals: int) -> None:
    run = RunDriver(definition, value, tasks())
    send_signals(run, signals)
    run.finish()
    for _ in range(3):
        if run.run.status != FAILED:
            break
        events = list(run.events)
        try:
            run.command(lambda turn, events=events: rounds.retry(turn, events))
        except RunClosed:
            break  # it has been compensated, or was inside a lock that other runs share
        check_end(run.finish(), f"retry {run.run.round}")


@given(programs(), st.integers(1, 6), st.integers(0, 2), st.integers(0, 2**32))
def test_a_run_whose_nodes_are_skipped_ends(definition: Definition, value: int, signals: int, seed: int) -> None:
    random = Random(seed)
    run = RunDriver(definition, value, tasks())
    send_signals(run, signals)
    for _ in range(100):
        if run.run.status in ENDED:
            break
        node = random.choice(list(run.plan.by_id))
        if random.random() < 0.3:
            with suppress(InvalidInput):  # it is not open now, or several times
                run.command(lambda turn, node=node: skips.skip(turn, node, Raw(encode(1))))
                assert encode(run.replayed()) == encode(run.run), f"skip of {node}"
        else:
            run.step()
    check_end(run.finish(), f"skips by {seed}")
