"""What a node may be skipped with: a value that it could have come to."""

from __future__ import annotations

from typing import Any

import pytest

from support.rounds import check_replay, skipped
from support.runs import RunDriver
from wfe.errors import InvalidInput
from wfe.model.definition import Approval, Definition, SubWorkflow, Task, WaitSignal

ORDER = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "integer"}}}}
GOOD, BAD = {"items": [1, 2]}, {"items": [1, "two"]}


def waiting_in(node: Any) -> RunDriver:
    after = Task(id="after", task="echo", with_={"x": "${it}"})
    definition = Definition("w", types={"Order": ORDER}, nodes=(node, after), output="${after}")
    return RunDriver(definition, None, {"echo": lambda x: x})


def output_of(driver: RunDriver) -> Any:
    driver.ready = [key for key in driver.ready if key in driver.run.open]
    driver.finish()
    check_replay(driver)
    return driver.output


@pytest.mark.parametrize(
    "node",
    [
        Task(id="it", task="echo", with_={"x": 1}, returns={"$ref": "#/types/Order"}),
        SubWorkflow(id="it", workflow="child", returns={"$ref": "#/types/Order"}),
        WaitSignal(id="it", signal="go", schema={"$ref": "#/types/Order"}),
    ],
)
def test_a_node_with_a_schema_is_skipped_with_what_fits_it(node: Any) -> None:
    driver = waiting_in(node)
    with pytest.raises(InvalidInput, match="output for 'it' does not fit its schema") as refused:
        skipped(driver, "it", BAD)
    assert refused.value.path == "output.items[1]"
    skipped(driver, "it", GOOD)
    assert output_of(driver) == GOOD


def test_a_wait_is_skipped_with_its_default_too() -> None:
    driver = waiting_in(
        WaitSignal(id="it", signal="go", schema={"type": "integer"}, timeout_ms=1000, default="nothing came")
    )
    with pytest.raises(InvalidInput):
        skipped(driver, "it", "something else")
    skipped(driver, "it", "nothing came")
    assert output_of(driver) == "nothing came"


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (None, "output.approved"),
        ({"approved": "maybe"}, "output.approved"),
        ({"approved": True, "by": 5}, "output.by"),
        ({"approved": True, "why": "so"}, "output"),
        ({"approved": True}, "output.data"),
        ({"approved": True, "data": BAD}, "output.data.items[1]"),
    ],
)
def test_an_approval_is_not_skipped_with_what_is_no_decision(output: Any, path: str) -> None:
    driver = waiting_in(Approval(id="it", approval="boss", form=ORDER))
    with pytest.raises(InvalidInput, match="the output for 'it'") as refused:
        skipped(driver, "it", output)
    assert refused.value.path == path


def test_an_approval_that_is_skipped_has_all_fields_of_a_decision() -> None:
    driver = waiting_in(Approval(id="it", approval="boss"))
    skipped(driver, "it", {"approved": True})
    assert output_of(driver) == {"approved": True, "by": "", "comment": "", "data": None}


def test_an_approval_that_is_skipped_by_a_refusal_is_rejected_as_one_that_was_decided_so() -> None:
    driver = waiting_in(Approval(id="it", approval="boss", timeout_ms=1000))
    skipped(driver, "it", {"approved": False, "by": "ann", "comment": "too late"})
    check_replay(driver)
    assert driver.run.status == "failed"
    assert driver.run.error is not None
    assert (driver.run.error.type, driver.run.error.message) == ("Rejected", "boss was refused by ann: too late")


def test_an_approval_that_goes_on_after_a_refusal_does_so_after_a_skip() -> None:
    driver = waiting_in(Approval(id="it", approval="boss", on_reject="continue"))
    skipped(driver, "it", {"approved": False})
    assert output_of(driver) == {"approved": False, "by": "", "comment": "", "data": None}
