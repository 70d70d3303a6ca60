"""Retry, fork and skip of durable functions, their worker played by hand."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.durable import (
    DurableDriver,
    approval,
    child,
    continue_with,
    decode,
    durable,
    encode,
    raw,
    signal,
    sleep,
    start,
    task,
)
from wfe.core import decide, rounds, skips
from wfe.core.durable.places import MAIN, state_of
from wfe.core.turn import Turn
from wfe.errors import InvalidInput
from wfe.model.durable import DONE, FAILED
from wfe.model.event import RunStarted
from wfe.model.ids import mint_run_id
from wfe.model.mail import ChildControl, ChildStart
from wfe.model.policy import ErrorInfo


@pytest.fixture(params=[False, True], ids=["live", "restarted"])
def driver(request: pytest.FixtureRequest) -> DurableDriver:
    return DurableDriver(durable("order"), input={"id": 7}, restart=request.param)


def retry(driver: DurableDriver) -> None:
    driver.ready.clear()
    driver.command(lambda t: rounds.retry(t, list(driver.events)))
    assert encode(driver.replayed()) == encode(driver.run)


def fork(driver: DurableDriver, *, node: str = "", event: int = 0, change: tuple[str, object] | None = None) -> Any:
    """A fork of the run; its state, which its own events give again."""
    point, at = rounds.fork_point(driver.plan, driver.events, node=node, event=event)
    if change is not None:
        rounds.set_value(driver.plan, point.run, *change)
    run_id = mint_run_id(3, driver.now_ms, 99)
    started = RunStarted(run_id, "agent", 1, "hash", point.run.input, driver.now_ms)
    begun = decide.start(driver.plan, started)
    turn = Turn(begun, driver.plan, driver.now_ms, 32, lambda: 0.5, [started])
    rounds.fork(turn, point, driver.run.id, at)
    driver.mail = turn.mail
    driver.ready = turn.ready
    again = decide.start(driver.plan, started)
    for found in turn.events[1:]:
        rounds.book(again, driver.plan, found, [])
    assert encode(again) == encode(turn.run)
    return turn.run


def error_of_call(kind: str = "ValueError", message: str = "no") -> ErrorInfo:
    return ErrorInfo(kind, message, "charge", 1, types=(kind,))


def test_a_retry_makes_the_call_anew_whose_error_failed_the_run(driver: DurableDriver) -> None:
    driver.turn(task(0, "look"), task(1, "charge"))
    driver.end(0, "seen")
    driver.turn()
    driver.break_(1)
    driver.turn(task(2, "tell"), status=1, error=error_of_call())
    assert driver.run.status == "failed"
    retry(driver)
    assert driver.run.status == "running"
    assert driver.run.round == 1
    assert driver.run.open == {driver.key(1): 2}
    assert driver.ready == [driver.key(1)]
    assert [call.name for call in state_of(driver.run).calls] == ["look", "charge"]
    driver.end(1, "receipt")
    assert driver.given == [(1, DONE, "receipt")]
    driver.turn(status=0, value="fine")
    assert driver.run.status == "completed"


def test_what_else_ended_stays_ended_and_signals_stay(driver: DurableDriver) -> None:
    driver.turn(task(0, "charge"), task(1, "pack"))
    driver.break_(0)
    driver.end(1, "packed")
    driver.command(lambda t: decide.signal(t, "go", raw(1), "e1"))
    driver.turn(status=1, error=error_of_call())
    retry(driver)
    assert driver.given == [(1, DONE, "packed")]
    assert list(driver.run.signals) == ["go"]
    driver.end(0, "receipt")
    assert [entry[0] for entry in driver.given] == [1, 0]


def test_a_function_that_failed_by_itself_is_run_again_from_what_was_recorded(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0, 1)
    driver.turn(task(1), status=1, error=ErrorInfo("TypeError", "a bug", types=("TypeError",)))
    retry(driver)
    assert driver.run.open == {MAIN: 4}
    assert driver.given == [(0, DONE, 1)]
    assert len(state_of(driver.run).calls) == 1
    driver.turn(status=0, value="mended")
    assert driver.run.status == "completed"


def test_a_turn_of_before_the_retry_counts_for_nothing(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0, 1)
    driver.turn(status=1, error=ErrorInfo("TypeError", "a bug"))
    retry(driver)
    for attempt in (1, 2, 3):
        assert not driver.command(lambda t, a=attempt: decide.task_result(t, MAIN, a, 0, raw(1), None))


def test_sub_workflows_that_were_cancelled_with_the_run_are_asked_for_anew(driver: DurableDriver) -> None:
    driver.turn(child(0, "ship", to="home"), start(1, "audit"), task(2, "charge"))
    first = driver.mail[0][1].run_id
    driver.break_(2)
    driver.turn(status=1, error=error_of_call())
    assert ChildControl(first, "cancel") in [body for _, body in driver.mail]
    driver.mail.clear()
    retry(driver)
    ship, audit = (body for _, body in driver.mail)
    assert isinstance(ship, ChildStart)
    assert isinstance(audit, ChildStart)
    assert ship.run_id != first
    assert decode(ship.input) == {"to": "home"}
    driver.command(lambda t: decide.child_ended(t, driver.key(0), ship.run_id, "completed", raw("there"), None))
    assert driver.given == [(0, DONE, "there")]


def test_a_wait_that_was_late_begins_anew(driver: DurableDriver) -> None:
    driver.turn(signal(0, "go", timeout_ms=100))
    driver.fire_next_timer()
    driver.turn(status=1, error=ErrorInfo("TimedOut", "no signal 'go' came in time", "go", types=("TimedOut",)))
    driver.now_ms += 5_000
    retry(driver)
    assert list(driver.run.timers.values()) == [driver.now_ms + 100]
    driver.command(lambda t: decide.signal(t, "go", raw(1), "e1"))
    assert driver.given == [(0, DONE, 1)]


def test_a_later_round_is_retried_within_itself(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0)
    driver.turn(continue_with(order=8))
    driver.turn(task(0, "charge"))
    driver.break_(0)
    driver.turn(status=1, error=error_of_call())
    retry(driver)
    assert state_of(driver.run).round == 1
    assert driver.run.open == {driver.key(0): 2}
    driver.end(0, "receipt")
    assert decode(driver.record().input) == {"order": 8}


def test_a_second_retry_goes_on_from_the_second_failure(driver: DurableDriver) -> None:
    driver.turn(task(0, "charge"))
    for attempt in (2, 3):
        driver.break_(0)
        driver.turn(status=1, error=error_of_call())
        retry(driver)
        assert driver.run.open == {driver.key(0): attempt}
    driver.end(0, 1)
    assert driver.given == [(0, DONE, 1)]


def test_a_fork_begins_after_an_event_with_what_was_recorded(driver: DurableDriver) -> None:
    driver.turn(task(0, "look"), child(1, "ship"), sleep(2, 500))
    driver.end(0, "seen")
    driver.turn(task(3, "charge"))
    cut = len(driver.events)
    driver.end(3, "receipt")
    run = fork(driver, event=cut)
    assert run.open == {MAIN: 3, driver.key(3): 2}
    assert run.durable is not None
    assert run.durable.seed == driver.run.id
    assert [(c.seq, decode(c.value)) for c in run.durable.completions] == [(0, "seen")]
    (asked,) = (body for _, body in driver.mail)
    assert asked.parent == run.id
    assert asked.workflow == "ship"


def test_a_fork_begins_before_the_turn_that_made_a_call_with_another_value(driver: DurableDriver) -> None:
    driver.turn(task(0, "look"))
    driver.end(0, {"price": 3})
    driver.turn(task(1, "charge"))
    run = fork(driver, node="charge", change=("look.price", 4))
    assert run.durable is not None
    assert list(run.open) == [MAIN]
    assert [decode(c.value) for c in run.durable.completions] == [{"price": 4}]
    with pytest.raises(InvalidInput, match="never made a call"):
        fork(driver, node="nothing")


def test_a_fork_from_the_function_itself_begins_anew(driver: DurableDriver) -> None:
    driver.turn(task(0, "look"))
    run = fork(driver, node="agent")
    assert run.open == {MAIN: 1}
    assert run.durable is not None
    assert not run.durable.calls


def test_an_open_call_is_skipped_with_a_value(driver: DurableDriver) -> None:
    driver.turn(task(0, "charge"), task(1, "charge"), child(2, "ship"))
    value = Raw(encode("by hand"))
    with pytest.raises(InvalidInput, match="open 2 times"):
        driver.command(lambda t: skips.skip(t, "charge", value))
    driver.command(lambda t: skips.skip(t, "charge", value, 2))
    driver.command(lambda t: skips.skip(t, "ship", value))
    assert driver.given == [(1, DONE, "by hand"), (2, DONE, "by hand")]
    assert driver.withdrawn == [(driver.key(1), 1)]
    assert driver.mail[-1][1] == ChildControl(driver.mail[0][1].run_id, "cancel")
    with pytest.raises(InvalidInput, match="nothing to skip"):
        driver.command(lambda t: skips.skip(t, "ship", value))
    with pytest.raises(InvalidInput, match="never made a call 'shap'; it has: ship, charge"):
        fork(driver, node="shap")
    assert FAILED not in [status for _, status, _ in driver.given]


def test_an_open_approval_is_skipped_only_with_a_decision(driver: DurableDriver) -> None:
    driver.turn(approval(0, "boss"))
    with pytest.raises(InvalidInput, match="the output for 'boss' decides an approval"):
        driver.command(lambda t: skips.skip(t, "boss", raw({"approved": "maybe"})))
    driver.command(lambda t: skips.skip(t, "boss", raw({"approved": True})))
    assert driver.given == [(0, DONE, {"approved": True, "by": "", "comment": "", "data": None})]


def test_an_approval_that_is_skipped_by_a_refusal_raises_as_one_that_was_decided_so(driver: DurableDriver) -> None:
    driver.turn(approval(0, "boss", timeout_ms=1_000))
    driver.command(lambda t: skips.skip(t, "boss", raw({"approved": False, "by": "ann"})))
    ((seq, status, value),) = driver.given
    assert (seq, status, value["approved"]) == (0, FAILED, False)
    error = driver.record().completions[0].error
    assert error is not None
    assert (error.type, error.message) == ("Rejected", "boss was refused by ann")


@pytest.mark.parametrize("cut", [3, 4, 5])
def test_a_fork_from_the_middle_of_a_turn_goes_on_as_the_turn_did(driver: DurableDriver, cut: int) -> None:
    driver.command(lambda t: decide.signal(t, "go", raw(1), "e1"))
    driver.turn(signal(0, "go"), signal(1, "late", timeout_ms=0), task(2))
    assert driver.names()[3:] == ["SignalArrived", "TurnTaken", "CallEnded", "CallEnded"]
    run = fork(driver, event=cut + 2)
    assert run.durable is not None
    assert [(c.seq, c.status) for c in run.durable.completions] == [(0, 0), (1, 3)]


def test_a_retry_polls_again_what_had_not_come(driver: DurableDriver) -> None:
    driver.turn(signal(0, "go", timeout_ms=0))
    driver.command(lambda t: decide.signal(t, "go", raw(1), "e1"))
    driver.turn(status=1, error=ErrorInfo("TimedOut", "no signal 'go' came in time", "go", types=("TimedOut",)))
    retry(driver)
    assert driver.given == [(0, DONE, 1)]


def test_a_fork_from_within_the_turn_that_ends_the_round_begins_before_that_turn(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0, 1)
    before = len(driver.events)
    driver.turn(continue_with(order=8))
    assert driver.names()[before:] == ["TurnTaken", "RoundContinued"]
    run = fork(driver, event=before + 1)
    assert run.durable is not None
    assert (run.durable.taken, run.durable.round, list(run.open)) == (0, 0, [MAIN])
    run = fork(driver, event=before + 2)
    assert run.durable is not None
    assert run.durable.round == 1


def test_a_fork_from_within_the_turn_that_ends_the_run_begins_before_that_turn(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0, 1)
    before = len(driver.events)
    driver.turn(status=0, value=1)
    run = fork(driver, event=before + 1)
    assert run.durable is not None
    assert (run.durable.taken, list(run.open)) == (0, [MAIN])
