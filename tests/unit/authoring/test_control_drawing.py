"""What loops, states, races, locks and decisions draw; when values of states are kept, and what may be used where."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from drawing_kit import Item, Order, anything, drawn, pack, text

import wfe
from wfe.model import definition as model
from wfe.model.net import Join


class Progress(msgspec.Struct, rename="camel"):
    count: int = 0
    last_name: str = ""
    names: list[str] = []


@wfe.task
def step(n: int) -> int: ...


def ids(nodes: tuple[model.Node, ...]) -> list[str]:
    return [node.id for node in nodes]


# ---- loops and states


def test_a_loop_with_a_state_draws_assignments_that_read_the_present_value() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        s = wf.state(Progress(last_name=order.id))
        with wf.loop(max_iterations=5):
            s.count += step(s.count)
            s.last_name = "a"
            s.names = s.names + [order.id]  # noqa: RUF005 (a Ref cannot be unpacked)
            wf.break_if(s.count > 3)
        return s

    definition = drawn(flow)
    state, loop = definition.nodes
    assert state == model.State(id="state", value={"count": 0, "lastName": "${order.id}", "names": []})
    assert isinstance(loop, model.Loop)
    assert (loop.max_iterations, loop.while_, loop.until) == (5, None, None)
    assert loop.do[1:] == (
        model.Assign(id="assign", state="state", fields={"count": "${state.count + step}"}),
        model.Assign(id="assign_2", state="state", fields={"lastName": "a"}),
        model.Assign(id="assign_3", state="state", fields={"names": "${state.names + [order.id]}"}),
        model.BreakIf(id="break_if", cond="state.count > 3"),
    )
    assert definition.output == "${state}"


def test_a_state_may_be_a_dict_or_what_a_node_gave() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        a = wf.state({"n": 1}, id="a")
        a["n"] += 1
        b = wf.state(order, id="b")
        b.paid = True
        return [a["n"], b.paid]

    definition = drawn(flow)
    assert definition.nodes == (
        model.State(id="a", value={"n": 1}),
        model.Assign(id="assign", state="a", fields={"n": '${a["n"] + 1}'}),
        model.State(id="b", value="${order}"),
        model.Assign(id="assign_2", state="b", fields={"paid": True}),
    )


def test_break_if_without_a_condition_always_breaks_and_a_loop_that_waits_needs_no_bound() -> None:
    def flow(wf: wfe.Graph) -> None:
        with wf.loop(max_iterations=None, id="again"), wf.when(wf.wait_signal("stop", bool)):
            wf.break_if()

    (loop,) = drawn(flow).nodes
    assert isinstance(loop, model.Loop)
    assert (loop.id, loop.max_iterations) == ("again", None)
    (_, choice) = loop.do
    assert isinstance(choice, model.When)
    assert choice.branches[0].do == (model.BreakIf(id="break_if", cond="true"),)


def test_a_value_read_before_a_change_is_kept_where_it_was_read() -> None:
    def flow(wf: wfe.Graph) -> Any:
        s = wf.state(Progress())
        old = s.count
        untouched = s.last_name
        s.count = old + 1
        step(old)
        text(untouched)
        return [old * 2, s.count]

    definition = drawn(flow)
    assert [type(node).__name__ for node in definition.nodes] == ["State", "Set", "Assign", "Task", "Task"]
    assert definition.nodes[1] == model.Set(id="value", value="${state.count}")
    assert definition.nodes[2] == model.Assign(id="assign", state="state", fields={"count": "${state.count + 1}"})
    assert definition.nodes[4].with_ == {"value": "${state.lastName}"}  # type: ignore[union-attr]
    assert definition.output == ["${value * 2}", "${state.count}"]


def test_two_fields_change_places_as_in_python() -> None:
    def flow(wf: wfe.Graph) -> Any:
        s = wf.state({"a": 1, "b": 2})
        s["a"], s["b"] = s["b"], s["a"] + s["b"]
        return s

    _, kept, first, second = drawn(flow).nodes
    assert kept == model.Set(id="value", value='${state["a"] + state["b"]}')
    assert first == model.Assign(id="assign", state="state", fields={"a": '${state["b"]}'})
    assert second == model.Assign(id="assign_2", state="state", fields={"b": "${value}"})


def test_what_was_read_outside_of_a_loop_does_not_change_in_it() -> None:
    def flow(wf: wfe.Graph) -> Any:
        s = wf.state(Progress(count=3))
        limit = s.count
        with wf.loop():
            wf.break_if(s.count > limit + 5)
            s.count += 1
        return limit

    _, kept, loop = drawn(flow).nodes
    assert kept == model.Set(id="value", value="${state.count}")
    assert isinstance(loop, model.Loop)
    assert loop.do[0] == model.BreakIf(id="break_if", cond="state.count > value + 5")


def test_fields_of_their_own_may_be_set_in_branches_and_one_in_the_arms_of_a_choice() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        s = wf.state(Progress())
        with wf.parallel():
            with wf.branch():
                s.count = step(1)
            with wf.branch():
                s.last_name = text("b")
        with wf.parallel():
            with wf.when(order.paid):
                s.count = 1
            with wf.otherwise():
                s.count = 2
        s.count = 3

    assert ids(drawn(flow).nodes) == ["state", "parallel", "parallel_2", "assign_5"]


def test_items_one_after_the_other_may_set_a_state() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        s = wf.state(Progress())

        def body(item: Item) -> None:
            s.count = s.count + item.count

        wf.map(body, order.items, max_parallel=1)

        def own(item: Item) -> Any:
            inner = wf.state(Progress())
            inner.count = item.count
            return inner.count

        wf.map(own, order.items)

    assert ids(drawn(flow).nodes) == ["state", "map", "map_2"]


def test_merge_takes_what_the_last_iteration_made() -> None:
    def flow(wf: wfe.Graph) -> Any:
        with wf.loop():
            n = step(1)
            with wf.when(n > 2):
                label = wf.format("{}!", n)
            wf.break_if(n > 3)
        step(wf.merge(n, 0))
        return [wf.merge(n, 1), wf.merge(label, "none")]

    definition = drawn(flow)
    assert ids(definition.nodes) == ["kept", "kept_2", "loop", "step_2"]
    loop = definition.nodes[2]
    assert isinstance(loop, model.Loop)
    assert loop.do[1] == model.Assign(id="assign", state="kept", fields={"value": "${step}"})
    choice = loop.do[2]
    assert isinstance(choice, model.When)
    assert choice.branches[0].do == (
        model.Assign(id="assign_2", state="kept_2", fields={"value": '${format("{}!", step)}'}),
    )
    assert definition.output == ["${merge(kept.value, 1)}", '${merge(kept_2.value, "none")}']


def test_a_value_of_an_inner_loop_is_had_in_the_outer_one_and_below_both() -> None:
    def flow(wf: wfe.Graph) -> Any:
        with wf.loop():
            with wf.loop():
                n = step(1)
                wf.break_if(n > 1)
            m = step(wf.merge(n, 0))
            wf.break_if(m > 1)
        return wf.merge(m, 0)

    definition = drawn(flow)
    outer = definition.nodes[1]
    assert isinstance(outer, model.Loop)
    assert ids(outer.do) == ["kept", "loop_2", "step_2", "assign_2", "break_if_2"]
    assert definition.output == "${merge(kept_2.value, 0)}"


# ---- races


def test_a_races_winner_is_named_and_its_value_usable_where_it_has_won() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        with wf.race() as r:
            a = step(1)
            with wf.branch(id="late"):
                wf.sleep("1h")
                b = text("b")
            with wf.when(order.paid):
                c = text("c")
            wf.sleep("2h", id="too_late")
        with wf.when(r.won(a) & (order.total > 3)):
            step(a + 1)
            step(a * a)
        with wf.otherwise(r.won(b)):
            text(b)
        with wf.when(r.won(c)):
            text(wf.merge(c, "none"))
        with wf.when(r.won("too_late")):
            text(order.id)
        anything([wf.merge(a, b, None), r.won(a)])

    _, first, second, third, last = drawn(flow).nodes
    assert isinstance(first, model.When)
    assert [branch.cond for branch in first.branches] == [
        'race.winner == "step" && order.total > 3',
        'race.winner == "late"',
    ]
    assert [node.with_ for node in first.branches[0].do] == [  # type: ignore[union-attr]
        {"n": "${merge(step) + 1}"},
        {"n": "${merge(step) * merge(step)}"},
    ]
    assert first.branches[1].do[0].with_ == {"value": "${merge(text)}"}  # type: ignore[union-attr]
    assert isinstance(second, model.When)
    assert second.branches[0].cond == 'race.winner == "when"'
    assert isinstance(third, model.When)
    assert third.branches[0].cond == 'race.winner == "too_late"'
    assert isinstance(last, model.Task)
    assert last.with_ == {"value": ["${merge(step, text, null)}", '${race.winner == "step"}']}


# ---- locks and decisions


def test_locks_of_the_run_are_declared_and_shared_ones_have_keys() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        with wf.lock("printer", key=order.id):
            first = text("a")
        with wf.lock(["desk", "phone"], per_run=2, id="both"):
            text(first)
        return first

    definition = drawn(flow)
    shared, own = definition.nodes
    assert isinstance(shared, model.Lock)
    assert isinstance(own, model.Lock)
    assert (shared.id, shared.names, shared.key) == ("lock", ("printer",), "${order.id}")
    assert (own.id, own.names, own.key) == ("both", ("desk", "phone"), None)
    assert definition.locks == {"desk": 2, "phone": 2}


def test_a_decision_names_the_first_case() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        size = wf.decision({"small": order.total < 10, "large": order.total < 100}, default="huge")
        with wf.when(size == "huge"):
            pack(order.items[0])
        return size

    definition = drawn(flow)
    assert definition.nodes[0] == model.Decision(
        id="decision", cases={"small": "order.total < 10", "large": "order.total < 100", "huge": None}
    )


# ---- wiring


@pytest.mark.parametrize(
    ("words", "join"),
    [
        ("all", None),
        ("any", Join(mode="n", n=1)),
        ("each", Join(mode="xor")),
        ("or", Join(mode="or")),
        (2, Join(mode="n", n=2)),
        ({"n": 2, "rest": "cancel", "region": ["a"]}, Join(mode="n", n=2, rest="cancel", region=("a",))),
        ({"thread": 3}, Join(mode="thread", n=3)),
    ],
)
def test_join_in_words(words: Any, join: Join | None) -> None:
    def flow(wf: wfe.Graph) -> None:
        text.with_options(id="a", after=[])("a")
        text.with_options(id="b", after=[])("b")
        text.with_options(id="c", after=["a", "b"], join=words)("c")

    node = drawn(flow).nodes[-1]
    assert (node.id, node.after, node.join) == ("c", ("a", "b"), join)


def test_a_node_cancels_values_ids_and_the_run() -> None:
    def flow(wf: wfe.Graph) -> None:
        with wf.parallel():
            slow = text("a")
            text.with_options(id="quick", cancels=[slow])("b")
            text.with_options(cancels="quick")("c")
            text.with_options(cancels=["run"])("d")

    (block,) = drawn(flow).nodes
    assert isinstance(block, model.Parallel)
    assert [node.cancels for node in block.do] == [(), ("text",), ("quick",), ("run",)]
