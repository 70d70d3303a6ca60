"""Cancel, pause, resume; sub-workflows and who is told of their ends."""

from __future__ import annotations

import pytest
from msgspec import Raw

from support.core_cases import TASKS, define, drive, task
from support.runs import RUN_ID, RunDriver, encode, error_of
from wfe.core import decide
from wfe.errors import RunClosed
from wfe.model.definition import (
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
)  # fmt: skip
from wfe.model.mail import ChildControl, ChildEnded, ChildStart
from wfe.model.policy import ErrorInfo


class TestControl:
    def test_cancel_ends_the_run_and_withdraws_its_tasks_and_children(self):
        block = Parallel(id="p", do=(task("a", "inc", x=1), SubWorkflow(id="sub", workflow="other")))
        run = RunDriver(define(block), None, TASKS)
        child = run.mail[0][0]
        run.control("cancel")
        assert run.run.status == "cancelled"
        assert run.withdrawn == [(run.place("a"), 1)]
        assert run.mail[-1] == (child, ChildControl(child, "cancel"))
        with pytest.raises(RunClosed):
            run.control("pause", "c2")

    def test_results_of_a_paused_run_take_effect_at_resume_in_order(self):
        run = RunDriver(define(task("a", "inc", x=1), task("b", "inc", x="${a}"), output="${b}"), None, TASKS)
        run.control("pause", "c1")
        run.complete(run.place("a"), 2)
        assert run.run.open == {}
        assert [type(e).__name__ for e in run.events][-1] == "TaskDone"
        run.control("resume", "c2")
        assert run.run.open == {run.place("b"): 1}
        assert run.finish().output == 3

    def test_a_failure_of_a_paused_run_is_handled_at_resume(self):
        run = RunDriver(define(task("a", "boom")), None, TASKS)
        run.control("pause", "c1")
        run.fail(run.place("a"), error_of(ValueError("x")))
        assert run.run.status == "paused"
        run.control("resume", "c2")
        assert run.run.status == "failed"

    def test_a_timer_that_fires_while_paused_takes_effect_after_resume(self):
        run = RunDriver(define(Sleep(id="s", duration_ms=100), output=1), None, TASKS)
        run.control("pause", "c1")
        run.fire_next_timer()
        assert run.run.status == "paused"
        run.control("resume", "c2")
        assert run.finish().output == 1

    def test_a_repeated_command_gets_the_same_answer(self):
        run = RunDriver(define(task("a", "inc", x=1)), None, TASKS)
        run.control("pause", "c1")
        run.control("resume", "c2")
        before = len(run.events)
        run.control("pause", "c1")
        assert (run.run.status, len(run.events)) == ("running", before)


class TestSubWorkflows:
    def test_the_child_is_asked_for_by_mail_and_its_output_is_the_value(self):
        run = RunDriver(define(SubWorkflow(id="sub", workflow="other", with_={"x": "${n}"}), output="${sub}"), 5, TASKS)
        ((child, start),) = run.mail
        assert isinstance(start, ChildStart)
        assert (start.run_id, start.parent, start.workflow, start.depth) == (child, RUN_ID, "other", 1)
        assert bytes(start.input) == encode({"x": 5})
        key = run.place("sub")
        assert not run.command(lambda t: decide.child_ended(t, key, "another", "completed", encode(1), None))
        run.command(lambda t: decide.child_ended(t, key, child, "completed", Raw(encode(5)), None))
        assert run.output == 5

    def test_a_failed_child_is_a_fault_of_its_type(self):
        run = RunDriver(define(SubWorkflow(id="sub", workflow="other")), None, TASKS)
        child = run.mail[0][0]
        error = ErrorInfo("CardDeclined", "no", types=("CardDeclined",))
        run.command(lambda t: decide.child_ended(t, run.place("sub"), child, "failed", encode(None), error))
        assert (run.run.error.type, run.run.error.node) == ("CardDeclined", "sub")

    def test_a_child_that_takes_too_long_is_cancelled(self):
        run = drive(define(SubWorkflow(id="sub", workflow="other", timeout_ms=50)))
        assert run.run.error.type == "TimedOut"
        assert [body.action for _, body in run.mail if isinstance(body, ChildControl)] == ["cancel"]

    def test_a_detached_start_awaits_only_that_it_was_started_and_gives_the_run_id(self):
        run = drive(define(StartWorkflow(id="s", workflow="other", key="k-${n}"), output="${s}"), 1)
        ((receiver, start),) = run.mail
        assert (start.run_id, start.key, start.detached) == (receiver, "k-1", True)
        key = run.place("s")
        assert not run.command(lambda t: decide.child_started(t, key, "another", "x"))
        run.command(lambda t: decide.child_started(t, key, receiver, "the run that the key names"))
        assert run.output == "the run that the key names"

    def test_a_detached_start_that_is_impossible_is_a_fault(self):
        run = drive(define(StartWorkflow(id="s", workflow="other")))
        child = run.mail[0][0]
        error = ErrorInfo("UnknownWorkflow", "no", types=("UnknownWorkflow",))
        run.command(lambda t: decide.child_ended(t, run.place("s"), child, "failed", encode(None), error))
        assert run.run.error.type == "UnknownWorkflow"

    def test_detached_runs_do_not_share_the_fate_of_their_starter(self):
        run = drive(define(StartWorkflow(id="s", workflow="other")))
        run.control("pause", "c1")
        run.control("cancel", "c2")
        assert not [body for _, body in run.mail if isinstance(body, ChildControl)]

    def test_a_run_with_a_parent_reports_its_end(self):
        definition = define(Set(id="v", value=3), output="${v}")
        run = RunDriver(definition, None, TASKS)
        run.run.parent, run.run.parent_node, run.run.parent_act = "parent", 2, 7
        assert run.run.status == "completed"
        again = RunDriver(define(task("a", "inc", x=1)), None, TASKS)
        again.run.parent, again.run.parent_node, again.run.parent_act = "parent", 2, 7
        again.finish()
        ((receiver, told),) = again.mail
        assert isinstance(told, ChildEnded)
        assert (receiver, told.node, told.act, told.status) == ("parent", 2, 7, "completed")
