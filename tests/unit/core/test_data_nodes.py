"""Nodes that only compute: decision, transformation, state and assignment, emitted events."""

from __future__ import annotations

import pytest

from support.core_cases import TASKS, define, drive, task
from support.runs import RunDriver, decode
from wfe.model.definition import (
    Assign,
    Block,
    Catch,
    Decision,
    Emit,
    Map,
    Parallel,
    Reduce,
    Set,
    Sleep,
    State,
    Transform,
)
from wfe.model.event_kinds import EventEmitted

SIZES = Decision(id="d", cases={"large": "n > 100", "small": "n < 10", "other": None})


class TestDecision:
    @pytest.mark.parametrize(("n", "case"), [(101, "large"), (1, "small"), (50, "other")])
    def test_the_first_case_that_holds_is_the_value(self, n: int, case: str):
        assert drive(define(SIZES, output="${d}"), n).output == case

    def test_no_case_is_a_fault(self):
        run = drive(define(Decision(id="d", cases={"large": "n > 100"})), 5)
        assert (run.run.error.type, run.run.error.node) == ("NoCase", "d")

    def test_a_case_that_is_no_condition_is_a_fault(self):
        assert drive(define(Decision(id="d", cases={"large": "n"})), 5).run.error.type == "expression"


class TestTransform:
    def transform(self, items: object, **parts: object) -> object:
        return drive(define(Transform(id="t", items="n", **parts), output="${t}"), items).output  # type: ignore[arg-type]

    def test_filter_enrich_map_and_reduce_follow_each_other(self):
        items = [{"price": 2, "count": 3}, {"price": 5, "count": 0}, {"price": 1, "count": 4}]
        assert self.transform(items, filter="item.count > 0") == [items[0], items[2]]
        assert self.transform(items[:1], enrich={"sum": "${item.price * item.count}"}) == [{**items[0], "sum": 6}]
        total = Reduce(value="total + item", initial=100)
        parts = {"filter": "x.count > 0", "enrich": {"sum": "${x.price * x.count}"}, "map": "x.sum"}
        assert self.transform(items, as_="x", **parts) == [6, 4]
        assert self.transform(items, as_="x", **parts, reduce=Reduce(value="total + x", initial=100)) == 110
        assert self.transform([1, 2], reduce=total) == 103
        assert self.transform([], reduce=total) == 100

    def test_names_around_it_may_be_named(self):
        nodes = (Set(id="rate", value=3), Transform(id="t", items="n", map="item * rate"))
        assert drive(define(*nodes, output="${t}"), [1, 2]).output == [3, 6]

    @pytest.mark.parametrize(
        ("items", "parts"),
        [
            (5, {}),
            ([1], {"filter": "item"}),
            ([1], {"enrich": {"a": 1}}),
            ([{}], {"map": "item.missing"}),
            ([1], {"reduce": Reduce(value="total + item", initial="a")}),
        ],
    )
    def test_what_does_not_fit_is_a_fault(self, items: object, parts: dict[str, object]):
        run = drive(define(Transform(id="t", items="n", **parts)), items)  # type: ignore[arg-type]
        assert (run.run.error.type, run.run.error.node) == ("expression", "t")

    def test_all_items_together_have_one_budget_of_steps(self):
        body = "range(1000).map(a, range(100).map(b, a * b)).size()"
        body = body.replace("range(1000)", "n").replace("range(100)", "n")
        run = drive(define(Transform(id="t", items="n", map=body)), list(range(400)))
        assert run.run.error.type == "expression"
        assert "steps" in run.run.error.message

    def test_a_result_that_grows_without_end_is_a_fault(self):
        doubling = Reduce(value="total + total", initial="x" * 100)
        run = drive(define(Transform(id="t", items="n", reduce=doubling)), list(range(100)))
        assert run.run.error.type == "expression"


class TestState:
    def test_assign_changes_fields_or_all(self):
        nodes = (
            State(id="s", value={"a": 1, "b": "${n}"}),
            Assign(id="x", state="s", fields={"a": "${s.a + 1}", "c": 3}),
            Set(id="seen", value="${s}"),
            Assign(id="y", state="s", value="${s.a}"),
        )
        run = drive(define(*nodes, output="${[seen, s]}"), 5)
        assert run.output == [{"a": 2, "b": 5, "c": 3}, 2]
        assert run.replayed() == run.run

    def test_it_is_found_outwards_from_inside_blocks_items_and_iterations(self):
        add = Assign(id="x", state="s", value="${s + item}")
        nodes = (
            State(id="s", value=0),
            Map(id="m", items="[1, 2, 3]", do=(Block(id="b", do=(Map(id="k", items="[item]", as_="j", do=(add,)),)),)),
        )
        assert drive(define(*nodes, output="${s}")).output == 6

    def test_each_item_of_a_map_has_a_state_of_its_own(self):
        body = (State(id="s", value="${item}"), Assign(id="x", state="s", value="${s * 10}"))
        assert drive(define(Map(id="m", items="[1, 2]", do=body, output="${s}"), output="${m}")).output == [10, 20]

    def test_a_task_gets_the_value_as_of_its_start_however_often_it_is_given_out(self):
        nodes = (
            State(id="s", value=1),
            Parallel(id="p", do=(
                task("t", "inc", x="${s}"),
                Block(id="b", do=(Sleep(id="z", duration_ms=5), Assign(id="x", state="s", value=2))),
            )),
        )  # fmt: skip
        run = RunDriver(define(*nodes, output="${s}"), None, TASKS)
        run.fire_next_timer()
        assert run.input_of(run.place("t")) == {"x": 1}

    def test_fields_of_what_is_no_object_are_a_fault(self):
        nodes = (State(id="s", value=1), Assign(id="x", state="s", fields={"a": 1}))
        assert drive(define(*nodes)).run.error.type == "expression"

    def test_a_state_that_has_not_begun_cannot_be_assigned(self):
        nodes = (State(id="s", value=1, if_="false"), Assign(id="x", state="s", value=2))
        assert drive(define(*nodes, output="${s}")).output == 2  # bypassed: it is null
        caught = Catch(id="c", errors=("expression",), do=(
            Parallel(id="p", do=(Block(id="b", do=(Sleep(id="z", duration_ms=9), State(id="s", value=1))),)),
            Assign(id="x", state="missing", value=2),
        ))  # fmt: skip
        assert drive(define(caught, output="${c.failed}")).output is True


class TestEmit:
    def test_an_event_is_in_the_history_with_its_type_and_data(self):
        run = drive(define(Emit(id="e", emit="order.${n}", data={"n": "${n}"}), output="${e}"), 7)
        assert run.output is None
        (event,) = [e for e in run.events if isinstance(e, EventEmitted)]
        assert (event.name, decode(event.data)) == ("order.7", {"n": 7})

    @pytest.mark.parametrize("kind", ["${n}", "", "${'x'.split('')}"])
    def test_a_type_that_is_no_text_is_a_fault(self, kind: str):
        assert drive(define(Emit(id="e", emit=kind)), 7).run.error.type == "expression"
