"""What approvals, compensation, events, HTTP calls, plugins' types and waits with correlation draw."""

from __future__ import annotations

from typing import Any

import msgspec
from drawing_kit import Item, Order, anything, charge, drawn, send_mail, text

import wfe
from wfe.model import definition as model
from wfe.model.policy import RetryPolicy


class Form(msgspec.Struct):
    reason: str


def test_an_approval_with_all_its_options() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        plain = wf.approval("clerk")
        full = wf.approval(
            "manager",
            to=order.id,
            timeout="2d",
            on_timeout="reject",
            on_reject="continue",
            form=Form,
            escalate=[("1d", "boss"), ("36h", order.note)],
            id="asked",
        )
        with wf.when(full.approved & wf.not_(plain.approved)):
            text(full.comment + full.by)
        return full.data

    definition = drawn(flow)
    assert definition.nodes[:2] == (
        model.Approval(id="approval", approval="clerk"),
        model.Approval(
            id="asked",
            approval="manager",
            to="${order.id}",
            timeout_ms=172_800_000,
            on_timeout="reject",
            on_reject="continue",
            form={"$ref": "#/types/Form"},
            escalate=(
                model.Escalation(after_ms=86_400_000, to="boss"),
                model.Escalation(after_ms=129_600_000, to="${order.note}"),
            ),
        ),
    )
    assert definition.output == "${asked.data}"


def test_a_compensation_has_its_tasks_policy_and_the_arguments_of_its_line() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        wf.compensate_with(send_mail, order.id, body="sorry")
        number = charge(order)
        wf.compensate_with(text.with_options(id="undo", retry=wfe.Retry(max_attempts=9), timeout="1m"), value=number)
        wf.compensate()

    first, _, second, now = drawn(flow).nodes
    assert first == model.CompensateWith(
        id="compensate_with",
        task="send-mail",
        task_version=2,
        with_={"to": "${order.id}", "body": "sorry"},
        retry=RetryPolicy(max_attempts=5, initial_delay_ms=100, on=("OSError", "HttpError"), never=("ValueError",)),
        timeout_ms=30_000,
    )
    assert second == model.CompensateWith(
        id="undo", task="text", with_={"value": "${charge}"}, retry=RetryPolicy(max_attempts=9), timeout_ms=60_000
    )
    assert now == model.Compensate(id="compensate")


def test_events_have_a_type_and_data() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        wf.emit("order.paid", {"id": order.id})
        wf.emit(wf.format("order.{}", order.id))

    assert drawn(flow).nodes == (
        model.Emit(id="emit", emit="order.paid", data={"id": "${order.id}"}),
        model.Emit(id="emit_2", emit='${format("order.{}", order.id)}'),
    )


def test_an_http_call_with_all_its_options() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        wf.http("get", "https://example.com")
        answer = wf.http(
            "POST",
            wf.format("https://example.com/{}", order.id),
            headers={"x-order": order.id},
            query={"total": order.total},
            json={"order": order},
            auth={"basic": {"username": "me", "password": wfe.secret("PASSWORD")}},
            timeout="5s",
            retry=wfe.Retry(max_attempts=2),
            retry_status=[503],
            accept=[404],
            response_bytes_max=1000,
            allow_private=True,
            returns=Item,
            id="answer",
        )
        with wf.when(answer.status == 404):
            text(answer.headers["x-reason"])
        return answer.body.sku

    definition = drawn(flow)
    assert definition.nodes[0] == model.Http(id="http", method="GET", url="https://example.com")
    assert definition.nodes[1] == model.Http(
        id="answer",
        method="POST",
        url='${format("https://example.com/{}", order.id)}',
        headers={"x-order": "${order.id}"},
        query={"total": "${order.total}"},
        body={"order": "${order}"},
        auth={"basic": {"username": "me", "password": {"$wfe.secret": "PASSWORD"}}},
        timeout_ms=5_000,
        retry=RetryPolicy(max_attempts=2),
        retry_status=(503,),
        accept=(404,),
        response_bytes_max=1000,
        allow_private=True,
        returns={"$ref": "#/types/Item"},
    )
    assert definition.output == "${answer.body.sku}"


def test_a_plugins_type_takes_its_arguments_by_name() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        sent = wf.custom(
            "mail", to=order.id, with_={"id": 3}, returns=Item, retry=wfe.Retry(max_attempts=2), timeout="3s"
        )
        wf.custom("mail")
        return sent.sku

    assert drawn(flow).nodes == (
        model.Custom(
            id="mail",
            custom="mail",
            with_={"id": 3, "to": "${order.id}"},
            retry=RetryPolicy(max_attempts=2),
            timeout_ms=3_000,
            returns={"$ref": "#/types/Item"},
        ),
        model.Custom(id="mail_2", custom="mail"),
    )


def test_a_wait_may_want_a_correlation_and_lose_what_nobody_waits_for() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        anything(wf.wait_signal("paid", Item, correlate=order.id, transient=True))

    assert drawn(flow).nodes[0] == model.WaitSignal(
        id="signal", signal="paid", schema={"$ref": "#/types/Item"}, correlate="${order.id}", transient=True
    )
