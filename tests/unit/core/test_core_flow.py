"""What one run does: order, blocks, maps, faults, waits, sub-workflows, and what withdraws what."""

from __future__ import annotations

import pytest

from support.core_cases import TASKS, boom, define, drive, task
from support.runs import RUN_ID, START_MS, RunDriver, encode
from wfe.core import decide
from wfe.core.evolve import EVOLVE
from wfe.core.nodes import CLOSE, OPEN
from wfe.core.plan import Op
from wfe.errors import InvalidInput
from wfe.model import event as events
from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    End,
    Fail,
    Map,
    Parallel,
    Sleep,
    Task,
    WaitSignal,
    When,
)  # fmt: skip
from wfe.model.policy import ErrorInfo, RetryPolicy


def test_every_event_of_a_run_has_an_evolve():
    run_events = set(events.RunEvent.__args__)
    assert run_events - set(EVOLVE) == {events.RunStarted}
    assert set(EVOLVE) <= run_events


def test_every_operation_has_a_handler():
    assert set(OPEN) == set(Op)
    assert set(CLOSE) >= {Op.WHEN, Op.BLOCK, Op.CATCH, Op.MAP, Op.LOOP, Op.RACE, Op.LOCK}


def test_a_chain_runs_in_the_order_of_its_lines_with_two_events_a_task():
    run = drive(define(task("a", "inc", x="${n}"), task("b", "inc", x="${a}"), output="${b}"), 1)
    assert run.output == 3
    assert [type(e).__name__ for e in run.events] == [
        "RunStarted", "TasksOpened", "TaskDone", "TasksOpened", "TaskDone", "RunEnded",
    ]  # fmt: skip


def test_a_workflow_without_nodes_completes_at_once():
    assert drive(define(output="${n}"), 7).output == 7


def test_expressions_see_the_facts_of_the_run():
    facts = drive(define(output="${run}")).output
    assert (facts["id"], facts["started_at"]) == (RUN_ID, "1970-01-01T00:16:40Z")


def test_several_parameters_are_read_by_name():
    run = drive(define(task("s", "add", a="${x}", b="${y}"), output="${s}", params=("x", "y")), {"x": 2, "y": 3})
    assert run.output == 5


def test_nodes_in_parallel_are_ordered_by_data_only():
    block = Parallel(
        id="p", do=(task("late", "add", a="${left}", b="${right}"), task("left", "inc", x=1), task("right", "inc", x=2))
    )
    run = RunDriver(define(block, output="${late}"), None, TASKS)
    assert {run.plan.nodes[k % run.plan.stride].id for k in run.ready} == {"left", "right"}
    assert run.finish().output == 5


def test_the_first_failure_in_parallel_withdraws_the_others_and_fails_the_run():
    run = RunDriver(define(Parallel(id="p", do=(task("a", "boom"), task("b", "inc", x=1)))), None, TASKS)
    run.execute_next()
    assert run.run.status == "failed"
    assert run.run.error.type == "ValueError"
    assert run.withdrawn == [(run.place("b"), 1)]


@pytest.mark.parametrize(("value", "expected"), [(1, "small"), (5, "middle"), (50, "large")])
def test_when_takes_the_first_arm_that_holds(value: int, expected: str):
    choice = When(
        id="w",
        branches=(
            Branch("n < 3", (task("a", "echo", x="small"),)),
            Branch("n < 10", (task("b", "echo", x="middle"),)),
            Branch(None, (task("c", "echo", x="large"),)),
        ),
    )
    assert drive(define(choice, output="${merge(a, b, c)}"), value).output == expected


def test_when_without_a_holding_arm_goes_on():
    choice = When(id="w", branches=(Branch("n > 3", (task("a", "inc", x=1),)),))
    assert drive(define(choice, task("z", "inc", x="${n}"), output="${z}"), 1).output == 2


def test_a_condition_that_is_no_truth_value_is_a_fault_of_type_expression():
    run = drive(define(When(id="w", branches=(Branch("n", ()),))), 1)
    assert (run.run.status, run.run.error.type, run.run.error.node) == ("failed", "expression", "w")


def test_a_false_if_bypasses_a_node_with_null():
    bypassed = Task(id="a", task="boom", if_="n > 3")
    assert drive(define(bypassed, output="${a}"), 1).output is None


