"""Mistakes with approvals, compensation, events, HTTP, plugins and wiring: on the line with ``# MISTAKE: <words>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

import asyncio

from misuse_kit import Order, charge, count, fetch, ping, ship

import wfe

# ---- approvals


def an_approval_by_a_ref(wf: wfe.Graph, order: Order):
    wf.approval(order.id)  # MISTAKE: as plain text


def an_approval_with_an_unknown_way_out(wf: wfe.Graph, order: Order):
    wf.approval("manager", timeout="2d", on_timeout="ignore")  # MISTAKE: 'fail', 'approve', 'reject'


def an_approval_with_an_unknown_refusal(wf: wfe.Graph, order: Order):
    wf.approval("manager", on_reject="ask")  # MISTAKE: 'fail', 'continue'


def an_approval_that_is_never_late(wf: wfe.Graph, order: Order):
    wf.approval("manager", on_timeout="approve")  # MISTAKE: needs a timeout=


def an_approval_with_a_number_as_timeout(wf: wfe.Graph, order: Order):
    wf.approval("manager", timeout=30)  # MISTAKE: wf.approval(timeout=...)


def an_approval_with_a_form_without_a_json_form(wf: wfe.Graph, order: Order):
    wf.approval("manager", form=asyncio.Task)  # MISTAKE: cannot be a payload


def an_escalation_without_a_time(wf: wfe.Graph, order: Order):
    wf.approval("manager", escalate=["boss"])  # MISTAKE: ("1d", "boss")


def an_approval_as_a_python_condition(wf: wfe.Graph, order: Order):
    if wf.approval("manager", on_reject="continue").approved:  # MISTAKE: wf.when
        ping()


def an_approvals_unknown_field(wf: wfe.Graph, order: Order):
    decided = wf.approval("manager")
    fetch(decided.approver)  # MISTAKE: has no field 'approver'


# ---- compensation


def a_compensation_that_is_called(wf: wfe.Graph, order: Order):
    wf.compensate_with(charge(order))  # MISTAKE: calls it now


def a_compensation_by_a_plain_function(wf: wfe.Graph, order: Order):
    wf.compensate_with(print, order.id)  # MISTAKE: a function with @wfe.task


def a_compensation_by_a_workflow(wf: wfe.Graph, order: Order):
    wf.compensate_with(ship, order)  # MISTAKE: takes a task; a workflow cannot


def a_compensation_that_lacks_arguments(wf: wfe.Graph, order: Order):
    wf.compensate_with(charge)  # MISTAKE: lacks the argument order


def a_compensation_with_a_wrong_argument(wf: wfe.Graph, order: Order):
    wf.compensate_with(charge, order.id)  # MISTAKE: takes Order


def a_compensation_with_an_order_of_its_own(wf: wfe.Graph, order: Order):
    wf.compensate_with(charge.with_options(after=[]), order)  # MISTAKE: only id=, retry= and timeout=


# ---- events and HTTP


def an_event_without_a_type(wf: wfe.Graph, order: Order):
    wf.emit("", order)  # MISTAKE: the event's type as text


def an_event_typed_by_a_number(wf: wfe.Graph, order: Order):
    wf.emit(order.total)  # MISTAKE: use wf.format(...)


def an_unknown_method(wf: wfe.Graph, order: Order):
    wf.http("FETCH", "https://example.com")  # MISTAKE: takes a method


def a_url_without_a_scheme(wf: wfe.Graph, order: Order):
    wf.http("GET", "example.com")  # MISTAKE: with http:// or https://


def a_url_that_is_a_number(wf: wfe.Graph, order: Order):
    wf.http("GET", order.total)  # MISTAKE: the URL as text


def a_url_as_an_f_string(wf: wfe.Graph, order: Order):
    wf.http("GET", f"https://example.com/{order.id}")  # MISTAKE: wf.format


def two_bodies(wf: wfe.Graph, order: Order):
    wf.http("POST", "https://example.com", body=order, json=order)  # MISTAKE: they are the same


def an_unknown_auth(wf: wfe.Graph, order: Order):
    wf.http("GET", "https://example.com", auth={"token": "x"})  # MISTAKE: {"bearer": token}


def a_basic_auth_in_a_tuple(wf: wfe.Graph, order: Order):
    wf.http("GET", "https://example.com", auth={"basic": ("user", "password")})  # MISTAKE: basic takes username


def a_secret_in_a_text(wf: wfe.Graph, order: Order):
    wf.http("GET", "https://example.com", headers={"x": "Bearer " + wfe.secret("TOKEN")})  # MISTAKE: the secret 'TOKEN'


def an_http_call_that_never_ends(wf: wfe.Graph, order: Order):
    wf.http("GET", "https://example.com", timeout="0s")  # MISTAKE: longer than 0


def a_status_that_is_none(wf: wfe.Graph, order: Order):
    wf.http("GET", "https://example.com", accept=[4040])  # MISTAKE: HTTP statuses


def headers_that_are_a_list(wf: wfe.Graph, order: Order):
    wf.http("GET", "https://example.com", headers=[("a", "b")])  # MISTAKE: a dict of names


def an_unknown_field_of_a_response(wf: wfe.Graph, order: Order):
    response = wf.http("GET", "https://example.com")
    fetch(response.text)  # MISTAKE: has no field 'text'


def a_plugins_type_by_a_ref(wf: wfe.Graph, order: Order):
    wf.custom(order.id)  # MISTAKE: as plain text


def one_argument_of_a_plugin_twice(wf: wfe.Graph, order: Order):
    wf.custom("mail", to="a", with_={"to": "b"})  # MISTAKE: got 'to' twice


# ---- wiring


def a_join_of_none(wf: wfe.Graph, order: Order):
    ping.with_options(join=0)()  # MISTAKE: that many of them


def a_join_of_unknown_fields(wf: wfe.Graph, order: Order):
    ping.with_options(join={"n": 2, "rset": "drain"})()  # MISTAKE: "rest"


def a_join_with_an_unknown_rest(wf: wfe.Graph, order: Order):
    ping.with_options(join={"n": 2, "rest": "keep"})()  # MISTAKE: "cancel"


def cancelling_an_unknown_node(wf: wfe.Graph, order: Order):
    count.with_options(cancels=["slow"])(1)  # MISTAKE: no node above


def cancelling_a_parameter(wf: wfe.Graph, order: Order):
    count.with_options(cancels=[order])(1)  # MISTAKE: is a parameter


def cancelling_a_number(wf: wfe.Graph, order: Order):
    count.with_options(cancels=[3])(1)  # MISTAKE: takes values of nodes


def a_limit(wf: wfe.Graph, order: Order):
    count.with_options(limits=["db"])(1)  # MISTAKE: limits= comes in a later version


# ---- blocks and the outside world


async def an_async_with(wf: wfe.Graph, order: Order):
    async with wf.when(order.paid):  # MISTAKE: without async
        ping()


async def a_gather(wf: wfe.Graph, order: Order):
    await asyncio.gather(fetch("a"), fetch("b"))  # MISTAKE: wf.parallel


async def a_timeout(wf: wfe.Graph, order: Order):
    async with asyncio.timeout(3):  # MISTAKE: timeout= of with_options
        await fetch("a")


def a_question_to_the_console(wf: wfe.Graph, order: Order):
    fetch(input("which?"))  # MISTAKE: wf.approval


def text_joined(wf: wfe.Graph, order: Order):
    fetch(", ".join([order.id]))  # MISTAKE: stand-ins


def the_larger_of_two(wf: wfe.Graph, order: Order):
    count(max(order.total, 3))  # MISTAKE: truth value


def a_sorted_list(wf: wfe.Graph, order: Order):
    sorted(order.items)  # MISTAKE: iteration
