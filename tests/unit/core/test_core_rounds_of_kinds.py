"""Retry, fork and skip where the kind of a node, or a net, makes it special."""

import pytest

from support.core_cases import TASKS
from support.rounds import check_replay, forked, retried, skipped
from support.runs import RunDriver
from wfe.authoring.yaml_reader import read_definitions
from wfe.errors import InvalidInput, RunClosed
from wfe.model.definition import CompensateWith, Definition, Fail, Task


def read(text: str) -> Definition:
    (definition,) = read_definitions("workflow: w\nparams: {n: integer}\nnodes:\n" + text, "w.yaml")
    return definition


def test_a_fork_that_goes_on_compensating_cannot_be_retried() -> None:
    undone = Definition(
        "undone",
        nodes=(
            Task(id="first", task="echo", with_={"x": 1}),
            CompensateWith(id="undo", task="echo", with_={"x": 2}),
            Fail(id="no", error="Boom", message="always"),
        ),
    )
    origin = RunDriver(undone, None, {"echo": lambda x: x}).finish()
    began = next(n for n, event in enumerate(origin.events, 1) if type(event).__name__ == "CompensationBegan")
    fork = forked(origin, event=began).finish()
    assert fork.run.status == "failed"
    with pytest.raises(RunClosed, match="has been compensated"):
        retried(fork)


def test_a_net_that_is_all_of_a_run_begins_anew() -> None:
    text = "  - {task: echo, id: a, with: {x: 1}}\n  - {set: 2, id: b, after: [a], enabled_while: 'active(\"a\")'}\n"
    driver = RunDriver(read(text), 3, TASKS).finish()
    assert driver.run.error is not None
    assert driver.run.error.type == "stuck"
    retried(driver)
    assert (driver.run.status, driver.run.round) == ("running", 1)
    driver.finish()
    assert driver.run.error.type == "stuck"
    assert driver.executions == ["a", "a"]
    check_replay(driver)


def test_a_map_that_failed_itself_begins_anew_and_what_ran_in_it_is_gone() -> None:
    text = "  - {map: 3, id: m, complete_when: 'n / (1 - done) > 100', do: [{task: echo, with: {x: 1}}, {sleep: 1h}]}\n"
    driver = RunDriver(read(text), 3, TASKS)
    for _ in range(4):
        driver.step()
    assert driver.run.status == "failed"
    retried(driver)
    assert driver.run.status == "running"
    assert len(driver.run.open) == 3
    assert not driver.run.timers
    assert len(driver.run.frames) == 4
    check_replay(driver)


def test_a_split_that_found_no_branch_is_retried_with_its_node() -> None:
    nodes = "  - {task: broken, id: a, split: xor, with: {x: 5}}\n  - {task: echo, id: b, with: {x: 1}}\n"
    values = iter([1, 5])
    tasks = {**TASKS, "broken": lambda x: next(values)}
    driver = RunDriver(read(nodes + "edges: [{from: a, to: b, when: a == 5}]\n"), 3, tasks).finish()
    assert driver.run.error is not None
    assert driver.run.error.type == "NoBranch"
    retried(driver)
    driver.finish()
    assert driver.run.status == "completed"
    assert driver.executions == ["a", "a", "b"]
    check_replay(driver)


def test_an_item_whose_output_could_not_be_computed_is_retried_with_its_last_node() -> None:
    text = "  - {map: 2, id: m, do: [{sleep: 1s}, {task: broken, id: a, with: {x: 5}}], output: '${1 / a}'}\n"
    values = iter([1, 0, 1, 1])
    driver = RunDriver(read(text), 3, {**TASKS, "broken": lambda x: next(values)}).finish()
    assert driver.run.status == "failed"
    retried(driver)
    driver.finish()
    assert driver.run.status == "completed"
    check_replay(driver)


def test_a_block_that_is_retried_as_the_last_node_of_an_item_runs_all_its_steps_again() -> None:
    steps = "do: [{task: broken, id: a, with: {x: 5}}, {task: echo, id: b, with: {x: '${a}'}}]"
    text = f"  - {{map: 1, id: m, do: [{{catch: [KeyError], id: c, {steps}}}], output: '${{1 / merge(b)}}'}}\n"
    values = iter([0, 1])
    driver = RunDriver(read(text), 3, {**TASKS, "broken": lambda x: next(values)}).finish()
    assert driver.run.status == "failed"
    retried(driver)
    driver.finish()
    assert driver.run.status == "completed"
    assert driver.executions == ["a", "b", "a", "b"]
    check_replay(driver)


def test_what_an_earlier_round_computed_in_a_block_is_gone_when_the_block_is_retried() -> None:
    steps = "do: [{task: broken, id: a, with: {x: 5}}, {when: a == 1, do: [{task: echo, id: b, with: {x: 0}}]}]"
    text = f"  - {{map: 1, id: m, do: [{{catch: [KeyError], id: c, {steps}}}], output: '${{1 / merge(b, a)}}'}}\n"
    values = iter([1, 5])
    driver = RunDriver(read(text), 3, {**TASKS, "broken": lambda x: next(values)}).finish()
    assert driver.run.status == "failed"
    retried(driver)
    driver.finish()
    assert driver.run.status == "completed"
    assert driver.executions == ["a", "b", "a"]
    check_replay(driver)


def test_a_compensation_that_is_skipped_counts_as_done_and_the_next_goes_on() -> None:
    text = "  - {compensate_with: undo, id: one}\n  - {compensate_with: undo, id: two}\n  - {fail: Broken}\n"
    driver = RunDriver(read(text), 3, {"undo": lambda: None})
    assert [driver.plan.nodes[key].id for key in driver.run.open] == ["two"]
    skipped(driver, "two", None)
    assert [driver.plan.nodes[key].id for key in driver.run.open] == ["one"]
    assert driver.withdrawn
    driver.finish()
    assert driver.run.error is not None
    assert (driver.run.status, driver.run.error.message) == ("failed", "")
    assert driver.executions == ["one"]
    check_replay(driver)


def test_a_map_that_was_left_is_not_open_any_more() -> None:
    text = "  - {map: 2, id: m, complete_after: 0, rest: continue, do: [{sleep: 1h}]}\n  - {sleep: 2h}\n"
    driver = RunDriver(read(text), 3, TASKS)
    with pytest.raises(InvalidInput, match="not open now"):
        skipped(driver, "m", None)
    driver.finish()
    assert driver.run.status == "completed"


def test_a_fork_from_a_resume_goes_on_with_what_the_pause_held() -> None:
    text = "  - {task: echo, id: a, with: {x: 1}}\n  - {task: echo, id: b, with: {x: 2}}\n"
    origin = RunDriver(read(text), 3, TASKS)
    origin.control("pause", "p")
    origin.step()
    origin.control("resume", "r")
    origin.finish()
    resumed = next(n for n, event in enumerate(origin.events, 1) if type(event).__name__ == "RunResumed")
    fork = forked(origin, event=resumed).finish()
    assert fork.run.status == "completed"
    assert fork.executions == ["b"]