class TestMap:
    def test_results_are_in_the_order_of_items(self):
        body = Map(id="m", items="n", do=(task("b", "inc", x="${item}"),))
        run = RunDriver(define(body, output="${m}"), [3, 1, 2], TASKS)
        run.ready.reverse()
        assert run.finish().output == [4, 2, 3]

    def test_no_more_than_max_parallel_are_open(self):
        run = RunDriver(
            define(Map(id="m", items="n", max_parallel=3, do=(task("b", "inc", x="${item}"),))), [0] * 10, TASKS
        )
        while run.run.status == "running":
            assert len(run.run.open) <= 3
            run.execute_next()
        assert len(run.executions) == 10

    def test_a_body_of_several_nodes_has_values_of_its_own_per_item(self):
        body = Map(
            id="m",
            items="n",
            as_="x",
            do=(task("b", "inc", x="${x}"), task("c", "add", a="${b}", b="${x}")),
            output="${[x, c]}",
        )
        assert drive(define(body, output="${m}"), [1, 2]).output == [[1, 3], [2, 5]]

    def test_maps_nest(self):
        inner = Map(id="inner", items="row", as_="cell", do=(task("b", "add", a="${cell}", b="${size(row)}"),))
        outer = Map(id="m", items="n", as_="row", do=(inner,))
        assert drive(define(outer, output="${m}"), [[1], [], [2, 3]]).output == [[2], [], [4, 5]]

    def test_an_empty_list_gives_an_empty_list(self):
        assert (
            drive(define(Map(id="m", items="n", do=(task("b", "inc", x="${item}"),)), output="${m}"), []).output == []
        )

    def test_items_that_are_no_list_are_a_fault(self):
        assert drive(define(Map(id="m", items="n", do=(task("b", "inc", x=1),))), "5").run.error.type == "expression"

    def test_one_failure_fails_the_map_and_withdraws_the_rest(self):
        run = RunDriver(define(Map(id="m", items="n", do=(task("b", "boom", x="${item}"),))), [1, 2, 3], TASKS)
        run.execute_next()
        assert run.run.status == "failed"
        assert len(run.withdrawn) == 2

    def test_tolerated_failures_are_listed_with_the_values_that_came(self):
        tasks = {"odd": lambda x: x if x % 2 else boom()}
        body = Map(id="m", items="n", tolerate_count=2, do=(task("b", "odd", x="${item}"),))
        out = RunDriver(define(body, output="${m}"), [1, 2, 3, 4], tasks).finish().output
        assert (out["values"], out["indexes"], [e["index"] for e in out["errors"]]) == ([1, 3], [0, 2], [1, 3])

    def test_more_failures_than_tolerated_fail_the_map(self):
        body = Map(id="m", items="n", tolerate_percent=50.0, do=(task("b", "boom", x="${item}"),))
        run = drive(define(body), [1, 2, 3, 4])
        assert (run.run.status, run.run.error.type) == ("failed", "ValueError")

    def test_an_item_with_a_frame_that_fails_is_withdrawn_whole(self):
        parallel = Parallel(id="p", do=(task("b", "boom"), Sleep(id="s", duration_ms=10_000)))
        run = RunDriver(define(Map(id="m", items="n", tolerate_count=5, do=(parallel,)), output="${m}"), [1], TASKS)
        run.finish()
        assert run.now_ms == START_MS
        assert [e["type"] for e in run.output["errors"]] == ["ValueError"]


