"""Mistakes that a drawing must find: one in each function, on the line that ends in ``# MISTAKE: <its message>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import math

from misuse_kit import Item, Model, Order, charge, fetch, pack, ping, ship

import wfe

# ---- calls


def too_many_arguments(wf: wfe.Graph, order: Order):
    charge(order, order)  # MISTAKE: takes 1 argument, 2 were given


def a_missing_argument(wf: wfe.Graph, order: Order):
    charge()  # MISTAKE: lacks the argument order


def an_unknown_argument(wf: wfe.Graph, order: Order):
    fetch("a", tries=3)  # MISTAKE: no parameter 'tries'


def an_argument_twice(wf: wfe.Graph, order: Order):
    fetch("a", url="b")  # MISTAKE: twice


def a_constant_of_the_wrong_type(wf: wfe.Graph, order: Order):
    fetch("a", retries="many")  # MISTAKE: Expected `int`


def a_value_of_the_wrong_type(wf: wfe.Graph, order: Order):
    fetch(order.items)  # MISTAKE: fetch(url=...) takes str


def a_field_of_the_wrong_type(wf: wfe.Graph, order: Order):
    charge(Order(order.total, 1.0, [], True))  # MISTAKE: id


def an_argument_without_json_form(wf: wfe.Graph, order: Order):
    fetch(math)  # MISTAKE: not a value for a graph


def a_sub_workflow_without_its_argument(wf: wfe.Graph, order: Order):
    ship()  # MISTAKE: lacks the argument order


def a_node_id_twice(wf: wfe.Graph, order: Order):
    ping.with_options(id="a")()
    ping.with_options(id="a")()  # MISTAKE: is taken by


def a_node_id_like_a_parameter(wf: wfe.Graph, order: Order):
    ping.with_options(id="order")()  # MISTAKE: is taken by


def a_node_id_that_is_no_name(wf: wfe.Graph, order: Order):
    ping.with_options(id="a-b")()  # MISTAKE: a name in expressions


def after_an_unknown_node(wf: wfe.Graph, order: Order):
    ping.with_options(after=["nobody"])()  # MISTAKE: no node above


def after_a_parameter(wf: wfe.Graph, order: Order):
    ping.with_options(after=[order])()  # MISTAKE: is a parameter


def a_bare_number_as_timeout(wf: wfe.Graph, order: Order):
    ping.with_options(timeout=3)()  # MISTAKE: did you mean "3s"?


def a_retry_that_is_none(wf: wfe.Graph, order: Order):
    ping.with_options(retry=3)()  # MISTAKE: wfe.Retry


def a_join(wf: wfe.Graph, order: Order):
    ping.with_options(join="first")()  # MISTAKE: "any" (the first)


# ---- map, waits, ends


def map_over_text(wf: wfe.Graph, order: Order):
    wf.map(fetch, order.id)  # MISTAKE: takes a list


def map_over_a_number(wf: wfe.Graph, order: Order):
    wf.map(fetch, 3)  # MISTAKE: takes a list


def map_with_a_body_of_two(wf: wfe.Graph, order: Order):
    wf.map(lambda a, b: a, order.items)  # MISTAKE: takes one argument


def map_with_no_body(wf: wfe.Graph, order: Order):
    wf.map("pack", order.items)  # MISTAKE: takes a task


def map_of_the_wrong_items(wf: wfe.Graph, order: Order):
    wf.map(fetch, order.items)  # MISTAKE: fetch(url=...) takes str


def map_without_slots(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, max_parallel=0)  # MISTAKE: at least 1


def map_with_odd_tolerance(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, tolerate="many")  # MISTAKE: share


def map_that_ends_after_less_than_nothing(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, complete_after=-1)  # MISTAKE: a number of items is wanted


def map_that_ends_when_a_ref_holds(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, complete_when=order.total > 3)  # MISTAKE: an expression such as


def map_whose_condition_names_nothing(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, complete_when="finished > 2")  # MISTAKE: finished


def map_with_an_odd_rest(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, complete_after=1, rest="drop")  # MISTAKE: "cancel" or "continue"


def map_with_a_rest_of_nothing(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items, rest="continue")  # MISTAKE: needs complete_after= or complete_when=


def sleep_by_a_number(wf: wfe.Graph, order: Order):
    wf.sleep(3)  # MISTAKE: did you mean "3s"?


def sleep_of_nothing(wf: wfe.Graph, order: Order):
    wf.sleep()  # MISTAKE: either a duration or until=


def sleep_until_a_bad_time(wf: wfe.Graph, order: Order):
    wf.sleep(until="tomorrow")  # MISTAKE: not a time


def a_signal_named_by_a_ref(wf: wfe.Graph, order: Order):
    wf.wait_signal(order.id)  # MISTAKE: plain text


def a_default_without_timeout(wf: wfe.Graph, order: Order):
    wf.wait_signal("go", default=3)  # MISTAKE: timeout=


def fail_with_a_number(wf: wfe.Graph, order: Order):
    wf.fail("Bad", order.total)  # MISTAKE: wf.format


def start_of_a_task(wf: wfe.Graph, order: Order):
    wf.start(charge, order)  # MISTAKE: takes a workflow


def unreachable_lines(wf: wfe.Graph, order: Order):
    wf.end(order.id)
    ping()  # MISTAKE: can never run


def nothing_at_all(wf: wfe.Graph, order: Order):  # MISTAKE: draws no nodes
    pass


# ---- functions


def expr_with_a_syntax_error(wf: wfe.Graph, order: Order):
    fetch(wf.expr("order.id +"))  # MISTAKE: wf.expr


def expr_with_an_unused_name(wf: wfe.Graph, order: Order):
    fetch(wf.expr("order.id", x=order.id))  # MISTAKE: not in the expression


def expr_with_an_unknown_name(wf: wfe.Graph, order: Order):
    fetch(wf.expr("ordr.id"))  # MISTAKE: ordr


def format_with_a_missing_value(wf: wfe.Graph, order: Order):
    fetch(wf.format("{} {}", order.id))  # MISTAKE: no value for


def format_with_an_unused_value(wf: wfe.Graph, order: Order):
    fetch(wf.format("{}", order.id, x=order.id))  # MISTAKE: not in the template


def format_with_a_spec(wf: wfe.Graph, order: Order):
    fetch(wf.format("{:.2f}", order.total))  # MISTAKE: without a format


def make_with_an_unknown_field(wf: wfe.Graph, order: Order):
    wf.end(wf.make(Model, id=order.id, totl=3))  # MISTAKE: has no field 'totl'


def make_with_a_missing_field(wf: wfe.Graph, order: Order):
    wf.end(wf.make(Model, id=order.id))  # MISTAKE: lacks total


def a_pydantic_constructor(wf: wfe.Graph, order: Order):
    ping()
    wf.end(Model(id=order.id, total=1))  # MISTAKE: wf.make


def a_secret_in_text(wf: wfe.Graph, order: Order):
    fetch(f"http://x/{wfe.secret('TOKEN')}")  # MISTAKE: handed to a task


def a_secret_in_a_condition(wf: wfe.Graph, order: Order):
    with wf.when(wfe.secret("TOKEN") == order.id):  # MISTAKE: handed to a task
        ping()


def an_error_of_the_authors_own(wf: wfe.Graph, order: Order):
    ping()
    {}["missing"]  # MISTAKE: KeyError


async def a_real_await(wf: wfe.Graph, order: Order):
    ping()
    await asyncio.sleep(0)  # MISTAKE: nodes


async def a_timer_await(wf: wfe.Graph, order: Order):
    ping()
    await asyncio.sleep(1)  # MISTAKE: use wf.sleep


async def an_async_for(wf: wfe.Graph, order: Order):
    async for item in order.items:  # MISTAKE: wf.map
        pack(item)
