"""Retry, fork, skip and looking back: runs that go on from a state of the past."""

from typing import Any

import pytest
from msgspec import Raw

from support.rounds import OTHER_ID, check_replay, forked, retried, skipped
from support.runs import RunDriver, encode, error_of
from wfe.core import decide, rounds
from wfe.errors import InvalidInput, RunClosed
from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    Definition,
    Lock,
    Map,
    Parallel,
    Set,
    Sleep,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.mail import ChildStart
from wfe.model.policy import RetryPolicy


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


def test_a_fork_from_every_event_gives_what_the_run_gave() -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    for event in range(1, len(origin.events)):
        fork = forked(origin, event=event)
        check_replay(fork)
        fork.finish()
        assert fork.output == origin.output, f"forked after event {event}: {origin.events[event - 1]}"
        check_replay(fork)


def test_a_fork_of_a_fork_goes_on_from_where_the_first_one_began() -> None:
    origin = RunDriver(BUSY, 3, TASKS).finish()
    for event in range(1, len(origin.events)):
        first = forked(origin, event=event)
        begun = forked(first, event=2)
        check_replay(begun)
        assert begun.finish().output == origin.output, f"fork of a fork from event {event}, {origin.events[event - 1]}"


def test_a_fork_from_inside_a_lock_of_all_runs_is_refused_before_anything_begins() -> None:
    locked = Definition("locked", nodes=(Lock(id="lock", names=("till",), do=(task("inner", x=1),)),))
    driver = RunDriver(locked, None, TASKS)
    assert driver.run.shared_locks
    with pytest.raises(RunClosed, match="inside a lock"):
        rounds.fork_point(driver.plan, driver.events, event=len(driver.events))


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
        ({"node": "nope"}, "no node .nope.; it has: "),
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


def test_an_unknown_node_is_answered_with_those_that_there_are_nearest_first() -> None:
    nodes = tuple(task(name, x=1) for name in [*(f"other_{n}" for n in range(20)), "charge"])
    driver = RunDriver(Definition("w", nodes=nodes, output=None), None, TASKS)
    with pytest.raises(InvalidInput, match=r"no node 'chrage'; it has: charge, other_0, .* and 11 more"):
        skipped(driver, "chrage", 1)
