"""Results of a map that are too large together end it early: they are not gathered until the last item has ended."""

from __future__ import annotations

import pytest

from support.core_cases import TASKS, define, task
from support.runs import RunDriver
from wfe.core.nodes import maps
from wfe.model.definition import Catch, Map

WIDE = Map(id="m", items="n", max_parallel=4, do=(task("t", "echo", x="${item}"),))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "PAYLOAD_BYTES_MAX", 1_000)


def test_a_map_of_large_results_fails_before_its_last_item() -> None:
    run = RunDriver(define(WIDE), ["x" * 100] * 1_000, TASKS)
    run.finish()
    assert run.run.status == "failed"
    assert run.run.error is not None
    assert run.run.error.type == "PayloadTooLarge"
    done = sum(type(event).__name__ in ("ItemDone", "TaskDone") for event in run.events)
    assert 10 < done <= 16 + 4
    assert run.replayed() == run.run


def test_the_fault_can_be_caught_and_what_ran_is_withdrawn() -> None:
    run = RunDriver(define(Catch(id="c", errors=("PayloadTooLarge",), do=(WIDE,))), ["x" * 100] * 1_000, TASKS)
    run.finish()
    assert run.run.status == "completed"
    assert not run.run.open
    assert not run.run.groups


def test_many_small_results_are_no_matter() -> None:
    run = RunDriver(define(WIDE), [1] * 500, TASKS)
    run.finish()
    assert run.run.status == "completed"
