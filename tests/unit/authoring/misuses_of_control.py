"""Mistakes with races, locks and decisions: one in each function, on the line that ends in ``# MISTAKE: <words>``."""

# ruff: noqa  (the mistakes are the point)
# mypy: ignore-errors

from __future__ import annotations

from misuse_kit import Order, charge, count, fetch, ping

import wfe

# ---- races


def a_race_of_one(wf: wfe.Graph, order: Order):
    with wf.race() as r:  # MISTAKE: at least two
        ping()


def a_race_asked_before_its_end(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        first = charge(order)
        with wf.when(r.won(first)):  # MISTAKE: has ended
            ping()


def a_value_of_another_child(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        count(a)  # MISTAKE: made by another child of the race


def won_by_a_value_from_elsewhere(wf: wfe.Graph, order: Order):
    outside = charge(order)
    with wf.race() as r:
        fetch("a")
        fetch("b")
    with wf.when(r.won(outside)):  # MISTAKE: was not made in this race
        ping()


def won_by_a_parameter(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        fetch("a")
        fetch("b")
    with wf.when(r.won(order)):  # MISTAKE: was not made in this race
        ping()


def won_by_a_plain_value(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        fetch("a")
        fetch("b")
    with wf.when(r.won(3)):  # MISTAKE: made in the race
        ping()


def won_by_an_unknown_child(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        fetch("a")
        fetch("b")
    with wf.when(r.won("late")):  # MISTAKE: no child 'late'
        ping()


def won_by_two_children(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        b = count(2)
    with wf.when(r.won([a, b])):  # MISTAKE: made in the race
        ping()


def a_winner_as_a_python_condition(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        count(2)
    if r.won(a):  # MISTAKE: wf.when
        ping()


def a_value_out_of_a_race(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        count(2)
    count(a)  # MISTAKE: r.won(value)


def a_losers_value(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        b = count(2)
    with wf.when(r.won(a)):
        count(b)  # MISTAKE: r.won(value)


def a_winners_value_below_its_block(wf: wfe.Graph, order: Order):
    made = []
    with wf.race() as r:
        a = count(1)
        count(2)
    with wf.when(r.won(a)):
        made.append(a + 1)
    count(made[0])  # MISTAKE: made in


def a_value_of_a_race_in_the_other_arm(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        count(2)
    with wf.when(r.won(a)):
        ping()
    with wf.otherwise():
        count(a)  # MISTAKE: r.won(value)


def a_winner_or_something_else(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        a = count(1)
        count(2)
    with wf.when(r.won(a) | order.paid):
        count(a)  # MISTAKE: r.won(value)


def a_branch_in_a_branch(wf: wfe.Graph, order: Order):
    with wf.race() as r:
        ping()
        with wf.branch():
            with wf.branch():  # MISTAKE: wf.race() as r
                ping()


# ---- locks and decisions


def a_lock_of_a_ref(wf: wfe.Graph, order: Order):
    with wf.lock(order.id):  # MISTAKE: goes in key=
        ping()


def a_lock_without_a_name(wf: wfe.Graph, order: Order):
    with wf.lock(""):  # MISTAKE: as plain text
        ping()


def a_lock_for_nobody(wf: wfe.Graph, order: Order):
    with wf.lock("desk", per_run=0):  # MISTAKE: at least 1
        ping()


def several_shared_locks(wf: wfe.Graph, order: Order):
    with wf.lock(["a", "b"]):  # MISTAKE: per_run=1
        ping()


def a_lock_with_a_number_as_key(wf: wfe.Graph, order: Order):
    with wf.lock("desk", key=order.total):  # MISTAKE: wf.lock(key=...) takes text, and order.total is none
        ping()


def a_lock_with_a_plain_number_as_key(wf: wfe.Graph, order: Order):
    with wf.lock("desk", key=5):  # MISTAKE: takes text, and 5 is none
        ping()


def a_lock_of_the_run_with_a_key(wf: wfe.Graph, order: Order):
    with wf.lock("desk", key=order.id, per_run=1):  # MISTAKE: locks that runs share
        ping()


def one_lock_of_two_sorts(wf: wfe.Graph, order: Order):
    with wf.lock("desk", per_run=1):
        ping()
    with wf.lock("desk"):  # MISTAKE: they are the same lock
        ping()


def a_lock_never_entered(wf: wfe.Graph, order: Order):
    wf.lock("desk")  # MISTAKE: is not entered
    ping()


def a_decision_without_cases(wf: wfe.Graph, order: Order):
    wf.decision({})  # MISTAKE: names and conditions


def a_decision_of_a_number(wf: wfe.Graph, order: Order):
    wf.decision({"big": order.total})  # MISTAKE: takes a condition


def a_decision_of_plain_values(wf: wfe.Graph, order: Order):
    wf.decision({"big": True})  # MISTAKE: plain value


def a_default_that_is_a_case(wf: wfe.Graph, order: Order):
    wf.decision({"big": order.total > 3}, default="big")  # MISTAKE: no other case
