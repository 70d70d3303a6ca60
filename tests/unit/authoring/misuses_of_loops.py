"""Mistakes with loops and states: one in each function, on the line that ends in ``# MISTAKE: <words>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

from misuse_kit import Item, Order, Progress, charge, count, fetch, pack, ping

import wfe

# ---- loops


def a_loop_that_is_a_condition(wf: wfe.Graph, order: Order):
    while wf.loop():  # MISTAKE: is a block, not a condition
        ping()


def a_loop_that_is_iterated(wf: wfe.Graph, order: Order):
    for _ in wf.loop():  # MISTAKE: is a block, not a list
        ping()


def a_loop_never_entered(wf: wfe.Graph, order: Order):
    wf.loop(max_iterations=3)  # MISTAKE: is not entered
    ping()


def an_empty_loop(wf: wfe.Graph, order: Order):
    ping()
    with wf.loop():  # MISTAKE: is empty
        pass


def a_loop_of_no_iterations(wf: wfe.Graph, order: Order):
    with wf.loop(max_iterations=0):  # MISTAKE: at least 1, or None
        ping()


def a_loop_over_items(wf: wfe.Graph, order: Order):
    with wf.loop(order.items):  # MISTAKE: positional argument
        ping()


def a_loop_without_bound_that_never_waits(wf: wfe.Graph, order: Order):
    with wf.loop(max_iterations=None):  # MISTAKE: give it a bound
        ping()
        wf.break_if(order.paid)


def a_python_loop_for_ever(wf: wfe.Graph, order: Order):
    while True:  # MISTAKE: wf.loop
        ping()


def a_loop_while_a_condition_holds(wf: wfe.Graph, order: Order):
    while order.total < 3:  # MISTAKE: truth value
        ping()


def break_outside_a_loop(wf: wfe.Graph, order: Order):
    ping()
    wf.break_if(order.paid)  # MISTAKE: stands inside


def break_out_of_a_map(wf: wfe.Graph, order: Order):
    def body(item: Item):
        pack(item)
        wf.break_if(item.count == 0)  # MISTAKE: cannot leave the body of wf.map

    with wf.loop():
        wf.map(body, order.items)


def break_if_a_number(wf: wfe.Graph, order: Order):
    with wf.loop():
        wf.break_if(order.total)  # MISTAKE: takes a condition


def break_if_a_plain_value(wf: wfe.Graph, order: Order):
    with wf.loop():
        ping()
        wf.break_if(1 > 2)  # MISTAKE: plain value


def a_python_break(wf: wfe.Graph, order: Order):
    for url in ["a", "b"]:
        with wf.loop():
            fetch(url)
            break  # MISTAKE: wf.break_if


def a_python_continue(wf: wfe.Graph, order: Order):
    for url in ["a", "b"]:
        with wf.loop():
            fetch(url)
            continue  # MISTAKE: wf.break_if


def return_in_a_loop(wf: wfe.Graph, order: Order):
    with wf.loop():
        ping()
        return order.id  # MISTAKE: wf.end


def a_counter_in_a_loop(wf: wfe.Graph, order: Order):
    n = 0
    with wf.loop():
        n = n + 1  # MISTAKE: wf.state
        wf.break_if(count(n) > 3)


def a_counter_that_is_increased_in_a_loop(wf: wfe.Graph, order: Order):
    n = 0
    with wf.loop():
        ping()
        n += 1  # MISTAKE: wf.state


def a_value_carried_between_iterations(wf: wfe.Graph, order: Order):
    n = count(1)
    with wf.loop():
        n = count(n)  # MISTAKE: wf.state
        wf.break_if(n > 3)
    return n


def a_parameter_bound_anew_in_a_loop(wf: wfe.Graph, order: Order):
    with wf.loop():
        order = fetch(order.id)  # MISTAKE: again in this loop
        wf.break_if(order == "")


def a_name_bound_anew_deep_in_a_loop(wf: wfe.Graph, order: Order):
    done = False
    with wf.loop():
        with wf.when(order.paid):
            ping()
            done = True  # MISTAKE: again in this loop


def a_name_bound_anew_in_an_inner_loop(wf: wfe.Graph, order: Order):
    with wf.loop():
        n = count(1)
        with wf.loop():
            n = count(2)  # MISTAKE: again in this loop
            wf.break_if(n > 3)
        wf.break_if()


def a_value_out_of_a_loop(wf: wfe.Graph, order: Order):
    with wf.loop():
        receipt = charge(order)
        wf.break_if(receipt != "")
    return fetch(receipt)  # MISTAKE: keep it in wf.state


def a_hidden_value_out_of_a_loop(wf: wfe.Graph, order: Order):
    made = {}
    with wf.loop():
        made["receipt"] = charge(order)
        wf.break_if()
    fetch(made["receipt"])  # MISTAKE: keep it in wf.state


# ---- states


def a_number_as_state(wf: wfe.Graph, order: Order):
    wf.state(0)  # MISTAKE: wf.state keeps an object


def a_list_as_state(wf: wfe.Graph, order: Order):
    wf.state([])  # MISTAKE: wf.state keeps an object


def a_field_that_is_a_number_as_state(wf: wfe.Graph, order: Order):
    wf.state(order.total)  # MISTAKE: wf.state keeps an object


def a_class_as_state(wf: wfe.Graph, order: Order):
    wf.state(Progress)  # MISTAKE: wf.state keeps an object


def nothing_as_state(wf: wfe.Graph, order: Order):
    wf.state(None)  # MISTAKE: wf.state keeps an object


def an_unknown_field_of_a_state(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    s.cuont = 3  # MISTAKE: did you mean 'count'?


def a_field_of_a_state_of_another_type(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    s.count = "three"  # MISTAKE: takes int


def a_field_of_a_state_from_a_ref_of_another_type(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    s.count = order.id  # MISTAKE: takes int


def a_field_inside_a_field_of_a_state(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    s.item.count = 3  # MISTAKE: as a whole


def an_item_of_a_list_in_a_state(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    s.names[0] = "a"  # MISTAKE: as a whole


def append_to_a_list_in_a_state(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    s.names.append("a")  # MISTAKE: s.x = s.x + [item]


def a_computed_entry_of_a_state(wf: wfe.Graph, order: Order):
    s = wf.state({"a": 1})
    s[order.id] = 3  # MISTAKE: known while drawing


def a_field_of_a_state_deleted(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    del s.count  # MISTAKE: del


def a_state_bound_anew(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    ping()
    s = Progress(count=2)  # MISTAKE: set its fields


def a_state_counted_up(wf: wfe.Graph, order: Order):
    s = wf.state({"n": 1})
    s += 1  # MISTAKE: set its fields


def a_state_of_a_block_set_below(wf: wfe.Graph, order: Order):
    kept = []
    with wf.when(order.paid):
        kept.append(wf.state(Progress()))
    kept[0].count = 3  # MISTAKE: which a run may not take


def a_state_set_in_two_branches(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    with wf.parallel():
        with wf.branch():
            s.count = count(1)
        with wf.branch():
            s.count = count(2)  # MISTAKE: at the same time


def a_state_set_twice_in_a_parallel_block(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    with wf.parallel():
        s.count = count(1)
        s.count = count(2)  # MISTAKE: at the same time


def a_state_set_deep_in_two_branches(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    with wf.parallel():
        with wf.when(order.paid):
            s.count = 1
        with wf.loop():
            s.count = s.count + 1  # MISTAKE: at the same time
            wf.break_if(s.count > 3)


def a_state_set_by_items(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())

    def body(item: Item):
        pack(item)
        s.count = s.count + 1  # MISTAKE: several items

    wf.map(body, order.items)


def a_state_set_as_a_child_of_a_race(wf: wfe.Graph, order: Order):
    s = wf.state(Progress())
    with wf.race():
        ping()
        s.count = 1  # MISTAKE: wf.branch


def an_entry_of_a_plain_value(wf: wfe.Graph, order: Order):
    order["total"] = 3  # MISTAKE: wf.state
