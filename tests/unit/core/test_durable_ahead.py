"""Turns that a worker ran ahead: they count when the task's end is all that the function has not had, else never."""

from __future__ import annotations

from typing import Any

import pytest

from support.durable import DurableDriver, continue_with, durable, encode, publish, raw, signal, sleep, task
from wfe.core import decide
from wfe.core.durable.places import MAIN, state_of
from wfe.model.durable import SUSPENDED, DurableCommand, DurableTurn, TurnAhead
from wfe.wire.messages import NULL


class AheadDriver(DurableDriver):
    """`ahead`: a called task is done, and the function did this on it already."""

    def ahead(self, seq: int, *commands: DurableCommand, value: Any = None, task_attempt: int = 0, **told: Any) -> bool:
        state = state_of(self.run)
        fields: dict[str, Any] = {
            "attempt": state.attempt,
            "made": len(state.calls),
            "at_ms": self.now_ms,
            "status": SUSPENDED,
            "turn": DurableTurn(list(commands), len(state.completions) + 1),
            "round": state.round,
        }
        did = raw(TurnAhead(**{**fields, **told}))
        key = self.key(seq)
        attempt = task_attempt or self.run.open.get(key, 0)
        return self.command(lambda t: decide.task_result(t, key, attempt, 0, raw(value), None, NULL, did))


@pytest.fixture(params=[False, True], ids=["", "restart"])
def driver(request: pytest.FixtureRequest) -> AheadDriver:
    made = AheadDriver(durable("order"), 1, restart=request.param)
    made.turn(task(0))
    return made


def test_a_turn_ahead_is_booked_with_the_end_that_it_goes_on_from(driver: AheadDriver) -> None:
    driver.ahead(0, task(1), publish(2, "half"), value=5)
    assert driver.names()[3:] == ["CallEnded", "TurnTaken", "Published"]
    assert MAIN not in driver.run.open
    assert MAIN not in driver.ready[1:]
    assert driver.run.open == {driver.key(1): 1}
    driver.ahead(1, status=0, value=6, turn=DurableTurn([], 2))
    assert (driver.run.status, driver.run.output) == ("completed", NULL)
    assert encode(driver.replayed()) == encode(driver.run)


def test_several_steps_in_a_row_go_ahead(driver: AheadDriver) -> None:
    for number in range(10):
        driver.ahead(number, task(number + 1), value=number)
    assert state_of(driver.run).attempt == 11
    driver.end(10)
    assert driver.given == [(10, 0, None)]


def test_the_end_is_recorded_as_the_function_saw_it(driver: AheadDriver) -> None:
    saw_ms = driver.now_ms + 5
    driver.now_ms += 20
    driver.ahead(0, task(1), at_ms=saw_ms)
    assert state_of(driver.run).completions[0].at_ms == saw_ms


WRONG: dict[str, dict[str, Any]] = {
    "another turn was booked last": {"attempt": 2},
    "an earlier turn": {"attempt": 0},
    "it made another number of calls": {"made": 0},
    "it had another number of ends": {"turn": DurableTurn([], 2)},
    "it is of another round": {"round": 1},
    "it saw a time that is not yet": {"at_ms": 10**13},
    "it saw a time before the last end": {"at_ms": 0},
    "its calls do not follow on": {"turn": DurableTurn([task(3)], 1)},
    "it cancels what was never made": {"turn": DurableTurn([DurableCommand(9, 7)], 1)},
}


@pytest.mark.parametrize("told", WRONG.values(), ids=WRONG)
def test_a_turn_ahead_that_does_not_follow_is_dropped_and_the_task_counts(driver: AheadDriver, told: Any) -> None:
    driver.ahead(0, value=5, **told)
    assert driver.names()[3:] == ["CallEnded"]
    assert driver.given == [(0, 0, 5)]
    assert driver.ready[-1] == MAIN
    driver.turn(status=0, value="done")
    assert driver.run.status == "completed"


def test_what_is_no_turn_ahead_is_dropped(driver: AheadDriver) -> None:
    key = driver.key(0)
    driver.command(lambda t: decide.task_result(t, key, 1, 0, raw(5), None, NULL, raw(["no"])))
    assert driver.given == [(0, 0, 5)]


def test_a_failed_task_takes_no_turn_with_it(driver: AheadDriver) -> None:
    state = state_of(driver.run)
    did = raw(TurnAhead(state.attempt, 1, driver.now_ms, SUSPENDED, DurableTurn([task(1)], 1)))
    key = driver.key(0)
    driver.command(lambda t: decide.task_result(t, key, 1, 1, NULL, None, NULL, did))
    assert driver.names()[3:] == ["CallEnded"]


def test_a_stale_attempt_brings_nothing(driver: AheadDriver) -> None:
    before = encode(driver.run)
    assert not driver.ahead(0, task(1), task_attempt=2)
    assert encode(driver.run) == before


@pytest.mark.parametrize("first", ["signal", "cancel", "timer", "another task"])
def test_whatever_is_recorded_first_takes_its_place(first: str) -> None:
    driver = AheadDriver(durable("order"), 1)
    driver.turn(task(0), signal(1, "go"), sleep(2, 50), task(3))
    if first == "signal":
        driver.signal("go", 1, "e1")
    elif first == "cancel":
        driver.control("cancel")
    elif first == "timer":
        driver.fire_next_timer()
    else:
        driver.end(3)
    driver.ahead(0, task(4), turn=DurableTurn([task(4)], 1))
    driver.ahead(0, task(4), turn=DurableTurn([task(4)], 2))
    assert driver.names().count("TurnTaken") == 1
    assert [seq for seq, _, _ in driver.given][-1] == 0


def test_a_paused_run_takes_no_turn_ahead(driver: AheadDriver) -> None:
    driver.control("pause")
    driver.ahead(0, task(1))
    assert driver.names()[-1] == "CallEnded"
    driver.control("resume", "c2")
    assert driver.given == [(0, 0, None)]


def test_a_round_may_end_ahead(driver: AheadDriver) -> None:
    driver.ahead(0, continue_with(order=2))
    assert state_of(driver.run).round == 1
    assert driver.record().completions == []


def test_a_failure_ahead_ends_the_run_and_can_be_retried(driver: AheadDriver) -> None:
    driver.ahead(0, status=1, turn=DurableTurn([], 1))
    assert driver.run.status == "failed"
    assert driver.names()[-2:] == ["TurnTaken", "RunEnded"]


def test_a_result_that_is_too_much_for_the_record_ends_the_run_before_its_turn(
    driver: AheadDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wfe.core.durable.calls.DURABLE_RECORD_BYTES_MAX", 3)
    driver.ahead(0, task(1), value="more than that")
    assert driver.run.error is not None
    assert driver.run.error.type == "RecordTooLarge"
    assert driver.names()[3:] == ["CallEnded", "RunEnded"]


def test_too_many_calls_fail_the_run_before_they_are_booked(
    driver: AheadDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wfe.core.durable.turns.DURABLE_CALLS_MAX", 2)
    driver.ahead(0, task(1), task(2))
    assert driver.run.error is not None
    assert driver.run.error.type == "TooManyCalls"
    assert len(state_of(driver.run).calls) == 1
