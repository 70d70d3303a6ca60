"""What core makes of the turns of a durable function, its worker played by hand."""

from __future__ import annotations

import pytest

from support.durable import (
    DurableDriver,
    approval,
    cancel,
    child,
    continue_with,
    decode,
    durable,
    encode,
    publish,
    raw,
    signal,
    sleep,
    start,
    task,
    version,
)
from wfe.core import decide
from wfe.core.durable.places import MAIN
from wfe.errors import InvalidInput
from wfe.model.durable import DONE, FAILED, TIMED_OUT
from wfe.model.event_durable import Published
from wfe.model.mail import ChildControl, ChildStart
from wfe.model.policy import ErrorInfo, RetryPolicy


@pytest.fixture(params=[False, True], ids=["live", "restarted"])
def driver(request: pytest.FixtureRequest) -> DurableDriver:
    return DurableDriver(durable("order"), input={"id": 7}, restart=request.param)


def checked(driver: DurableDriver) -> None:
    """Replay equals live, byte for byte."""
    assert encode(driver.replayed()) == encode(driver.run)


def test_a_run_begins_with_a_turn_that_has_the_arguments_and_nothing_recorded(driver: DurableDriver) -> None:
    assert driver.ready == [MAIN]
    assert driver.run.open == {MAIN: 1}
    record = driver.record()
    assert decode(record.input) == {"order": {"id": 7}}
    assert (record.calls, record.completions, record.round, record.started_ms) == ([], [], 0, driver.now_ms)


def test_calls_are_recorded_and_their_ends_open_the_next_turn(driver: DurableDriver) -> None:
    driver.turn(task(0, "charge", amount=3), task(1, "pack"))
    assert MAIN not in driver.run.open
    assert driver.ready == [driver.key(0), driver.key(1)]
    driver.end(1, "packed")
    assert driver.run.open[MAIN] == 2
    driver.end(0, "charged")
    assert driver.given == [(1, DONE, "packed"), (0, DONE, "charged")]  # both travel together, in their order
    record = driver.record()
    assert [(call.name, call.where) for call in record.calls] == [("charge", "agent.py:1"), ("pack", "agent.py:2")]
    driver.turn(status=0, value="fine")
    assert driver.run.status == "completed"
    assert decode(driver.run.output) == "fine"
    checked(driver)


def test_what_ended_during_a_turn_is_for_the_next_one(driver: DurableDriver) -> None:
    driver.turn(task(0), task(1))
    driver.end(0, 1)
    driver.record()
    driver.end(1, 2)
    driver.turn(task(2), taken=1)
    assert driver.run.open[MAIN] == 3
    assert driver.given == [(1, DONE, 2)]
    checked(driver)


def test_a_task_is_retried_by_its_policy_and_then_fails_the_call(driver: DurableDriver) -> None:
    driver.turn(task(0, "charge", retry=RetryPolicy(max_attempts=2, initial_delay_ms=100, jitter=0.0)))
    driver.break_(0)
    assert MAIN not in driver.run.open
    driver.fire_next_timer()
    assert driver.run.open[driver.key(0)] == 2
    driver.break_(0, "ValueError", "still no")
    (completion,) = driver.record(partial=True).completions
    assert completion.status == FAILED
    assert completion.error is not None
    assert (completion.error.type, completion.error.node, completion.error.attempts) == ("ValueError", "charge", 2)
    checked(driver)


def test_a_sleep_ends_by_its_timer(driver: DurableDriver) -> None:
    driver.turn(sleep(0, 500))
    began_ms = driver.now_ms
    driver.fire_next_timer()
    (completion,) = driver.record(partial=True).completions
    assert (completion.status, completion.at_ms) == (DONE, began_ms + 500)
    checked(driver)


def test_a_signal_that_came_early_is_taken_by_the_first_call_that_waits_for_it(driver: DurableDriver) -> None:
    driver.command(lambda t: decide.signal(t, "go", raw(1), "e1"))
    driver.turn(signal(0, "go"), signal(1, "go"))
    assert driver.given == [(0, DONE, 1)]
    driver.command(lambda t: decide.signal(t, "go", raw(2), "e2"))
    assert driver.given == [(0, DONE, 1), (1, DONE, 2)]
    assert not driver.run.signals
    assert not driver.run.waits
    checked(driver)


def test_signals_meet_calls_by_correlation(driver: DurableDriver) -> None:
    driver.turn(signal(0, "paid", correlation="7"))
    driver.command(lambda t: decide.signal(t, "paid", raw("other"), "e1", "8"))
    assert MAIN not in driver.run.open
    driver.command(lambda t: decide.signal(t, "paid", raw("mine"), "e2", "7"))
    assert driver.given == [(0, DONE, "mine")]
    checked(driver)


def test_a_wait_without_time_polls_and_one_with_time_runs_out(driver: DurableDriver) -> None:
    driver.turn(signal(0, "go", timeout_ms=0), signal(1, "go", timeout_ms=1_000))
    assert [entry[:2] for entry in driver.given] == [(0, TIMED_OUT)]
    driver.turn()
    driver.fire_next_timer()
    completion = driver.record(partial=True).completions[0]
    assert completion.status == TIMED_OUT
    assert completion.error is not None
    assert completion.error.type == "TimedOut"
    checked(driver)


