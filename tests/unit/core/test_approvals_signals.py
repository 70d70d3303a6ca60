"""Approvals and signals: decisions in time, late and early; correlation; signals that nobody keeps."""

from __future__ import annotations

from typing import Any

import pytest

from support.core_cases import TASKS, define
from support.runs import RunDriver, decode
from wfe.errors import InvalidInput
from wfe.model.definition import Approval, Block, Catch, Escalation, Parallel, Race, Sleep, WaitSignal
from wfe.model.event_kinds import SignalLost

FORM = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}}}


def approval(**rest: Any) -> Approval:
    return Approval(id="a", approval="manager", **rest)


def waiting(*nodes: Any, output: Any = "${a}", value: Any = None) -> RunDriver:
    return RunDriver(define(*nodes, output=output), value, TASKS)


class TestApproval:
    def test_its_value_is_the_decision(self):
        run = waiting(approval(to="${n}"), value="ann")
        (asked,) = run.run.approvals.values()
        assert decode(asked.to) == "ann"
        run.signal("manager", {"approved": True, "by": "ann", "comment": "fine", "data": [1]}, "e")
        assert run.output == {"approved": True, "by": "ann", "comment": "fine", "data": [1]}
        assert run.replayed() == run.run

    def test_what_was_not_said_is_empty(self):
        run = waiting(approval())
        run.signal("manager", {"approved": True}, "e")
        assert run.output == {"approved": True, "by": "", "comment": "", "data": None}

    def test_a_refusal_is_a_fault_that_names_the_comment(self):
        run = waiting(approval())
        run.signal("manager", {"approved": False, "by": "bob", "comment": "too much"}, "e")
        assert run.run.error.type == "Rejected"
        assert run.run.error.message == "manager was refused by bob: too much"
        caught = Catch(id="c", errors=("Rejected",), do=(approval(),))
        run = waiting(caught, output="${c.type}")
        run.signal("manager", {"approved": False}, "e")
        assert run.output == "Rejected"

    def test_a_refusal_may_be_a_value(self):
        run = waiting(approval(on_reject="continue"), output="${a.approved}")
        run.signal("manager", {"approved": False}, "e")
        assert run.output is False

    @pytest.mark.parametrize(
        ("on_timeout", "on_reject", "status", "by"),
        [
            ("fail", "fail", "TimedOut", ""),
            ("approve", "fail", True, "timeout"),
            ("reject", "continue", False, "timeout"),
            ("reject", "fail", "Rejected", ""),
        ],
    )
    def test_a_decision_that_does_not_come(self, on_timeout: str, on_reject: str, status: object, by: str):
        node = approval(timeout_ms=1_000, on_timeout=on_timeout, on_reject=on_reject)
        run = waiting(node).finish()
        if isinstance(status, str):
            assert run.run.error.type == status
        else:
            assert (run.output["approved"], run.output["by"]) == (status, by)
        assert run.replayed() == run.run

    def test_a_decision_that_came_early_counts(self):
        run = waiting(Sleep(id="z", duration_ms=10), approval(timeout_ms=5, escalate=(Escalation(1, "x"),)))
        run.signal("manager", {"approved": True, "by": "eve"}, "e")
        assert run.finish().output["by"] == "eve"

    def test_after_a_while_somebody_else_is_asked(self):
        later = (Escalation(1_000, "${n + '1'}"), Escalation(2_000, ["x", "y"]))
        run = waiting(approval(to="${n}", escalate=later, timeout_ms=10_000), value="boss")
        asked = []
        for _ in range(3):
            (state,) = run.run.approvals.values()
            asked.append((run.now_ms - 1_000_000, decode(state.to)))
            run.fire_next_timer()
            assert run.replayed() == run.run
        assert asked == [(0, "boss"), (1_000, "boss1"), (3_000, ["x", "y"])]
        assert run.run.error.type == "TimedOut"

    def test_an_escalation_that_cannot_be_computed_is_a_fault(self):
        run = waiting(approval(escalate=(Escalation(1_000, "${n.x}"),)), value=1)
        assert run.finish().run.error.type == "expression"
        assert not run.run.approvals

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            True,
            {},
            {"approved": "yes"},
            {"approved": 1},
            {"approved": True, "by": 5},
            {"approved": True, "coment": "x"},
            {"approved": True},
            {"approved": True, "data": {"amount": "much"}},
            {"approved": False, "data": {}},
        ],
    )
    def test_a_payload_that_is_no_decision_is_refused_and_changes_nothing(self, payload: object):
        run = waiting(approval(form=FORM))
        before = list(run.events)
        with pytest.raises(InvalidInput, match="manager"):
            run.signal("manager", payload, "e")
        assert run.events == before
        run.signal("manager", {"approved": True, "data": {"amount": 5}}, "e2")
        assert run.output["data"] == {"amount": 5}

    def test_a_refusal_needs_no_form(self):
        run = waiting(approval(form=FORM, on_reject="continue"))
        run.signal("manager", {"approved": False}, "e")
        assert run.output["approved"] is False

    def test_a_decision_of_a_pause_takes_effect_at_its_end(self):
        run = waiting(approval(timeout_ms=1_000))
        run.control("pause", "p")
        run.signal("manager", {"approved": True}, "e")
        assert run.run.status == "paused"
        assert not run.run.approvals  # nobody is asked any more
        run.control("resume", "r")
        assert run.output["approved"] is True

    def test_one_that_lost_a_race_is_withdrawn(self):
        run = waiting(Race(id="r", do=(approval(escalate=(Escalation(500, "x"),)), Sleep(id="z", duration_ms=1_000))))
        run.fire_next_timer()
        run.fire_next_timer()
        assert not run.run.approvals
        assert not run.run.waits
        assert run.replayed() == run.run

    def test_two_approvals_of_one_name_take_one_decision_each(self):
        run = waiting(Parallel(id="p", do=(approval(), Approval(id="b", approval="manager"))), output="${[a.by, b.by]}")
        run.signal("manager", {"approved": True, "by": "1"}, "e1")
        run.signal("manager", {"approved": True, "by": "2"}, "e2")
        assert run.output == ["1", "2"]


