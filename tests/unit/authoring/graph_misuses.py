"""Mistakes that a drawing must find: one in each function, on the line that ends in ``# MISTAKE: <its message>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import contextlib
import datetime
import datetime as dt
import math
import random
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal
from random import choice
from time import time as clock

import msgspec
import pydantic

import wfe


class Item(msgspec.Struct):
    sku: str
    count: int


class Order(msgspec.Struct):
    id: str
    total: float
    items: list[Item]
    paid: bool
    note: str | None = None
    prices: dict[str, float] = {}
    exact: Decimal = Decimal(0)
    due: datetime.datetime | None = None


class Model(pydantic.BaseModel):
    id: str
    total: float


@dataclass
class Receipt:
    order: str
    charge: str | None


@wfe.task
def charge(order: Order) -> str: ...


@wfe.task
def pack(item: Item) -> str: ...


@wfe.task
def ping() -> None: ...


@wfe.task
async def fetch(url: str, retries: int = 3) -> str: ...


@wfe.workflow
def ship(wf: wfe.Graph, order: Order) -> str:
    return charge(order)


LEAKED = []

# ---- truth and control flow


def truth_in_an_if(wf: wfe.Graph, order: Order):
    if order.paid:  # MISTAKE: wf.when
        ping()


def truth_in_a_while(wf: wfe.Graph, order: Order):
    while order.total > 10:  # MISTAKE: wf.when
        ping()


def truth_by_and(wf: wfe.Graph, order: Order):
    with wf.when(order.paid and order.total > 1):  # MISTAKE: `&`
        ping()


def truth_by_not(wf: wfe.Graph, order: Order):
    with wf.when(not order.paid):  # MISTAKE: wf.not_
        ping()


def truth_by_a_chained_comparison(wf: wfe.Graph, order: Order):
    with wf.when(0 < order.total < 10):  # MISTAKE: `&`
        ping()


def truth_by_assert(wf: wfe.Graph, order: Order):
    ping()
    assert order.total > 0  # MISTAKE: truth value


def truth_by_a_conditional_expression(wf: wfe.Graph, order: Order):
    ping()
    return "a" if order.paid else "b"  # MISTAKE: wf.when


def membership_in_a_ref(wf: wfe.Graph, order: Order):
    with wf.when("x" in order.items):  # MISTAKE: wf.contains
        ping()


def membership_of_a_ref(wf: wfe.Graph, order: Order):
    with wf.when(order.id in ["a", "b"]):  # MISTAKE: truth value
        ping()


def a_for_loop(wf: wfe.Graph, order: Order):
    for item in order.items:  # MISTAKE: wf.map
        pack(item)


def a_comprehension(wf: wfe.Graph, order: Order):
    packed = [pack(item) for item in order.items]  # MISTAKE: wf.map


def unpacking(wf: wfe.Graph, order: Order):
    first, second = order.items  # MISTAKE: wf.map


def length(wf: wfe.Graph, order: Order):
    with wf.when(len(order.items) > 3):  # MISTAKE: wf.size
        ping()


# ---- text


def an_f_string(wf: wfe.Graph, order: Order):
    fetch(f"http://x/{order.id}")  # MISTAKE: wf.format


def str_of_a_ref(wf: wfe.Graph, order: Order):
    fetch(str(order.id))  # MISTAKE: wf.format


def percent_formatting(wf: wfe.Graph, order: Order):
    fetch("http://x/%s" % order.id)  # MISTAKE: wf.format


def str_format(wf: wfe.Graph, order: Order):
    fetch(f"http://x/{order.id}")  # MISTAKE: wf.format


def repr_of_a_ref(wf: wfe.Graph, order: Order):
    text = repr(order.id)
    fetch(text)  # MISTAKE: wf.format


def joining(wf: wfe.Graph, order: Order):
    fetch(",".join([order.id]))  # MISTAKE: TypeError


# ---- operators


def a_method_call(wf: wfe.Graph, order: Order):
    fetch(order.id.upper())  # MISTAKE: methods need a value


def a_dict_method(wf: wfe.Graph, order: Order):
    price = order.prices.get("a")  # MISTAKE: entries are read as order.prices


def an_unknown_field(wf: wfe.Graph, order: Order):
    with wf.when(order.totl > 1):  # MISTAKE: did you mean 'total'?
        ping()


def an_unknown_field_of_an_item(wf: wfe.Graph, order: Order):
    wf.map(lambda item: fetch(item.skuu), order.items)  # MISTAKE: did you mean 'sku'?


def assignment_to_a_field(wf: wfe.Graph, order: Order):
    order.total = 3  # MISTAKE: never changed


def assignment_to_an_item(wf: wfe.Graph, order: Order):
    order.prices["a"] = 3  # MISTAKE: never changed


def deletion(wf: wfe.Graph, order: Order):
    del order.items[0]  # MISTAKE: never changed


def a_slice(wf: wfe.Graph, order: Order):
    wf.map(pack, order.items[1:])  # MISTAKE: slice


def floor_division(wf: wfe.Graph, order: Order):
    fetch("a", order.total // 3)  # MISTAKE: `//`


def modulo(wf: wfe.Graph, order: Order):
    fetch("a", order.total % 3)  # MISTAKE: `%`


def power(wf: wfe.Graph, order: Order):
    fetch("a", order.total**2)  # MISTAKE: `**`


def unary_minus(wf: wfe.Graph, order: Order):
    fetch("a", -order.total)  # MISTAKE: 0 - x


def inversion(wf: wfe.Graph, order: Order):
    with wf.when(~order.paid):  # MISTAKE: wf.not_
        ping()


def absolute(wf: wfe.Graph, order: Order):
    fetch("a", abs(order.total))  # MISTAKE: abs()


def rounding(wf: wfe.Graph, order: Order):
    fetch("a", round(order.total))  # MISTAKE: round()


def conversion_to_int(wf: wfe.Graph, order: Order):
    fetch("a", int(order.total))  # MISTAKE: int()


def a_range(wf: wfe.Graph, order: Order):
    for _ in range(wf.size(order.items)):  # MISTAKE: wf.map
        ping()


def a_set(wf: wfe.Graph, order: Order):
    fetch("a", {order.id})  # MISTAKE: hashing


def a_key(wf: wfe.Graph, order: Order):
    wf.end({order.id: 1})  # MISTAKE: hashing


def text_plus_number(wf: wfe.Graph, order: Order):
    fetch(order.id + 1)  # MISTAKE: wf.format


def text_times_list(wf: wfe.Graph, order: Order):
    fetch(order.items * order.id)  # MISTAKE: has no *


def number_against_text(wf: wfe.Graph, order: Order):
    with wf.when(order.total > "3"):  # MISTAKE: cannot be compared
        ping()


def number_equals_text(wf: wfe.Graph, order: Order):
    with wf.when(order.total == "3"):  # MISTAKE: always the same answer
        ping()


def a_decimal_sum(wf: wfe.Graph, order: Order):
    fetch("a", order.exact + 1)  # MISTAKE: Decimal


def a_decimal_comparison(wf: wfe.Graph, order: Order):
    with wf.when(order.exact > 1):  # MISTAKE: Decimal
        ping()


def a_time_without_a_zone(wf: wfe.Graph, order: Order):
    with wf.when(order.due > dt.datetime(2024, 1, 1)):  # MISTAKE: time zone
        ping()


def and_of_a_plain_bool(wf: wfe.Graph, order: Order):
    with wf.when(order.paid & True):  # MISTAKE: plain value
        ping()


def or_of_numbers(wf: wfe.Graph, order: Order):
    with wf.when(order.total | order.total):  # MISTAKE: takes a condition
        ping()


def a_list_index_by_text(wf: wfe.Graph, order: Order):
    pack(order.items["a"])  # MISTAKE: have numbers


# ---- conditions and blocks


def a_plain_condition(wf: wfe.Graph, order: Order):
    with wf.when(1 == 2):  # MISTAKE: plain value
        ping()


def a_number_as_condition(wf: wfe.Graph, order: Order):
    with wf.when(order.total):  # MISTAKE: takes a condition
        ping()


def a_plain_negation(wf: wfe.Graph, order: Order):
    with wf.when(wf.not_(False)):  # MISTAKE: plain value
        ping()


def a_block_never_entered(wf: wfe.Graph, order: Order):
    wf.when(order.paid)  # MISTAKE: is not entered
    ping()


def a_last_block_never_entered(wf: wfe.Graph, order: Order):
    ping()
    wf.parallel()  # MISTAKE: is not entered


def an_empty_block(wf: wfe.Graph, order: Order):
    ping()
    with wf.when(order.paid):  # MISTAKE: is empty
        pass


def a_block_entered_twice(wf: wfe.Graph, order: Order):
    block = wf.when(order.paid)
    with block:
        ping()
    with block:  # MISTAKE: was entered before
        ping()


def otherwise_alone(wf: wfe.Graph, order: Order):
    with wf.otherwise():  # MISTAKE: must follow
        ping()


def otherwise_after_a_task(wf: wfe.Graph, order: Order):
    with wf.when(order.paid):
        ping()
    ping()
    with wf.otherwise():  # MISTAKE: must follow
        ping()


def otherwise_twice(wf: wfe.Graph, order: Order):
    with wf.when(order.paid):
        ping()
    with wf.otherwise():
        ping()
    with wf.otherwise():  # MISTAKE: never be reached
        ping()


def branch_outside_parallel(wf: wfe.Graph, order: Order):
    with wf.branch():  # MISTAKE: wf.parallel
        ping()


def catch_without_types(wf: wfe.Graph, order: Order):
    with wf.catch():  # MISTAKE: types of errors
        ping()


def catch_of_a_value(wf: wfe.Graph, order: Order):
    with wf.catch(3):  # MISTAKE: types of errors
        ping()


def an_async_block(wf: wfe.Graph, order: Order):
    ping()
    with order:  # MISTAKE: only wf's blocks
        ping()


# ---- values out of blocks


def a_value_out_of_when(wf: wfe.Graph, order: Order):
    results = []
    with wf.when(order.paid):
        results.append(charge(order))
    fetch(results[0])  # MISTAKE: wf.merge


def a_named_value_out_of_when(wf: wfe.Graph, order: Order):
    with wf.when(order.paid):
        receipt = charge(order)
    fetch(receipt)  # MISTAKE: wf.merge


def a_value_out_of_catch_in_the_result(wf: wfe.Graph, order: Order):
    with wf.catch(ValueError):
        receipt = charge(order)
    return Receipt(order.id, receipt)  # MISTAKE: wf.merge


def a_value_between_arms(wf: wfe.Graph, order: Order):
    made = {}
    with wf.when(order.paid):
        made["x"] = charge(order)
    with wf.otherwise():
        fetch(made["x"])  # MISTAKE: wf.merge


def a_value_out_of_a_map(wf: wfe.Graph, order: Order):
    def body(item: Item):
        LEAKED.append(pack(item))
        return LEAKED[-1]

    wf.map(body, order.items)
    fetch(LEAKED[-1])  # MISTAKE: return it from the body


def merge_of_a_map_body(wf: wfe.Graph, order: Order):
    def body(item: Item):
        LEAKED.append(pack(item))
        return LEAKED[-1]

    wf.map(body, order.items)
    fetch(wf.merge(LEAKED[-1], "x"))  # MISTAKE: return it from the body


def the_error_inside_its_block(wf: wfe.Graph, order: Order):
    with wf.catch(ValueError) as caught:
        charge(order)
        with wf.when(caught.failed):  # MISTAKE: has ended
            ping()


def a_plain_value_bound_in_a_block(wf: wfe.Graph, order: Order):
    status = "open"
    with wf.when(order.paid):
        status = "paid"
        ping()
    fetch(status)  # MISTAKE: goes through all blocks


def a_counter_in_a_block(wf: wfe.Graph, order: Order):
    count = 0
    with wf.when(order.paid):
        count = 1
        ping()
    count += 1  # MISTAKE: goes through all blocks
    fetch("a", count)


def one_name_in_two_arms(wf: wfe.Graph, order: Order):
    with wf.when(order.paid):
        receipt = charge(order)
    with wf.otherwise():
        receipt = fetch("a")  # MISTAKE: another arm
    return wf.merge(receipt)


def merge_of_nothing(wf: wfe.Graph, order: Order):
    ping()
    return wf.merge("a", "b")  # MISTAKE: made in blocks


# ---- what a stand-in cannot see


def return_in_a_block(wf: wfe.Graph, order: Order):
    with wf.when(order.paid):
        ping()
        return order.id  # MISTAKE: wf.end
    charge(order)


def return_in_a_plain_with_in_a_block(wf: wfe.Graph, order: Order):
    with wf.when(order.paid):
        ping()
        with contextlib.nullcontext():
            return order.id  # MISTAKE: wf.end


def continue_in_a_block(wf: wfe.Graph, order: Order):
    for url in ["a", "b"]:
        with wf.when(order.id == url):
            ping()
            continue  # MISTAKE: acts on the drawing
        fetch(url)


def identity(wf: wfe.Graph, order: Order):
    with wf.when(order.note is None):  # MISTAKE: wf.is_none
        ping()


def non_identity(wf: wfe.Graph, order: Order):
    if order.note is not None:  # MISTAKE: wf.is_none
        ping()


def an_isinstance(wf: wfe.Graph, order: Order):
    if isinstance(order, Order):  # MISTAKE: stand-in
        ping()


def a_type(wf: wfe.Graph, order: Order):
    if type(order) == Order:  # MISTAKE: stand-in
        ping()


def a_match(wf: wfe.Graph, order: Order):
    match order.id:  # MISTAKE: wf.when
        case "a":
            ping()


def a_try(wf: wfe.Graph, order: Order):
    try:  # MISTAKE: wf.catch
        charge(order)
    except ValueError:
        ping()


def a_clock(wf: wfe.Graph, order: Order):
    fetch("a", time.time())  # MISTAKE: wf.now()


def an_imported_clock(wf: wfe.Graph, order: Order):
    fetch("a", clock())  # MISTAKE: wf.now()


def the_time_of_day(wf: wfe.Graph, order: Order):
    wf.end(datetime.datetime.now(datetime.UTC))  # MISTAKE: wf.now()


def todays_date(wf: wfe.Graph, order: Order):
    wf.end(dt.date.today())  # MISTAKE: wf.now()


def real_sleep(wf: wfe.Graph, order: Order):
    ping()
    time.sleep(0)  # MISTAKE: wf.sleep


def dice(wf: wfe.Graph, order: Order):
    fetch("a", random.randint(1, 6))  # MISTAKE: in a task


def imported_dice(wf: wfe.Graph, order: Order):
    fetch(choice(["a", "b"]))  # MISTAKE: in a task


def a_uuid(wf: wfe.Graph, order: Order):
    fetch(str(uuid.uuid4()))  # MISTAKE: in a task


def a_global(wf: wfe.Graph, order: Order):
    global LEAKED  # MISTAKE: outlives the drawing
    LEAKED = [charge(order)]


def swallowed_mistake(wf: wfe.Graph, order: Order):
    ping()
    with contextlib.suppress(Exception):
        bool(order.paid)  # MISTAKE: truth value


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
    ping.with_options(join="any")()  # MISTAKE: later version


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
    return order.id


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
    await asyncio.sleep(1)  # MISTAKE: event loop


async def an_async_for(wf: wfe.Graph, order: Order):
    async for item in order.items:  # MISTAKE: wf.map
        pack(item)


# ---- later


def a_loop(wf: wfe.Graph, order: Order):
    with wf.loop():  # MISTAKE: later version
        ping()


def a_state(wf: wfe.Graph, order: Order):
    state = wf.state(order)  # MISTAKE: later version


def a_race(wf: wfe.Graph, order: Order):
    with wf.race() as race:  # MISTAKE: later version
        ping()


def an_approval(wf: wfe.Graph, order: Order):
    wf.approval("manager", timeout="2d")  # MISTAKE: later version


def a_compensation(wf: wfe.Graph, order: Order):
    wf.compensate_with(ping, order.id)  # MISTAKE: later version


def compensation_now(wf: wfe.Graph, order: Order):
    wf.compensate()  # MISTAKE: later version


def a_lock(wf: wfe.Graph, order: Order):
    with wf.lock("db"):  # MISTAKE: later version
        ping()


def an_event(wf: wfe.Graph, order: Order):
    wf.emit("order.paid", order)  # MISTAKE: later version


def an_http_call(wf: wfe.Graph, order: Order):
    wf.http("GET", "http://x")  # MISTAKE: later version
