"""Mistakes that a drawing must find: one in each function, on the line that ends in ``# MISTAKE: <its message>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

import contextlib
import datetime
import datetime as dt
import random
import time
import uuid
from random import choice
from time import time as clock

from misuse_kit import Item, Order, Receipt, charge, fetch, pack, ping

import wfe

LEAKED = []

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


def a_block_left_by_a_swallowed_error(wf: wfe.Graph, order: Order):
    ping()
    with contextlib.suppress(KeyError):
        with wf.when(order.paid):  # MISTAKE: was swallowed
            ping()
            {}["missing"]


def an_unknown_method(wf: wfe.Graph, order: Order):
    with wf.whn(order.paid):  # MISTAKE: did you mean 'when'?
        ping()


def an_attribute_of_the_graph(wf: wfe.Graph, order: Order):
    ping()
    wf.total = 3  # MISTAKE: AttributeError


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
