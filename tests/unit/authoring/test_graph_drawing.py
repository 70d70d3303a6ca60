"""What a drawn workflow is as a definition: nodes, templates, expressions, schemas."""

from __future__ import annotations

import datetime as dt
import enum
import threading
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

import wfe
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml
from wfe.core.validate import validate
from wfe.model import definition as model
from wfe.model.definition import Definition
from wfe.model.policy import RetryPolicy


class Status(enum.Enum):
    OPEN = "open"
    PAID = "paid"


class Item(msgspec.Struct):
    sku: str
    count: int


class Order(msgspec.Struct, rename="camel"):
    id: str
    total: float
    items: list[Item]
    paid: bool = False
    note: str | None = None
    prices: dict[str, float] = {}
    due_at: dt.datetime | None = None
    status: Status = Status.OPEN
    pairs: list[tuple[str, int]] = []


class Receipt(msgspec.Struct):
    order: str
    charge: str | None
    packed: list[str]


class CardDeclined(Exception):
    pass


@dataclass
class Line:
    sku: str
    tags: list[str] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int


class Page(TypedDict):
    url: str
    size: int


class Model(pydantic.BaseModel):
    id: str
    total: float = 0.0


@wfe.task
def charge(order: Order) -> str: ...


@wfe.task
def pack(item: Item) -> str: ...


@wfe.task
def text(value: str) -> str: ...


@wfe.task
def anything(value: Any) -> Any: ...


@wfe.task
def line(value: Line) -> Point: ...


@wfe.task
def page(value: Page) -> Page: ...


@wfe.task
def model_task(value: Model) -> Model: ...


@wfe.task(
    name="send-mail",
    version=2,
    retry=wfe.Retry(max_attempts=5, initial_delay="100ms", on=(OSError, "HttpError"), never=ValueError),
    timeout="30s",
    heartbeat="5s",
    redeliver=False,
)
async def send_mail(to: str, body: str = "") -> None: ...


@wfe.workflow
def regional(wf: wfe.Graph, region: str) -> int:
    text(region)
    return wf.size(region)


def drawn(function: Any, **options: Any) -> Definition:
    """The definition; whatever is drawn is valid, and the same after a round trip through YAML."""
    definition = wfe.workflow(**options)(function).definition()
    assert [str(finding) for finding in validate(definition) if finding.severity == "error"] == []
    assert read_definitions(write_yaml(definition), "drawn.yaml") == [definition]
    return definition


