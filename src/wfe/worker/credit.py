"""How much work a worker asks for, and of whom: plain numbers in, orders to lend and recall out.

Credit is lent to shards as (tasks, bytes of input); what is lent and what is held together stay within the bounds, so
that a burst always finds room. The target is `CREDIT_TARGET_MS` of work by the measured duration of recent tasks, at
least one task per slot. Most of what is free goes to a shard that is *hungry* (has ready tasks and no credit), else to
the home shard; every other shard keeps a little, so that a lone task never waits for a recall.
Pure. Invariants: sum of lent tasks + held tasks <= CREDIT_TASKS_MAX, and the same for bytes, after every plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wfe.limits import CREDIT_BYTES_MAX, CREDIT_TARGET_MS, CREDIT_TASKS_MAX, PAYLOAD_BYTES_MAX

TASK_OVERHEAD_US = 5.0
"""What a task costs the worker besides its execution."""
_STEP_US = 4_000.0
"""Credit is renewed about that often, not per task; at the latest when a quarter of it is used."""
_FLOOR_SHARE = 8
"""Shards without a claim share an eighth of the credit."""
_WEIGHT_MAX = 0.5


class Pace:
    """A running average of how long tasks take."""

    __slots__ = ("mean_us",)

    def __init__(self) -> None:
        self.mean_us = 0.0
        """0: nothing has been measured yet."""

    def learn(self, count: int, total_us: int) -> None:
        """``count`` tasks took ``total_us`` in all; many at once count for more."""
        mean_us = total_us / count
        if self.mean_us == 0.0:
            self.mean_us = max(mean_us, 0.1)
            return
        self.mean_us += (mean_us - self.mean_us) * min(_WEIGHT_MAX, count / 32)

    def target(self, slots: int) -> int:
        """How many tasks to have lent and held. Until something is measured: one per slot."""
        if self.mean_us == 0.0:
            return min(slots, CREDIT_TASKS_MAX)
        fitting = int(slots * CREDIT_TARGET_MS * 1_000 / (self.mean_us + TASK_OVERHEAD_US))
        return min(max(slots, fitting), CREDIT_TASKS_MAX)

    def step(self, target: int) -> int:
        """The least credit worth a message."""
        if self.mean_us == 0.0:
            return 1
        return max(1, min(target // 4, int(_STEP_US / (self.mean_us + TASK_OVERHEAD_US))))


class Account(NamedTuple):
    """One shard's view: unused credit (a frame may overdraw the bytes by one task), ready tasks that it reported.

    ``closed``: nothing can be said to it now (a recall is on its way, or no welcome came yet); its share is kept.
    """

    tasks: int
    bytes: int
    ready: int = 0
    closed: bool = False
    home: bool = False
    lent_at_ms: int = 0


class Order(NamedTuple):
    """What to do with one shard: lend (tasks, bytes), or recall everything."""

    tasks: int = 0
    bytes: int = 0
    recall: bool = False


KEEP = Order()


def plan(accounts: Sequence[Account], target: int, step: int, held_tasks: int, held_bytes: int) -> list[Order]:
    """What to lend to, or recall from, each account. ``target`` 0 (a worker that leaves): recall everything."""
    if target <= 0:
        return [Order(recall=a.tasks > 0 and not a.closed) for a in accounts]
    lent = sum(a.tasks for a in accounts)
    room = min(target, CREDIT_TASKS_MAX) - held_tasks - lent
    room_bytes = CREDIT_BYTES_MAX - held_bytes - sum(max(0, a.bytes) for a in accounts)
    wanted = _wanted(accounts, max(0, target - held_tasks))
    orders = [KEEP] * len(accounts)
    missing = starving = False
    for index in sorted(range(len(accounts)), key=lambda i: _claim(accounts[i])):
        account = accounts[index]
        gap = wanted[index] - account.tasks
        tasks = min(gap, room)
        worth = tasks >= min(step, wanted[index]) or (account.tasks == 0 and tasks > 0)
        hungry = account.ready > 0
        amount = _bytes_for(account, len(accounts), room_bytes)
        if account.closed:
            continue
        if (tasks > 0 and worth and account.bytes + amount > 0) or (hungry and amount > 0):
            orders[index] = Order(max(0, tasks), amount)
            room -= max(0, tasks)
            room_bytes -= amount
        if hungry and (gap > max(0, tasks) or account.bytes + amount <= 0):
            missing = True
            starving = starving or account.tasks + max(0, tasks) == 0
    surplus = lent + held_tasks > 2 * target
    for index, account in enumerate(accounts):
        idle = account.ready == 0 and account.tasks > 0 and not account.closed and orders[index] == KEEP
        fair = wanted[index] if starving else _spare(wanted[index])
        more_than_fair = account.tasks > fair or account.bytes > _share_bytes(len(accounts))
        if idle and ((missing and more_than_fair) or (surplus and account.tasks > step)):
            orders[index] = Order(recall=True)
    return orders


def _claim(account: Account) -> tuple[bool, int, int]:
    """Hungry shards first, of these the one that waited longest; then the home shard."""
    if account.ready > 0:
        return (False, account.lent_at_ms, not account.home)
    return (True, not account.home, account.lent_at_ms)


def _wanted(accounts: Sequence[Account], total: int) -> list[int]:
    """How the unused credit of the worker should be split."""
    count = len(accounts)
    if not count:
        return []
    if total < count:
        chosen = sorted(range(count), key=lambda i: _claim(accounts[i]))[:total]
        return [1 if i in chosen else 0 for i in range(count)]
    floor = max(1, total // (_FLOOR_SHARE * count))
    rest = total - floor * count
    wanted = [floor] * count
    ready = sum(a.ready for a in accounts)
    if ready:
        for index, account in enumerate(accounts):
            wanted[index] += min(rest * account.ready // ready, account.ready)
        rest = total - sum(wanted)
    favourite = min(range(count), key=lambda i: not accounts[i].home)
    wanted[favourite] += rest
    return wanted


def _share_bytes(count: int) -> int:
    """One payload of full size stays in reserve, for the shard that has to send one."""
    return (CREDIT_BYTES_MAX - PAYLOAD_BYTES_MAX) // count


def _bytes_for(account: Account, count: int, room_bytes: int) -> int:
    """Bytes to lend: a fair share, topped up when half is used; for a hungry shard at least a payload of full size."""
    share, have = _share_bytes(count), max(0, account.bytes)
    if account.ready > 0:
        share = max(share, PAYLOAD_BYTES_MAX)
    return max(0, min(share - have, room_bytes)) if have <= share // 2 else 0


def _spare(wanted: int) -> int:
    """An idle shard keeps that much before it is asked to give back."""
    return 2 * wanted if wanted > 1 else wanted
