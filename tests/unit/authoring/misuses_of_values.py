"""Mistakes that a drawing must find: one in each function, on the line that ends in ``# MISTAKE: <its message>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from misuse_kit import Item, Order, charge, fetch, pack, ping

import wfe

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


def a_decimal_equality(wf: wfe.Graph, order: Order):
    with wf.when(order.exact == Decimal("1.50")):  # MISTAKE: compare Decimals in a task
        ping()


def a_decimal_inequality(wf: wfe.Graph, order: Order):
    with wf.when("1.50" != order.exact):  # MISTAKE: compare Decimals in a task
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
