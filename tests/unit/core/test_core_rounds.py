"""Retry, fork, skip and looking back: runs that go on from a state of the past."""

import copy
from typing import Any

import pytest
from msgspec import Raw

from support.runs import RUN_ID, START_MS, RunDriver, encode, error_of
from wfe.authoring.yaml_reader import read_definitions
from wfe.core import decide, rounds
from wfe.errors import InvalidInput, RunClosed
from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    Definition,
    Map,
    Parallel,
    Set,
    Sleep,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.event import RunStarted
from wfe.model.ids import mint_run_id
from wfe.model.mail import ChildStart
from wfe.model.policy import RetryPolicy

OTHER_ID = mint_run_id(3, START_MS, 43)


def task(id_: str, name: str = "echo", **with_: Any) -> Task:
    return Task(id=id_, task=name, with_=with_)


BUSY = Definition(
    "busy",
    params={"x": {}},
    nodes=(
        task("first", x="${x}"),
        Map(id="mapped", items="[1, 2, 3]", do=(task("inner", x="${item + first}"), Sleep(id="nap", duration_ms=50))),
        Map(id="plain", items="[4, 5]", do=(task("bare", x="${item}"),)),
        Parallel(
            id="par",
            do=(
                task("left", x="${first}"),
                Block(id="right", do=(Sleep(id="rest", duration_ms=10), task("late", x=7))),
            ),
        ),
        When(id="choice", branches=(Branch("first > 100", (task("never"),)), Branch(None, (task("taken", x=1),)))),
        Catch(id="caught", errors=("ValueError",), do=(task("bad", "boom", x=1),)),
        Set(id="sum", value="${first + plain[1] + left + late + taken}"),
    ),
    output={"sum": "${sum}", "failed": "${caught.failed}", "inner": "${mapped}"},
)


def echo(x: Any = None) -> Any:
    return x


def boom(x: Any) -> Any:
    raise ValueError("boom")


TASKS = {"echo": echo, "boom": boom}


def forked(origin: RunDriver, *, node: str = "", event: int = 0, **changes: Any) -> RunDriver:
    """A run that begins at a point of another one."""
    point, at = rounds.fork_point(origin.plan, origin.events, node=node, event=event)
    for path, value in changes.items():
        rounds.set_value(origin.plan, point.run, path.replace("__", "."), value)
    made = RunDriver(origin.definition, origin.input, origin.tasks, now_ms=origin.now_ms)
    made.events, made.ready, made.mail = [], [], []
    first = RunStarted(OTHER_ID, "busy", 1, "hash", point.run.input, made.now_ms)
    made.run = decide.start(made.plan, first)

    def begin(turn: Any) -> None:
        turn.events.append(first)
        rounds.fork(turn, point, RUN_ID, at)

    made.command(begin)
    return made


def check_replay(driver: RunDriver) -> None:
    assert encode(driver.replayed()) == encode(driver.run)


def test_a_fork_from_every_event_gives_what_the_run_gave() -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    for event in range(1, len(origin.events)):
        fork = forked(origin, event=event)
        check_replay(fork)
        fork.finish()
        assert fork.output == origin.output, f"forked after event {event}: {origin.events[event - 1]}"
        check_replay(fork)


def test_a_fork_from_a_node_runs_it_again_and_nothing_before_it() -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    fork = forked(origin, node="par")
    fork.finish()
    assert fork.output == origin.output
    assert "first" not in fork.executions
    assert "left" in fork.executions


def test_a_fork_may_change_values_and_the_input() -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    fork = forked(origin, node="par", first=50).finish()
    assert fork.output["sum"] == origin.output["sum"] + 2 * (50 - 3)
    again = forked(origin, event=1, input=50).finish()
    assert again.output["inner"] == origin.output["inner"]
    assert decode_input(again) == 50