def test_an_approval_is_decided_refused_or_late(driver: DurableDriver) -> None:
    driver.turn(approval(0, "boss"), approval(1, "cfo"), approval(2, "ceo", 50, on_timeout="approve"))
    with pytest.raises(InvalidInput, match="decides an approval"):
        driver.command(lambda t: decide.signal(t, "boss", raw("yes"), "e0"))
    driver.command(lambda t: decide.signal(t, "boss", raw({"approved": True, "by": "ann"}), "e1"))
    driver.command(lambda t: decide.signal(t, "cfo", raw({"approved": False, "by": "bob"}), "e2"))
    driver.fire_next_timer()
    first, second, third = driver.record(partial=True).completions
    assert decode(first.value) == {"approved": True, "by": "ann", "comment": "", "data": None}
    assert second.status == FAILED
    assert second.error is not None
    assert second.error.type == "Rejected"
    assert decode(third.value)["by"] == "timeout"
    assert not driver.run.approvals
    checked(driver)


def test_a_decision_that_came_early_and_is_none_fails_the_call(driver: DurableDriver) -> None:
    driver.command(lambda t: decide.signal(t, "boss", raw("yes"), "e0"))
    driver.turn(approval(0, "boss"))
    (completion,) = driver.record(partial=True).completions
    assert completion.error is not None
    assert completion.error.type == "InvalidInput"
    checked(driver)


def test_sub_workflows_are_asked_for_by_mail_and_answered(driver: DurableDriver) -> None:
    driver.turn(child(0, "ship", to="home"), start(1, "audit", key="k"))
    ship, audit = (body for _, body in driver.mail)
    assert isinstance(ship, ChildStart)
    assert isinstance(audit, ChildStart)
    assert (decode(ship.input), ship.detached, ship.depth) == ({"to": "home"}, False, 1)
    assert (audit.key, audit.detached, audit.depth) == ("k", True, 0)
    driver.command(lambda t: decide.child_started(t, driver.key(1), audit.run_id, "other"))
    driver.command(lambda t: decide.child_ended(t, driver.key(0), ship.run_id, "completed", raw("done"), None))
    assert driver.given == [(1, DONE, "other"), (0, DONE, "done")]
    checked(driver)


def test_a_sub_workflow_that_takes_too_long_is_cancelled(driver: DurableDriver) -> None:
    driver.turn(child(0, "ship", timeout_ms=100))
    driver.fire_next_timer()
    assert isinstance(driver.mail[-1][1], ChildControl)
    assert driver.given[0][1] == TIMED_OUT
    checked(driver)


def test_a_call_that_is_given_up_is_withdrawn_and_its_end_ignored(driver: DurableDriver) -> None:
    driver.turn(task(0), child(1, "ship"), sleep(2, 100), signal(3, "go"), sleep(4, 50))
    run_id = driver.mail[0][1].run_id
    driver.fire_next_timer()
    driver.turn(cancel(0), cancel(1), cancel(2), cancel(3), sleep(5, 1_000), cancel(5), task(6))
    assert driver.withdrawn == [(driver.key(0), 1)]
    assert driver.mail[-1][1] == ChildControl(run_id, "cancel")
    assert not driver.run.waits
    assert not driver.run.timers
    assert list(driver.run.open) == [driver.key(6)]
    assert not driver.end(0, "too late")
    assert not driver.command(lambda t: decide.child_ended(t, driver.key(1), run_id, "cancelled", raw(None), None))
    checked(driver)


def test_published_values_and_versions_end_at_once(driver: DurableDriver) -> None:
    driver.turn(publish(0, {"step": 1}), version(1, "new-tax"), task(2))
    assert [decode(e.value) for e in driver.events if isinstance(e, Published)] == [{"step": 1}]
    assert MAIN not in driver.run.open
    driver.end(2)
    assert [call.name for call in driver.record().calls] == ["", "new-tax", "work"]
    checked(driver)


def test_a_function_that_ends_withdraws_what_it_left_open(driver: DurableDriver) -> None:
    driver.turn(task(0), child(1, "ship"))
    driver.end(0)
    driver.turn(task(2), status=0, value=1)
    assert driver.run.status == "completed"
    assert not driver.run.open
    assert not driver.run.children
    assert driver.mail[-1][1] == ChildControl(driver.mail[0][1].run_id, "cancel")
    checked(driver)


def test_a_function_that_raises_fails_the_run(driver: DurableDriver) -> None:
    driver.turn(status=1, error=ErrorInfo("ValueError", "no", types=("ValueError",)))
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert (driver.run.error.type, driver.run.error.node) == ("ValueError", "agent")
    checked(driver)


def test_a_function_that_waits_for_nothing_is_stuck(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0)
    driver.turn()
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert driver.run.error.type == "stuck"
    checked(driver)


def test_a_next_round_begins_with_new_arguments_and_no_calls(driver: DurableDriver) -> None:
    driver.turn(task(0), sleep(1, 100))
    driver.end(0, "a")
    driver.turn(continue_with(order=8))
    record = driver.record()
    assert (record.round, record.calls, record.completions, decode(record.input)) == (1, [], [], {"order": 8})
    assert not driver.run.timers
    driver.turn(task(0))
    driver.end(0, "b")
    assert driver.given == [(0, DONE, "b")]
    checked(driver)


def test_calls_of_later_rounds_have_places_of_their_own(driver: DurableDriver) -> None:
    driver.turn(child(0, "ship"))
    driver.command(lambda t: decide.signal(t, "x", raw(1), "e1"))
    run_id = driver.mail[0][1].run_id
    driver.command(lambda t: decide.child_ended(t, driver.key(0), run_id, "completed", raw(1), None))
    driver.turn(continue_with(order=8))
    driver.turn(child(0, "ship"))
    assert driver.mail[-1][1].run_id != run_id
    checked(driver)