def value_text(build: Any) -> Any:
    """The template of one value, built from wf and an order."""

    def flow(wf: wfe.Graph, order: Order) -> Any:
        anything(build(wf, order))

    node = drawn(flow).nodes[-1]
    assert isinstance(node, model.Task)
    return node.with_["value"]


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


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda wf, o: o, "${order}"),
        (lambda wf, o: o.items[0].sku, "${order.items[0].sku}"),
        (lambda wf, o: o.items[-1], "${order.items[size(order.items) - 1]}"),
        (lambda wf, o: o.pairs[0][1] + 1, "${order.pairs[0][1] + 1}"),
        (lambda wf, o: o.prices["a b"], '${order.prices["a b"]}'),
        (lambda wf, o: o.prices[o.id], "${order.prices[order.id]}"),
        (lambda wf, o: o.due_at, "${order.dueAt}"),
        (lambda wf, o: o.total + 1 * 2, "${order.total + 2}"),
        (lambda wf, o: (o.total + 1) * 2, "${(order.total + 1) * 2}"),
        (lambda wf, o: 1 - (o.total - 2), "${1 - (order.total - 2)}"),
        (lambda wf, o: 1 + o.total - 2, "${1 + order.total - 2}"),
        (lambda wf, o: 10 / o.total, "${div(10, order.total)}"),
        (lambda wf, o: o.total * -1, "${order.total * -1}"),
        (lambda wf, o: o.id + "-x", '${order.id + "-x"}'),
        (lambda wf, o: o.items + [Item("a", 1)], '${order.items + [{"sku": "a", "count": 1}]}'),  # noqa: RUF005
        (lambda wf, o: 3 < o.total, "${order.total > 3}"),  # noqa: SIM300
        (lambda wf, o: o.status == Status.PAID, '${order.status == "paid"}'),
        (lambda wf, o: o.status.value, "${order.status}"),
        (lambda wf, o: o.note == None, "${order.note == null}"),  # noqa: E711
        (lambda wf, o: wf.is_none(o.note), "${is_none(order.note)}"),
        (lambda wf, o: wf.not_(o.paid), "${!order.paid}"),
        (lambda wf, o: wf.not_(wf.not_(o.paid)), "${order.paid}"),
        (lambda wf, o: wf.not_(o.paid | (o.total > 1)), "${!(order.paid || order.total > 1)}"),
        (lambda wf, o: o.paid & (o.total > 1) & (o.id == "a"), '${order.paid && order.total > 1 && order.id == "a"}'),
        (lambda wf, o: o.paid | o.paid & o.paid, "${order.paid || order.paid && order.paid}"),
        (lambda wf, o: wf.size(o.items) > 2, "${size(order.items) > 2}"),
        (lambda wf, o: wf.contains(o.id, "x"), '${contains(order.id, "x")}'),
        (lambda wf, o: wf.contains(["a", "b"], o.id), '${contains(["a", "b"], order.id)}'),
        (lambda wf, o: wf.format("{} {n} {{}}", o.id, n=o.total), '${format("{} {} {{}}", order.id, order.total)}'),
        (lambda wf, o: wf.format("{1}{0}{1}", o.id, "x"), '${format("{}{}{}", "x", order.id, "x")}'),
        (
            lambda wf, o: wf.expr("order.items.all(i, i.count > n)", n=o.total),
            "${order.items.all(i, i.count > order.total)}",
        ),
        (lambda wf, o: wf.expr("x * 2", x=o.total + 1), "${(order.total + 1) * 2}"),
        (lambda wf, o: wf.run.id, "${run.id}"),
        (lambda wf, o: [o.id, {"k": (o.total, "${x}")}], ["${order.id}", {"k": ["${order.total}", "$${x}"]}]),
        (lambda wf, o: {3: o.id}, {"3": "${order.id}"}),
        (lambda wf, o: Line(o.id, ["a", o.id]), {"sku": "${order.id}", "tags": ["a", "${order.id}"]}),
        (lambda wf, o: Point(o.items[0].count, 2), ["${order.items[0].count}", 2]),
        (lambda wf, o: wf.make(Model, id=o.id), {"id": "${order.id}", "total": 0.0}),
        (lambda wf, o: wf.make(Line, o.id), {"sku": "${order.id}", "tags": []}),
        (lambda wf, o: Model(id="${a}"), {"id": "$${a}", "total": 0.0}),
        (
            lambda wf, o: [Decimal("1.5"), Status.PAID, dt.date(2024, 1, 2), b"hi"],
            ["1.5", "paid", "2024-01-02", "aGk="],
        ),
        (lambda wf, o: {"b", "a"}, ["a", "b"]),
        (lambda wf, o: None, None),
        (lambda wf, o: wfe.secret("TOKEN"), {"$wfe.secret": "TOKEN"}),
        (
            lambda wf, o: o.due_at > dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            '${timestamp(order.dueAt) > timestamp("2024-01-01T00:00:00Z")}',
        ),
    ],
)
def test_a_value_becomes_a_template(build: Any, expected: Any) -> None:
    assert value_text(build) == expected


def test_times_are_compared_and_added_as_times() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        late = order.due_at < wf.now()
        return [late, order.due_at + dt.timedelta(days=1, milliseconds=500)]

    definition = drawn(flow)
    assert definition.nodes == (model.Set(id="time", value="${now()}"),)
    assert definition.output == [
        "${timestamp(order.dueAt) < timestamp(time)}",
        '${timestamp(order.dueAt) + duration("86400.5s")}',
    ]


def test_an_expr_puts_refs_in_without_capturing_them() -> None:
    def flow(wf: wfe.Graph, i: int) -> Any:
        text("a")
        return wf.expr("[1, 2].map(i, i + x)", x=i)

    assert drawn(flow).output == "${[1, 2].map(i_2, i_2 + i)}"


def test_a_merged_value_may_leave_any_block() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        made = []
        with wf.when(order.paid):
            with wf.catch(CardDeclined):
                made.append(charge(order))
            made.append(wf.merge(made[0], "none"))
        return made[1]

    assert drawn(flow).output == '${merge(charge, "none")}'


def test_a_catch_blocks_error_is_known_below_it() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        with wf.catch(CardDeclined, "HttpError", id="declined") as declined:
            charge(order)
        return [declined.failed, declined.type, declined.message, declined.node, declined.attempts]

    definition = drawn(flow)
    assert isinstance(definition.nodes[0], model.Catch)
    assert definition.nodes[0].errors == ("CardDeclined", "HttpError")
    assert definition.output[0] == "${declined.failed}"