def decode_input(driver: RunDriver) -> Any:
    import msgspec

    return msgspec.msgpack.decode(driver.run.input)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"node": "nope"}, "no node"),
        ({"node": "never"}, "never came"),
        ({"event": 0}, "events 1 to"),
        ({"event": 10_000}, "events 1 to"),
    ],
)
def test_a_fork_from_nowhere_is_refused(options: dict[str, Any], what: str) -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    with pytest.raises(InvalidInput, match=what):
        forked(origin, **options)
    with pytest.raises(InvalidInput, match="has ended by event"):
        forked(origin, event=len(origin.events))


@pytest.mark.parametrize("path", ["nope", "first__x", "late"])
def test_a_value_that_is_not_there_cannot_be_set(path: str) -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    with pytest.raises(InvalidInput):
        forked(origin, node="par", **{path: 1})


class Broken:
    """A task that fails until it is repaired."""

    def __init__(self) -> None:
        self.works = False

    def __call__(self, x: Any = None) -> Any:
        if not self.works:
            raise OSError("down")
        return x


def retried(driver: RunDriver) -> None:
    events = copy.copy(driver.events)
    driver.command(lambda turn: rounds.retry(turn, events))


@pytest.mark.parametrize(
    "node",
    [
        task("bad", "broken", x=5),
        Block(id="block", do=(task("ok", x=1), task("bad", "broken", x=5))),
        Map(id="m", items="[1, 2, 3, 4]", max_parallel=2, do=(task("bad", "broken", x="${item}"),)),
        Map(id="m", items="[1, 2]", do=(Sleep(id="s", duration_ms=5), task("bad", "broken", x="${item}"))),
        Parallel(id="p", do=(task("bad", "broken", x=5), task("other", x=1), Sleep(id="s", duration_ms=5))),
    ],
)
def test_a_failed_run_goes_on_from_what_failed(node: Any) -> None:
    broken = Broken()
    definition = Definition("w", nodes=(task("before", x=1), node, task("after", x="${before}")), output="${after}")
    driver = RunDriver(definition, None, {"echo": echo, "broken": broken}).finish()
    assert driver.run.status == "failed"
    retried(driver)
    assert (driver.run.status, driver.run.round) == ("running", 1)
    check_replay(driver)
    driver.finish()
    assert driver.run.status == "failed"
    broken.works = True
    retried(driver)
    assert driver.run.round == 2
    driver.finish()
    assert driver.output == 1
    check_replay(driver)
    assert driver.executions.count("before") == 1


def test_a_result_of_an_earlier_round_does_not_count() -> None:
    broken = Broken()
    definition = Definition(
        "w", nodes=(Parallel(id="p", do=(task("bad", "broken", x=5), task("slow", x=1))),), output=None
    )
    driver = RunDriver(definition, None, {"echo": echo, "broken": broken})
    slow = driver.place("slow")
    attempt = driver.run.open[slow]
    driver.execute_next()
    assert driver.run.status == "failed"
    retried(driver)
    stale = driver.command(lambda t: decide.task_result(t, slow, attempt, 0, Raw(encode(1)), None))
    assert stale is False
    broken.works = True
    assert driver.finish().run.status == "completed"


def test_retries_begin_anew_in_a_new_round() -> None:
    broken = Broken()
    retry = RetryPolicy(max_attempts=2, initial_delay_ms=10, jitter=0)
    definition = Definition("w", nodes=(Task(id="bad", task="broken", retry=retry),))
    driver = RunDriver(definition, None, {"broken": broken}).finish()
    assert driver.executions == ["bad"] * 2
    retried(driver)
    driver.finish()
    assert driver.executions == ["bad"] * 4


def test_a_timed_out_signal_is_awaited_anew() -> None:
    definition = Definition("w", nodes=(WaitSignal(id="s", signal="go", timeout_ms=100),), output="${s}")
    driver = RunDriver(definition).finish()
    assert driver.run.status == "failed"
    retried(driver)
    assert driver.run.waits
    driver.signal("go", 7, "e1")
    assert driver.output == 7
    check_replay(driver)


def test_a_run_that_timed_out_gets_its_time_again() -> None:
    definition = Definition("w", nodes=(WaitSignal(id="s", signal="go"),), output="${s}", timeout_ms=100)
    driver = RunDriver(definition).finish()
    assert driver.run.error is not None
    assert driver.run.error.type == "TimedOut"
    retried(driver)
    assert driver.run.timers == {-1: driver.now_ms + 100}
    driver.signal("go", 7, "e1")
    assert driver.output == 7