class TestFaults:
    def test_retries_follow_the_policy_and_then_the_fault_is_final(self):
        policy = RetryPolicy(max_attempts=3, initial_delay_ms=100, backoff=2.0, jitter=0.0)
        run = RunDriver(define(Task(id="a", task="boom", retry=policy)), None, TASKS).finish()
        assert run.executions == ["a"] * 3
        assert run.now_ms == START_MS + 100 + 200
        assert (run.run.error.attempts, run.run.error.node) == (3, "a")

    def test_a_fatal_error_is_not_retried(self):
        run = RunDriver(define(Task(id="a", task="boom", retry=RetryPolicy())), None, TASKS)
        run.fail(run.place("a"), ErrorInfo("Fatal", "no", fatal=True))
        assert run.run.status == "failed"

    def test_errors_outside_on_and_inside_never_are_not_retried(self):
        for policy in (RetryPolicy(on=("KeyError",)), RetryPolicy(never=("ValueError",))):
            assert RunDriver(define(Task(id="a", task="boom", retry=policy)), None, TASKS).finish().executions == ["a"]

    def test_a_base_class_named_in_on_counts(self):
        run = RunDriver(
            define(Task(id="a", task="boom", retry=RetryPolicy(on=("Exception",), max_attempts=2))), None, TASKS
        )
        assert run.finish().executions == ["a", "a"]

    def test_a_catch_block_takes_the_error_and_withdraws_what_is_inside(self):
        inside = Parallel(id="p", do=(task("a", "boom"), Sleep(id="s", duration_ms=10_000)))
        run = drive(define(Catch(id="c", errors=("ValueError",), do=(inside,)), output="${c}"))
        assert run.output == {"failed": True, "type": "ValueError", "message": "boom", "node": "a", "attempts": 1}
        assert run.now_ms == START_MS

    def test_a_catch_block_without_failure_says_so(self):
        run = drive(define(Catch(id="c", errors=("ValueError",), do=(task("a", "inc", x=1),)), output="${c.failed}"))
        assert run.output is False

    def test_the_innermost_matching_block_takes_the_error(self):
        inner = Catch(id="inner", errors=("KeyError",), do=(task("a", "boom"),))
        run = drive(define(Catch(id="outer", errors=("Exception",), do=(inner,)), output={"outer": "${outer.failed}"}))
        assert run.output == {"outer": True}

    def test_an_error_out_of_a_map_reaches_the_block_around_it(self):
        body = Map(id="m", items="n", do=(task("b", "boom", x="${item}"),))
        run = drive(define(Catch(id="c", errors=("ValueError",), do=(body,)), output="${c.node}"), [1, 2])
        assert run.output == "b"

    def test_fail_raises_the_authors_error(self):
        run = drive(define(Fail(id="f", error="CardDeclined", message="no: ${n}")), 3)
        assert (run.run.error.type, run.run.error.message) == ("CardDeclined", "no: 3")

    def test_end_completes_the_run_and_withdraws_the_rest(self):
        block = Parallel(id="p", do=(task("a", "inc", x=1), Block(id="b", do=(End(id="e", value={"v": "${n}"}),))))
        run = RunDriver(define(block), 9, TASKS)
        assert run.output == {"v": 9}
        assert not run.run.open

    def test_a_task_lost_too_often_is_poison(self):
        run = RunDriver(define(task("a", "inc", x=1)), None, TASKS)
        key = run.place("a")
        for attempt in (1, 2, 3):
            assert run.command(lambda t, a=attempt: decide.task_lost(t, key, a, spent=True))
        assert run.run.open == {key: 4}
        run.command(lambda t: decide.task_lost(t, key, 4, spent=True))
        assert run.run.error.type == "PoisonTask"

    def test_a_task_that_must_not_be_redelivered_fails_when_its_worker_is_lost(self):
        run = RunDriver(define(Task(id="a", task="inc", with_={"x": 1}, redeliver=False)), None, TASKS)
        run.command(lambda t: decide.task_lost(t, run.place("a"), 1, spent=True))
        assert run.run.error.type == "WorkerLost"

    def test_only_the_open_attempt_counts(self):
        run = RunDriver(define(task("a", "inc", x=1)), None, TASKS)
        key = run.place("a")
        run.command(lambda t: decide.task_lost(t, key, 1, spent=False))
        assert not run.command(lambda t: decide.task_result(t, key, 1, 0, encode(1), None))
        assert run.complete(key, 5)
        assert not run.complete(key, 5)
        assert run.run.status == "completed"


class TestWaits:
    def test_sleep_ends_when_it_is_due_and_never_before(self):
        run = RunDriver(define(Sleep(id="s", duration_ms=5_000), output=1), None, TASKS)
        (timer,) = run.run.timers
        assert not run.command(lambda t: decide.timer_due(t, timer))
        assert run.finish().now_ms == START_MS + 5_000

    def test_sleep_takes_durations_and_moments_from_expressions(self):
        assert drive(define(Sleep(id="s", duration="n")), "2s").now_ms == START_MS + 2_000
        assert drive(define(Sleep(id="s", until="n")), START_MS + 77).now_ms == START_MS + 77

    def test_a_signal_that_came_early_is_taken(self):
        run = RunDriver(define(task("a", "inc", x=1), WaitSignal(id="s", signal="go"), output="${s}"), None, TASKS)
        run.signal("go", {"ok": 1}, "e1")
        assert run.finish().output == {"ok": 1}

    def test_a_repeated_signal_counts_once(self):
        nodes = (WaitSignal(id="s", signal="go"), WaitSignal(id="t", signal="go"))
        run = RunDriver(define(*nodes, output=["${s}", "${t}"]), None, TASKS)
        run.signal("go", 1, "e1")
        run.signal("go", 1, "e1")
        assert run.run.status == "running"
        run.signal("go", 2, "e2")
        assert run.output == [1, 2]

    def test_a_late_signal_gives_the_default_or_times_out(self):
        waits = {"timeout_ms": 100, "signal": "go"}
        assert drive(define(WaitSignal(id="s", default="none", **waits), output="${s}")).output == "none"
        assert drive(define(WaitSignal(id="s", **waits))).run.error.type == "TimedOut"

    def test_a_timeout_of_zero_polls(self):
        run = drive(define(WaitSignal(id="s", signal="go", timeout_ms=0, default=0), output="${s}"))
        assert (run.output, run.now_ms) == (0, START_MS)

    def test_a_signal_that_does_not_fit_is_refused_and_changes_nothing(self):
        run = RunDriver(define(WaitSignal(id="s", signal="go", schema={"type": "integer"})), None, TASKS)
        with pytest.raises(InvalidInput):
            run.signal("go", "text", "e1")
        assert run.run.seq == len(run.events)
        run.signal("go", 1, "e1")
        assert run.run.status == "completed"

    def test_a_run_that_takes_too_long_fails(self):
        run = drive(define(WaitSignal(id="s", signal="never"), timeout_ms=500))
        assert (run.run.error.type, run.now_ms) == ("TimedOut", START_MS + 500)
