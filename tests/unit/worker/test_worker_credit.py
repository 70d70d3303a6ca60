"""How credit is measured out."""

from __future__ import annotations

import pytest

from wfe.limits import CREDIT_BYTES_MAX, CREDIT_TASKS_MAX, PAYLOAD_BYTES_MAX
from wfe.worker.credit import Account, Order, Pace, plan


def test_the_target_is_one_per_slot_for_slow_tasks_and_bounded_for_fast_ones():
    pace = Pace()
    assert pace.target(16) == 16
    pace.learn(10, 10 * 1_000_000)
    assert pace.target(16) == 16
    fast = Pace()
    fast.learn(100, 200)
    assert fast.target(16) == CREDIT_TASKS_MAX


def test_the_target_follows_tasks_that_become_slow():
    pace = Pace()
    pace.learn(1_000, 2_000)
    before = pace.target(16)
    for _ in range(20):
        pace.learn(16, 16 * 100_000)
    assert pace.target(16) < before / 50


def test_slow_tasks_are_renewed_one_by_one_and_fast_ones_in_bulk():
    slow, fast = Pace(), Pace()
    slow.learn(1, 1_000_000)
    fast.learn(100, 200)
    assert slow.step(16) == 1
    assert fast.step(CREDIT_TASKS_MAX) > 50


@pytest.mark.parametrize("shards", [1, 2, 5, 16])
def test_an_idle_worker_lends_all_it_has_with_something_for_each(shards):
    accounts = [Account(0, 0, home=index == 0) for index in range(shards)]
    orders = plan(accounts, 64, 1, 0, 0)
    assert sum(order.tasks for order in orders) == 64
    assert all(order.tasks >= 1 and order.bytes > 0 for order in orders)
    assert orders[0].tasks == max(order.tasks for order in orders)


def test_a_hungry_shard_can_always_take_a_payload_of_full_size():
    accounts = [Account(0, 0, home=index == 0) for index in range(16)]
    lent = [Account(o.tasks, o.bytes, home=i == 0) for i, o in enumerate(plan(accounts, 64, 1, 0, 0))]
    lent[9] = lent[9]._replace(ready=1)
    order = plan(lent, 64, 1, 0, 0)[9]
    assert lent[9].bytes + order.bytes >= PAYLOAD_BYTES_MAX


def test_no_credit_is_sent_byte_by_byte():
    nearly_full = Account(0, CREDIT_BYTES_MAX // 3, ready=3)
    assert plan([nearly_full, Account(1, 1, home=True, ready=9)], 1, 1, 0, 0)[0] == Order()


def test_bytes_that_an_idle_shard_hoards_are_recalled():
    hoarder = Account(1, CREDIT_BYTES_MAX - PAYLOAD_BYTES_MAX, home=True)
    hungry = Account(1, -5, ready=1)
    first = plan([hoarder, hungry], 2, 1, 0, PAYLOAD_BYTES_MAX)
    assert first[0].recall


def test_credit_is_called_back_when_tasks_have_become_slow():
    orders = plan([Account(3_000, 1, home=True), Account(500, 1)], 16, 1, 0, 0)
    assert orders == [Order(recall=True), Order(recall=True)]


def test_a_worker_that_leaves_recalls_everything_once():
    accounts = [Account(5, 1, home=True), Account(0, 0), Account(5, 1, closed=True)]
    assert plan(accounts, 0, 1, 3, 0) == [Order(recall=True), Order(), Order()]