def test_a_failed_child_is_started_again_as_another_run() -> None:
    definition = Definition("w", nodes=(SubWorkflow(id="c", workflow="child"),), output="${c}")
    driver = RunDriver(definition)
    first = driver.mail[0][1]
    key = driver.place("c")
    driver.command(
        lambda t: decide.child_ended(t, key, first.run_id, "failed", Raw(b"\xc0"), error_of(ValueError("x")))
    )
    assert driver.run.status == "failed"
    retried(driver)
    second = driver.mail[-1][1]
    assert isinstance(second, ChildStart)
    assert second.run_id != first.run_id
    driver.command(lambda t: decide.child_ended(t, key, second.run_id, "completed", Raw(encode(3)), None))
    assert driver.output == 3
    check_replay(driver)


def test_what_has_not_failed_cannot_be_retried() -> None:
    driver = RunDriver(Definition("w", nodes=(WaitSignal(id="s", signal="go"),)))
    with pytest.raises(RunClosed, match="has not failed"):
        retried(driver)
    driver.control("cancel")
    with pytest.raises(RunClosed, match="ended as cancelled"):
        retried(driver)


def test_a_sub_workflow_is_not_retried_behind_its_parent_s_back() -> None:
    driver = RunDriver(Definition("w", nodes=(task("bad", "boom", x=1),)), None, TASKS).finish()
    driver.run.parent = OTHER_ID
    with pytest.raises(RunClosed, match="retry that one"):
        retried(driver)


def skipped(driver: RunDriver, node: str, value: Any, act: int | None = None) -> None:
    driver.command(lambda turn: rounds.skip(turn, node, Raw(encode(value)), act))


@pytest.mark.parametrize(
    "node",
    [
        task("it", x=1),
        WaitSignal(id="it", signal="go", timeout_ms=1000),
        Sleep(id="it", duration_ms=1000),
        SubWorkflow(id="it", workflow="child"),
        Map(id="it", items="[1, 2]", do=(task("inner", x="${item}"),)),
        Map(id="it", items="[1, 2]", do=(Sleep(id="s", duration_ms=5), task("inner", x="${item}"))),
        Catch(id="it", errors=("ValueError",), do=(task("inner", x=1),)),
    ],
)
def test_an_open_node_can_be_skipped(node: Any) -> None:
    definition = Definition("w", nodes=(node, task("after", x="${it}")), output="${after}")
    driver = RunDriver(definition, None, TASKS)
    skipped(driver, "it", 42)
    check_replay(driver)
    driver.ready = [key for key in driver.ready if key in driver.run.open]
    driver.finish()
    assert driver.output == 42
    assert driver.executions == ["after"]
    check_replay(driver)


def test_skipping_needs_something_open() -> None:
    driver = RunDriver(Definition("w", nodes=(task("a", x=1), task("b", x=1)), output=None), None, TASKS)
    with pytest.raises(InvalidInput, match="no node"):
        skipped(driver, "c", 1)
    with pytest.raises(InvalidInput, match="not open"):
        skipped(driver, "b", 1)
    driver.finish()
    with pytest.raises(RunClosed):
        skipped(driver, "a", 1)


def test_one_of_several_activations_is_named() -> None:
    definition = Definition("w", nodes=(Map(id="m", items="[1, 2]", do=(task("it", x="${item}"),)),), output="${m}")
    driver = RunDriver(definition, None, TASKS)
    with pytest.raises(InvalidInput, match="open 2 times"):
        skipped(driver, "it", 9)
    skipped(driver, "it", 9, act=2)
    driver.ready = [key for key in driver.ready if key in driver.run.open]
    driver.finish()
    assert driver.output == [1, 9]


def read(text: str) -> Definition:
    (definition,) = read_definitions("workflow: w\nparams: {n: integer}\nnodes:\n" + text, "w.yaml")
    return definition


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
