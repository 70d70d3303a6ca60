"""Random workflows: replay equals live, a restart after every step changes nothing, nothing is left behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.programs import SIGNALS, programs, tasks
from support.runs import RunDriver, encode
from wfe.core import decide
from wfe.errors import RunClosed
from wfe.model.definition import Definition
from wfe.model.state import ENDED

OPERATIONS = ("step", "step", "step", "step", "last", "signal", "lose", "pause", "resume", "stale", "timer", "cancel")


def act(run: RunDriver, operation: str, number: int) -> None:
    """Do something to the run, if it is possible now."""
    try:
        match operation:
            case "step":
                run.step()
            case "last" if run.ready:
                run.ready.append(run.ready.pop(0))
            case "signal":
                run.signal(SIGNALS[number % 2], number, f"event-{number}")
            case "lose" if run.run.open:
                key, attempt = next(iter(run.run.open.items()))
                run.command(lambda t: decide.task_lost(t, key, attempt, spent=number % 2 == 0))
            case "pause" | "resume":
                run.control(operation, f"command-{number}")
            case "cancel" if number % 5 == 0:
                run.control("cancel", f"command-{number}")
            case "stale" if run.run.open:
                key, attempt = next(iter(run.run.open.items()))
                assert not run.command(lambda t: decide.task_result(t, key, attempt + 1, 0, encode(1), None))
            case "timer" if run.run.timers:
                run.fire_next_timer()
    except RunClosed:
        assert run.run.status in ENDED


def finish(run: RunDriver) -> None:
    try:
        run.control("resume", "last-resume")
    except RunClosed:
        return
    run.finish()


def check(run: RunDriver) -> None:
    assert run.run.seq == len(run.events)
    assert encode(run.replayed()) == encode(run.run)


Script = list[tuple[str, int]]
scripts = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 100)), max_size=40)


@given(programs(), st.integers(1, 6), scripts)
def test_replay_equals_live_after_every_command(definition: Definition, value: int, script: Script):
    run = RunDriver(definition, value, tasks())
    for operation, number in script:
        act(run, operation, number)
        check(run)
    finish(run)
    check(run)


@given(programs(), st.integers(1, 6), scripts)
def test_a_restart_after_every_step_equals_no_restart(definition: Definition, value: int, script: Script):
    ends = []
    for restart in (False, True):
        run = RunDriver(definition, value, tasks(), restart=restart)
        for operation, number in script:
            act(run, operation, number)
        finish(run)
        ends.append((encode(run.run), encode(run.events), run.executions))
    assert ends[0] == ends[1]


@given(programs(), st.integers(1, 6), scripts)
def test_every_run_ends_and_leaves_nothing_open(definition: Definition, value: int, script: Script):
    run = RunDriver(definition, value, tasks())
    for operation, number in script:
        act(run, operation, number)
    finish(run)
    state = run.run
    assert state.status in ENDED, state
    left = (state.frames, state.groups, state.open, state.timers, state.waits, state.faults, state.held)
    assert not any(left)
    ended = [event for event in run.events if type(event).__name__ == "RunEnded"]
    assert len(ended) == 1


@given(programs(ends=False), st.integers(1, 6))
def test_each_completion_counts_once(definition: Definition, value: int):
    run = RunDriver(definition, value, tasks()).finish()
    done = [(e.node, e.act) for e in run.events if type(e).__name__ == "TaskDone"]
    assert len(done) == len(set(done))
