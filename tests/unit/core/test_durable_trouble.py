"""Durable functions in trouble: bounds, incidents, losses, cancellations and pauses; the worker is played by hand."""

from __future__ import annotations

import pytest
from msgspec import Raw, structs

from support.durable import (
    DurableDriver,
    cancel,
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
from wfe.core import decide, skips
from wfe.core.durable.places import MAIN, state_of
from wfe.core.durable.records import errand_of
from wfe.core.validate import validate
from wfe.limits import DURABLE_CANCEL_GRACE_MS
from wfe.model.blob import expand
from wfe.model.definition import Block, Task
from wfe.model.durable import DONE, NONDETERMINISTIC, RUN_CANCELLED
from wfe.model.policy import ErrorInfo


@pytest.fixture(params=[False, True], ids=["live", "restarted"])
def driver(request: pytest.FixtureRequest) -> DurableDriver:
    return DurableDriver(durable("order"), input={"id": 7}, restart=request.param)


def checked(driver: DurableDriver) -> None:
    """Replay equals live, byte for byte."""
    assert encode(driver.replayed()) == encode(driver.run)


def test_too_many_calls_fail_the_run_and_name_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfe.core.durable.turns.DURABLE_CALLS_MAX", 3)
    driver = DurableDriver(durable("order"), input=1)
    driver.turn(*(task(seq) for seq in range(3)))
    driver.end(0)
    driver.turn(task(3))
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert driver.run.error.type == "TooManyCalls"
    assert "wf.continue_with" in driver.run.error.message


def test_too_much_recorded_fails_the_run_and_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfe.core.durable.calls.DURABLE_RECORD_BYTES_MAX", 100)
    driver = DurableDriver(durable("order"), input=1)
    driver.turn(task(0))
    driver.end(0, "x" * 200)
    assert driver.run.error is not None
    assert driver.run.error.type == "RecordTooLarge"


def test_large_arguments_are_kept_once_while_their_calls_are_open(driver: DurableDriver) -> None:
    text = "x" * 50_000
    driver.turn(task(0, text=text), task(1, text=text), child(2, "other", text=text), start(3, "another", text=text))
    state = state_of(driver.run)
    assert len(driver.run.blobs) == 1
    assert 50_000 < state.open_bytes < 51_000
    given = [errand_of(driver.run, driver.plan, driver.key(seq))[1].input for seq in (0, 1)]
    assert [decode(expand(each, driver.run.blobs)) for each in given] == [{"text": text}] * 2
    assert [decode(body.input)["text"] == text for _, body in driver.mail] == [True, True]
    driver.end(0)
    driver.end(1)
    driver.turn(task(4, text=text))
    assert len(encode(driver.events[-1])) < 1_000  # what the state has is no part of further events
    for name in ("other", "another"):
        driver.command(lambda t, name=name: skips.skip(t, name, raw(None)))
    driver.end(4)
    assert state_of(driver.run).open_bytes == 0
    checked(driver)


def test_too_many_bytes_of_open_arguments_fail_the_run_and_name_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfe.core.durable.turns.DURABLE_RECORD_BYTES_MAX", 300)
    driver = DurableDriver(durable("order"), input=1)
    driver.turn(task(0, text="x" * 200))
    driver.end(0)
    driver.turn(task(1, text="x" * 200))
    assert driver.run.status == "running"
    driver.end(1)
    driver.turn(task(2, text="x" * 200), task(3, text="x" * 200))
    assert driver.run.error is not None
    assert driver.run.error.type == "ArgumentsTooLarge"
    assert "pass paths or URLs" in driver.run.error.message


def test_a_turn_that_does_not_fit_the_record_is_an_incident_that_can_be_resumed(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.end(0, 1)
    message = "recorded: task work (agent.py:1); now: sleep (agent.py:3)"
    driver.turn(status=NONDETERMINISTIC, error=ErrorInfo("Nondeterminism", message))
    assert driver.run.status == "paused"
    assert message in driver.run.incident
    assert "resume" in driver.run.incident
    assert driver.run.open == {MAIN: 3}
    checked(driver)
    driver.command(lambda t: decide.control(t, "resume", "c1"))
    assert driver.ready[-1] == MAIN
    assert driver.given == [(0, DONE, 1)]
    driver.turn(status=0, value="fine")
    assert driver.run.status == "completed"
    checked(driver)


@pytest.mark.parametrize(
    "commands",
    [[task(1)], [cancel(4)], [task(0), task(0)]],
    ids=["a gap", "cancels what is not there", "a number twice"],
)
def test_a_turn_whose_calls_do_not_follow_on_counts_for_nothing(driver: DurableDriver, commands: list) -> None:
    driver.turn(*commands)
    assert driver.run.status == "paused"
    assert not state_of(driver.run).calls
    assert driver.run.open == {MAIN: 2}
    checked(driver)


def test_a_turn_that_cannot_be_read_counts_for_nothing(driver: DurableDriver) -> None:
    driver.command(lambda t: decide.task_result(t, MAIN, 1, 3, raw(None), None, raw(None), Raw(b"\x93")))
    assert driver.run.status == "paused"
    assert "cannot be read" in driver.run.incident
    checked(driver)


def test_a_turn_of_an_old_attempt_counts_for_nothing(driver: DurableDriver) -> None:
    driver.command(lambda t: decide.task_lost(t, MAIN, 1, spent=False))
    assert driver.run.open == {MAIN: 2}
    assert not driver.command(lambda t: decide.task_result(t, MAIN, 1, 3, raw(None), None))
    checked(driver)


def test_a_function_that_kills_its_workers_fails_the_run(driver: DurableDriver) -> None:
    for attempt in range(1, 5):
        driver.command(lambda t, a=attempt: decide.task_lost(t, MAIN, a, spent=True))
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert driver.run.error.type == "PoisonTask"
    checked(driver)


def test_losses_of_turns_are_forgotten_when_one_is_booked(driver: DurableDriver) -> None:
    for attempt in range(1, 4):
        driver.command(lambda t, a=attempt: decide.task_lost(t, MAIN, a, spent=True))
    driver.turn(task(0))
    driver.end(0)
    driver.command(lambda t: decide.task_lost(t, MAIN, 5, spent=True))
    assert driver.run.status == "running"
    checked(driver)


def test_a_called_task_that_must_not_run_twice_is_lost_with_its_worker(driver: DurableDriver) -> None:
    driver.turn(task(0, "charge", redeliver=False), task(1, "pack"))
    driver.command(lambda t: decide.task_lost(t, driver.key(0), 1, spent=True))
    driver.command(lambda t: decide.task_lost(t, driver.key(1), 1, spent=True))
    completion = driver.record(partial=True).completions[0]
    assert completion.error is not None
    assert completion.error.type == "WorkerLost"
    assert driver.run.open[driver.key(1)] == 2
    checked(driver)


def test_a_cancelled_function_hears_of_it_and_cleans_up(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.command(lambda t: decide.control(t, "cancel", "c1"))
    assert driver.run.status == "running"
    assert [entry[:2] for entry in driver.given] == [(RUN_CANCELLED, 2)]
    driver.turn(cancel(0), task(1, "refund"))
    driver.end(1)
    driver.turn(status=2)
    assert driver.run.status == "cancelled"
    assert not driver.run.timers
    checked(driver)


def test_a_function_that_ignores_its_cancellation_ends_with_the_grace(driver: DurableDriver) -> None:
    driver.turn(signal(0, "never"))
    driver.command(lambda t: decide.control(t, "cancel", "c1"))
    asked_ms = driver.now_ms
    driver.turn(cancel(0), signal(1, "never"))
    driver.fire_next_timer()
    assert driver.run.status == "cancelled"
    assert driver.now_ms == asked_ms + DURABLE_CANCEL_GRACE_MS
    checked(driver)


def test_a_function_that_has_called_nothing_is_cancelled_at_once(driver: DurableDriver) -> None:
    driver.command(lambda t: decide.control(t, "cancel", "c1"))
    assert driver.run.status == "cancelled"
    assert driver.withdrawn == [(MAIN, 1)]
    checked(driver)


def test_a_cancellation_without_cleaning_up_is_at_once(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.command(lambda t: decide.control(t, "cancel", "c1", compensate=False))
    assert driver.run.status == "cancelled"
    assert driver.withdrawn == [(driver.key(0), 1)]
    checked(driver)


def test_a_function_that_ends_by_itself_though_cancelled_is_cancelled_only_if_it_was_asked(
    driver: DurableDriver,
) -> None:
    driver.turn(status=2)
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert driver.run.error.type == "CancelledError"
    checked(driver)


def test_a_cancellation_outlives_the_round(driver: DurableDriver) -> None:
    driver.turn(task(0))
    driver.command(lambda t: decide.control(t, "cancel", "c1"))
    driver.turn(continue_with(order=1))
    assert [entry[:2] for entry in driver.given] == [(RUN_CANCELLED, 2)]
    checked(driver)


def test_a_paused_run_books_its_turn_when_it_is_resumed(driver: DurableDriver) -> None:
    driver.turn(task(0), sleep(1, 10))
    driver.end(0, 1)
    driver.command(lambda t: decide.control(t, "pause", "c1"))
    driver.turn(task(2))
    assert len(state_of(driver.run).calls) == 2
    driver.fire_next_timer()
    driver.command(lambda t: decide.signal(t, "go", raw(1), "e1"))
    checked(driver)
    driver.ready.clear()
    driver.command(lambda t: decide.control(t, "resume", "c2"))
    assert len(state_of(driver.run).calls) == 3
    assert driver.key(2) in driver.ready
    driver.fire_next_timer()
    assert driver.given == [(1, DONE, None)]
    checked(driver)


def test_the_runs_own_time_limit_ends_the_function() -> None:
    driver = DurableDriver(durable("order", timeout_ms=1_000), input=1)
    driver.turn(signal(0, "never"))
    driver.fire_next_timer()
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert driver.run.error.type == "TimedOut"
    checked(driver)


def test_a_durable_function_is_alone_in_its_definition() -> None:
    good = durable("order")
    assert [str(finding) for finding in validate(good)] == []
    (node,) = good.nodes
    company = structs.replace(good, nodes=(node, Task(id="other", task="other")))
    inside = structs.replace(good, nodes=(Block(id="branch", do=(node,)),))
    conditional = structs.replace(good, nodes=(structs.replace(node, if_="order.id > 1"),))
    other_output = structs.replace(good, output="${order}")
    for definition, words in (
        (company, "a workflow of its own"),
        (inside, "a workflow of its own"),
        (conditional, "no if"),
        (other_output, "the function's value"),
    ):
        assert any(words in str(finding) for finding in validate(definition)), words