class TestCorrelation:
    WAIT = WaitSignal(id="a", signal="paid", correlate="${n}")

    def send(self, run: RunDriver, correlation: str, value: object, event: str) -> None:
        from msgspec import Raw

        from support.runs import encode
        from wfe.core import decide

        run.command(lambda turn: decide.signal(turn, "paid", Raw(encode(value)), event, correlation))

    def test_only_a_signal_with_its_correlation_counts(self):
        run = waiting(self.WAIT, value="order-7")
        self.send(run, "order-8", 1, "e1")
        self.send(run, "", 2, "e2")
        assert run.run.status == "running"
        self.send(run, "order-7", 3, "e3")
        assert run.output == 3
        assert run.replayed() == run.run

    def test_one_that_came_early_is_kept(self):
        run = waiting(Sleep(id="z", duration_ms=5), self.WAIT, value="x")
        self.send(run, "x", 3, "e")
        assert run.finish().output == 3

    def test_a_wait_without_correlation_takes_none_that_has_one(self):
        run = waiting(WaitSignal(id="a", signal="paid"))
        self.send(run, "x", 1, "e1")
        assert run.run.status == "running"
        self.send(run, "", 2, "e2")
        assert run.output == 2

    def test_numbers_are_text_and_null_is_none(self):
        run = waiting(self.WAIT, value=7)
        self.send(run, "7", 1, "e")
        assert run.output == 1
        run = waiting(self.WAIT)
        self.send(run, "", 1, "e")
        assert run.output == 1

    def test_what_can_be_no_correlation_is_a_fault(self):
        assert waiting(self.WAIT, value=[1]).run.error.type == "expression"
        assert waiting(self.WAIT, value=True).run.error.type == "expression"


class TestTransient:
    WAIT = WaitSignal(id="a", signal="ring", transient=True, timeout_ms=1_000, default="late")

    def test_one_that_comes_while_nobody_waits_is_lost(self):
        run = waiting(Sleep(id="z", duration_ms=5), self.WAIT)
        run.signal("ring", 1, "e")
        run.signal("ring", 1, "e")
        assert [type(e) for e in run.events].count(SignalLost) == 1
        assert not run.run.signals
        assert run.finish().output == "late"

    def test_one_that_comes_in_time_is_taken(self):
        run = waiting(Sleep(id="z", duration_ms=5), self.WAIT)
        run.fire_next_timer()
        run.signal("ring", 1, "e")
        assert run.output == 1

    def test_a_persistent_wait_of_the_same_name_keeps_it(self):
        late = Block(id="b", do=(Sleep(id="z", duration_ms=5), WaitSignal(id="p", signal="ring")))
        run = waiting(Parallel(id="x", do=(late,)), self.WAIT, output="${[p, a]}")
        run.signal("ring", 1, "e")
        assert run.finish().output == [1, "late"]

    def test_one_that_comes_during_a_pause_is_taken_or_lost_at_its_end(self):
        run = waiting(self.WAIT)
        run.control("pause", "p")
        run.signal("ring", 1, "e")
        run.control("resume", "r")
        assert run.output == 1
        run = waiting(Sleep(id="z", duration_ms=5), self.WAIT)
        run.control("pause", "p")
        run.signal("ring", 1, "e")
        run.control("resume", "r")
        assert not run.run.signals
        assert run.finish().output == "late"
        assert run.replayed() == run.run


def test_a_signal_that_nothing_names_is_kept():
    run = waiting(Sleep(id="z", duration_ms=5))
    run.signal("other", 1, "e")
    assert run.run.signals
