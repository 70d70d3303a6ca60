"""What each construct of a Graph draws: nodes, blocks, ids, options."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from drawing_kit import CardDeclined, Item, Order, Receipt, charge, drawn, pack, regional, send_mail, text

import wfe
from wfe.model import definition as model
from wfe.model.policy import RetryPolicy


def test_the_designs_example_draws_to_its_definition() -> None:
    @wfe.workflow
    def checkout(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[Receipt]:
        with wf.when(order.total == 0):
            wf.end(Receipt(order.id, "free", []))
        with wf.catch(CardDeclined) as declined:
            charge_id = charge(order)
        with wf.when(declined.failed):
            wf.fail("CardDeclined", declined.message)
        packed = wf.map(pack, order.items, max_parallel=10)
        return Receipt(order.id, wf.merge(charge_id), packed)

    definition = checkout.definition()
    text_schema = {"type": "string"}
    assert definition.workflow == "checkout"
    assert definition.version is None
    assert definition.params == {"order": {"$ref": "#/types/Order"}}
    assert set(definition.types) == {"Order", "Item", "Receipt", "Status"}
    assert definition.returns == {"$ref": "#/types/Receipt"}
    assert definition.nodes == (
        model.When(
            id="when",
            branches=(
                model.Branch(
                    "order.total == 0",
                    (model.End(id="end", value={"order": "${order.id}", "charge": "free", "packed": []}),),
                ),
            ),
        ),
        model.Catch(
            id="catch",
            errors=("CardDeclined",),
            do=(model.Task(id="charge", task="charge", with_={"order": "${order}"}, returns=text_schema),),
        ),
        model.When(
            id="when_2",
            branches=(
                model.Branch(
                    "catch.failed", (model.Fail(id="fail", error="CardDeclined", message="${catch.message}"),)
                ),
            ),
        ),
        model.Map(
            id="map",
            items="order.items",
            do=(model.Task(id="pack", task="pack", with_={"item": "${item}"}, returns=text_schema),),
            max_parallel=10,
        ),
    )
    assert definition.output == {"order": "${order.id}", "charge": "${merge(charge)}", "packed": "${map}"}


def test_a_task_node_takes_the_tasks_options_and_its_own_win() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        send_mail(order.id)
        send_mail.with_options(id="again", after=[], retry=wfe.Retry(max_attempts=1), timeout="1m", priority=7)(
            to="a", body=order.id
        )

    first, again = drawn(flow).nodes
    nothing = {"type": "null"}
    policy = RetryPolicy(max_attempts=5, initial_delay_ms=100, on=("OSError", "HttpError"), never=("ValueError",))
    assert first == model.Task(
        id="send_mail",
        task="send-mail",
        task_version=2,
        with_={"to": "${order.id}"},
        retry=policy,
        timeout_ms=30_000,
        heartbeat_ms=5_000,
        redeliver=False,
        returns=nothing,
    )
    assert again == model.Task(
        id="again",
        after=(),
        task="send-mail",
        task_version=2,
        with_={"to": "a", "body": "${order.id}"},
        retry=RetryPolicy(max_attempts=1),
        timeout_ms=60_000,
        heartbeat_ms=5_000,
        redeliver=False,
        priority=7,
        returns=nothing,
    )


def test_ids_count_up_and_avoid_the_parameters() -> None:
    def flow(wf: wfe.Graph, text_2: str) -> None:
        text(text_2)
        text("a")
        text("b")

    assert [node.id for node in drawn(flow).nodes] == ["text", "text_3", "text_4"]


def test_after_takes_values_and_ids() -> None:
    def flow(wf: wfe.Graph) -> None:
        first = text("a")
        text("b")
        text.with_options(after=[first, "text_2"])("c")
        text.with_options(after=first)("d")

    assert [node.after for node in drawn(flow).nodes] == [None, None, ("text", "text_2"), ("text",)]


def test_otherwise_adds_arms_to_the_choice_above() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        with wf.when(order.total > 100):
            a = text("a")
        with wf.otherwise(order.paid):
            b = text("b")
        with wf.otherwise():
            c = text("c")
        return wf.merge(a, b, c, None)

    definition = drawn(flow)
    (choice,) = definition.nodes
    assert isinstance(choice, model.When)
    assert [branch.cond for branch in choice.branches] == ["order.total > 100", "order.paid", None]
    assert definition.output == "${merge(text, text_2, text_3, null)}"


def test_parallel_and_branches_nest() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        with wf.parallel():
            with wf.branch():
                a = text("a")
                text(a)
            b = text("b")
        return [a, b]

    definition = drawn(flow)
    (parallel,) = definition.nodes
    assert isinstance(parallel, model.Parallel)
    assert [node.id for node in model.walk(definition.nodes)] == ["parallel", "branch", "text", "text_2", "text_3"]
    assert definition.output == ["${text}", "${text_3}"]


def test_a_map_body_may_be_a_function_of_one_ref() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        def body(item: Item) -> Any:
            packed = pack(item)
            return {"sku": item.sku, "packed": packed, "order": order.id}

        return wf.map(body, order.items, tolerate=3)

    definition = drawn(flow)
    (node,) = definition.nodes
    assert isinstance(node, model.Map)
    assert node.output == {"sku": "${item.sku}", "packed": "${pack}", "order": "${order.id}"}
    assert (node.as_, node.tolerate_count, node.tolerate_percent) == ("item", 3, None)


def test_a_map_of_expressions_has_a_body_of_one_set_node() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        return wf.map(lambda item: item.count * 2, order.items, tolerate="2.5%")

    (node,) = drawn(flow).nodes
    assert isinstance(node, model.Map)
    assert node.do == (model.Set(id="set", value="${item.count * 2}"),)
    assert node.output is msgspec.UNSET
    assert node.tolerate_percent == 2.5


def test_maps_nest_with_items_of_their_own_and_share_names_side_by_side() -> None:
    def flow(wf: wfe.Graph, grid: list[list[str]]) -> Any:
        wf.map(lambda row: wf.map(text, row), grid)
        return wf.map(lambda row: wf.size(row) + 1, grid)

    outer, other = drawn(flow).nodes
    assert isinstance(outer, model.Map)
    assert isinstance(other, model.Map)
    (inner,) = outer.do
    assert isinstance(inner, model.Map)
    assert (outer.as_, inner.as_, inner.items, other.as_) == ("item", "item_2", "item", "item")


def test_a_map_over_plain_items_and_over_refs_in_a_list() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        wf.map(text, ["a", order.id])
        wf.map(text, ("a", "b"))

    first, second = drawn(flow).nodes
    assert isinstance(first, model.Map)
    assert isinstance(second, model.Map)
    assert (first.items, second.items) == ('["a", order.id]', '["a", "b"]')


def test_the_fields_of_a_tolerant_maps_result_are_known() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        result = wf.map(pack, order.items, tolerate=1)
        text(result.values[0])
        return result.errors[0].message

    definition = drawn(flow)
    assert isinstance(definition.nodes[1], model.Task)
    assert definition.nodes[1].with_ == {"value": "${map.values[0]}"}
    assert definition.output == "${map.errors[0].message}"


def test_a_workflow_called_is_a_sub_workflow_and_started_is_detached() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        count = regional(order.id)
        regional.with_options(id="west", timeout="1h")(region="west")
        return [wf.start(regional, order.id, key=wf.format("r-{}", order.id)), count]

    definition = drawn(flow)
    assert definition.nodes == (
        model.SubWorkflow(
            id="regional", workflow="regional", with_={"region": "${order.id}"}, returns={"type": "integer"}
        ),
        model.SubWorkflow(
            id="west",
            workflow="regional",
            with_={"region": "west"},
            timeout_ms=3_600_000,
            returns={"type": "integer"},
        ),
        model.StartWorkflow(
            id="start", workflow="regional", with_={"region": "${order.id}"}, key='${format("r-{}", order.id)}'
        ),
    )
    assert definition.output == ["${start}", "${regional}"]


def test_a_workflow_may_call_itself() -> None:
    @wfe.workflow
    def countdown(wf: wfe.Graph, n: int) -> int:
        with wf.when(n > 0):
            rest = countdown(n - 1)
        return wf.merge(rest, 0)

    assert countdown.definition().output == "${merge(countdown, 0)}"


def test_waits_and_sleeps() -> None:
    moment = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

    def flow(wf: wfe.Graph, order: Order) -> Any:
        wf.sleep("2d")
        wf.sleep(dt.timedelta(seconds=1.5))
        wf.sleep(until=moment)
        wf.sleep(until=order.due_at)
        wf.sleep(order.note, id="nap")
        first = wf.wait_signal("go", Item)
        second = wf.wait_signal("stop", timeout="0s", default=order.id)
        return [first.sku, second.what]

    definition = drawn(flow)
    assert definition.nodes == (
        model.Sleep(id="sleep", duration_ms=172_800_000),
        model.Sleep(id="sleep_2", duration_ms=1_500),
        model.Sleep(id="sleep_3", until='timestamp("2030-01-02T03:04:05Z")'),
        model.Sleep(id="sleep_4", until="order.dueAt"),
        model.Sleep(id="nap", duration="order.note"),
        model.WaitSignal(id="signal", signal="go", schema={"$ref": "#/types/Item"}),
        model.WaitSignal(id="signal_2", signal="stop", timeout_ms=0, default="${order.id}"),
    )
    assert definition.output == ["${signal.sku}", "${signal_2.what}"]


def test_a_null_default_of_a_signal_is_a_default() -> None:
    def flow(wf: wfe.Graph) -> Any:
        return wf.is_none(wf.wait_signal("go", Item, timeout="1s", default=None))

    (node,) = drawn(flow).nodes
    assert isinstance(node, model.WaitSignal)
    assert node.default is None


def test_parameters_have_schemas_and_defaults() -> None:
    def flow(wf: wfe.Graph, order: Order, when: dt.datetime, retries: int = 3, note: str | None = None, x=None) -> None:  # type: ignore[no-untyped-def]
        charge(order)

    params = drawn(flow, timeout="1h", version=4, tags={"region": "${order.id}"}).params
    assert list(params) == ["order", "when", "retries", "note", "x"]
    assert params["when"] == {"type": "string"}
    assert params["retries"] == {"type": "integer", "default": 3}
    assert params["note"]["default"] is None
    assert params["x"] == {"default": None}


def test_the_options_of_a_workflow_are_in_its_definition() -> None:
    def flow(wf: wfe.Graph) -> None:
        text("a")

    definition = drawn(flow, name="a.b", timeout="1h", version=4, tags={"region": "eu"})
    assert (definition.workflow, definition.timeout_ms, definition.version) == ("a.b", 3_600_000, 4)
    assert definition.tags == {"region": "eu"}


def test_a_catch_blocks_error_is_known_below_it() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        with wf.catch(CardDeclined, "HttpError", id="declined") as declined:
            charge(order)
        return [declined.failed, declined.type, declined.message, declined.node, declined.attempts]

    definition = drawn(flow)
    assert isinstance(definition.nodes[0], model.Catch)
    assert definition.nodes[0].errors == ("CardDeclined", "HttpError")
    assert definition.output[0] == "${declined.failed}"
