"""What values and Refs become: templates, expressions, schemas."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from drawing_kit import (
    Aliased,
    CardDeclined,
    Item,
    Line,
    Model,
    Order,
    Page,
    Point,
    Status,
    anything,
    charge,
    drawn,
    line,
    model_task,
    page,
    text,
    value_text,
)

import wfe
from wfe.model import definition as model
from wfe.wire.payload import convert_to, to_json_value


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


def test_a_merged_value_leaves_the_blocks_of_its_parts_but_not_that_of_the_merge() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        made = []
        with wf.when(order.paid):
            with wf.catch(CardDeclined):
                made.append(charge(order))
            made.append(wf.merge(made[0], "none"))
            text(made[1])
        return wf.merge(made[1], "unpaid")

    definition = drawn(flow)
    assert definition.output == '${merge(value, "unpaid")}'
    (when,) = definition.nodes
    assert isinstance(when, model.When)
    assert when.branches[0].do[1] == model.Set(id="value", value='${merge(charge, "none")}')


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


def test_the_aliases_of_a_pydantic_model_are_its_encoded_names() -> None:
    def flow(wf: wfe.Graph, given: Aliased) -> Aliased:
        anything(given.item_count)
        return wf.make(Aliased, item_count=given.item_count + 1)  # type: ignore[call-arg]

    definition = drawn(flow)
    assert isinstance(definition.nodes[0], model.Task)
    assert definition.nodes[0].with_ == {"value": "${given.itemCount}"}
    assert definition.output == {"itemCount": "${given.itemCount + 1}", "note": ""}
    assert definition.types["Aliased"]["required"] == ["itemCount"]
    plain = to_json_value(Aliased(itemCount=3))
    assert plain == {"itemCount": 3, "note": ""}
    assert convert_to(Aliased, plain).item_count == 3


def test_a_pydantic_result_and_its_schema_are_shared_by_name() -> None:
    def flow(wf: wfe.Graph, item: Model) -> Model:
        return model_task(wf.make(Model, id=item.id, total=item.total + 1))

    definition = drawn(flow)
    assert definition.returns == {"$ref": "#/types/Model"}
    assert isinstance(definition.nodes[0], model.Task)
    assert definition.nodes[0].with_ == {"value": {"id": "${item.id}", "total": "${item.total + 1}"}}
