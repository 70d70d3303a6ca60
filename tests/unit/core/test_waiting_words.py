"""What a run waits for, in words: each thing once, by the names that authors know."""

from support.runs import RunDriver
from wfe.model.definition import (
    Approval,
    CompensateWith,
    Custom,
    Definition,
    Escalation,
    Fail,
    Http,
    Lock,
    Loop,
    Map,
    Set,
    Sleep,
    Task,
    WaitSignal,
)
from wfe.partition.views import shown_status, waiting_for


def waits(*nodes) -> list[tuple[str, str, str]]:
    driver = RunDriver(Definition("w", nodes=nodes))
    return [(wait.kind, wait.node, wait.detail) for wait in waiting_for(driver.run, driver.plan, {})]


def test_an_approval_is_no_signal_and_its_escalation_no_timer() -> None:
    node = Approval(id="a", approval="boss", to="ann", escalate=(Escalation(60_000, "bob"),))
    assert waits(node) == [("approval", "a", "boss by ann")]


def test_a_correlated_signal_says_with_what() -> None:
    assert waits(WaitSignal(id="s", signal="paid", correlate="o-1")) == [("signal", "s", "paid o-1")]


def test_tasks_of_the_engine_and_of_plugins_have_their_names() -> None:
    assert waits(Http(id="h", method="GET", url="http://example.com/")) == [("worker", "h", "wfe.http")]
    assert waits(Custom(id="c", custom="slack.message")) == [("worker", "c", "slack.message")]


def test_a_run_that_only_waits_for_a_person_is_waiting() -> None:
    driver = RunDriver(Definition("w", nodes=(Approval(id="a", approval="boss"),)))
    assert shown_status(driver.run, {}) == "waiting"


def test_a_map_that_may_grow_waits_for_items() -> None:
    node = Map(id="m", items="0", grow="more", do=(Task(id="t", task="t"),))
    assert waits(node) == [("items", "m", "more")]


def test_a_lock_that_is_held_holds_nothing_up() -> None:
    definition = Definition(
        "w", locks={"desk": 1}, nodes=(Lock(id="l", names=("desk",), do=(Sleep(id="s", duration_ms=1000),)),)
    )
    driver = RunDriver(definition)
    assert [(wait.kind, wait.node) for wait in waiting_for(driver.run, driver.plan, {})] == [("timer", "s")]
    assert shown_status(driver.run, {}) == "waiting"
    driver.run.timers.clear()
    assert shown_status(driver.run, {}) == "running"


def test_a_run_that_compensates_says_how_it_will_end() -> None:
    driver = RunDriver(
        Definition(
            "w",
            nodes=(
                CompensateWith(id="c", task="undo"),
                CompensateWith(id="d", task="undo_too"),
                Fail(id="f", error="Broken"),
            ),
        )
    )
    assert [(wait.kind, wait.node, wait.detail) for wait in waiting_for(driver.run, driver.plan, {})] == [
        ("compensation", "", "1 more after the open one, before the run is failed"),
        ("worker", "d", "undo_too"),
    ]


def test_a_loop_that_rests_says_so() -> None:
    driver = RunDriver(Definition("w", nodes=(Loop(id="l", max_iterations=100_000, do=(Set(id="x", value=1),)),)))
    (wait,) = waiting_for(driver.run, driver.plan, {})
    assert (wait.kind, wait.node) == ("loop", "l")
    assert wait.detail == f"turn after iteration {driver.run.loops[driver.place('l')].iteration}"