def test_an_async_workflow_is_drawn_by_awaiting_its_refs() -> None:
    async def helper(wf: wfe.Graph, order: Order) -> str:
        await send_mail(order.id)
        return await text(order.id)  # type: ignore[no-any-return, misc]

    @wfe.workflow
    async def flow(wf: wfe.Graph, order: Order) -> str:
        return await helper(wf, order)

    definition = flow.definition()
    assert [node.id for node in definition.nodes] == ["send_mail", "text"]
    assert definition.output == "${text}"


def test_a_helper_that_takes_the_graph_draws_on_it() -> None:
    def helper(wf: wfe.Graph, order: Order) -> str:
        with wf.when(order.paid):
            done = text(order.id)
        return wf.merge(done, "")

    def flow(wf: wfe.Graph, order: Order) -> Any:
        return [helper(wf, order), helper(wf, order)]

    assert drawn(flow).output == ['${merge(text, "")}', '${merge(text_2, "")}']


def test_plain_python_decides_while_drawing() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        made = [text(region) for region in ("eu", "us")]
        if len(made) > 1:
            text(made[1])
        return made

    assert [node.id for node in drawn(flow).nodes] == ["text", "text_2", "text_3"]


def test_types_of_every_sort_have_schemas() -> None:
    def flow(wf: wfe.Graph, point: Point, page_: Page, item: Model, extra: dict[str, list[int]]) -> Any:
        made = line(Line("a"))
        page(page_)
        model_task(item)
        text(page_["url"])
        text(page_.url)
        return [made.x, made[1], point.y, item.total, extra["a"][0]]

    definition = drawn(flow)
    assert definition.output == ["${line[0]}", "${line[1]}", "${point[1]}", "${item.total}", '${extra["a"][0]}']
    assert definition.params["item"] == {"$ref": "#/types/Model"}
    assert definition.types["Model"]["required"] == ["id"]


def test_a_docstring_does_not_change_the_graph() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        """Says one thing."""
        charge(order)

    first = drawn(flow)
    flow.__doc__ = "Says another."
    assert drawn(flow) == first


def test_a_workflow_is_drawn_once_even_by_many_threads() -> None:
    calls = []
    start = threading.Barrier(8)

    @wfe.workflow
    def flow(wf: wfe.Graph, order: Order) -> None:
        calls.append(1)
        charge(order)

    found: list[Definition] = []

    def draw() -> None:
        start.wait()
        found.append(flow.definition())

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(definition is found[0] for definition in found)


def test_a_failed_drawing_is_tried_again() -> None:
    broken = [True]

    @wfe.workflow
    def flow(wf: wfe.Graph, order: Order) -> None:
        charge(order)
        if broken:
            raise KeyError("x")

    with pytest.raises(wfe.GraphError, match="KeyError"):
        flow.definition()
    broken.clear()
    assert flow.definition().workflow == "flow"


def test_refs_die_with_their_drawing_and_stay_in_it() -> None:
    leaked: list[Any] = []

    @wfe.workflow
    def first(wf: wfe.Graph, order: Order) -> None:
        charge(order)
        leaked.extend((order.id, wf))

    @wfe.workflow
    def second(wf: wfe.Graph, order: Order) -> None:
        text(leaked[0])

    @wfe.workflow
    def third(wf: wfe.Graph, order: Order) -> None:
        leaked[1].when(order.paid)

    first.definition()
    with pytest.raises(wfe.GraphError, match="belongs to the workflow 'first'"):
        second.definition()
    with pytest.raises(wfe.GraphError, match="belongs to the drawing of 'first'"):
        third.definition()
    with pytest.raises(wfe.GraphError, match="a drawing that has ended"):
        leaked[0] + "x"


def test_a_pydantic_result_and_its_schema_are_shared_by_name() -> None:
    def flow(wf: wfe.Graph, item: Model) -> Model:
        return model_task(wf.make(Model, id=item.id, total=item.total + 1))

    definition = drawn(flow)
    assert definition.returns == {"$ref": "#/types/Model"}
    assert isinstance(definition.nodes[0], model.Task)
    assert definition.nodes[0].with_ == {"value": {"id": "${item.id}", "total": "${item.total + 1}"}}
