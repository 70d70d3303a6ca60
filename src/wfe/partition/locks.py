"""Locks that all runs of a namespace share: each lives in one partition, in the order in which places asked for it.

Part of the partition's own record: folded from its events, asked for, given and released by mail. Invariants: the first
in a queue holds the lock and has been told so by a letter of the same commit; a place is in a queue at most once; a
queue has at most LOCK_QUEUE_MAX places, further ones are refused by mail.
"""

from __future__ import annotations

from wfe.limits import LOCK_QUEUE_MAX
from wfe.model.event import LockLeft, LockQueued
from wfe.model.ids import partition_of
from wfe.model.mail import LockGiven, LockReleased, LockWanted
from wfe.partition.partition import Partition


def on_lock_mail(partition: Partition, body: LockWanted | LockReleased) -> None:
    """A run wants a lock of this partition, or neither holds nor wants it any more. Repetitions change nothing."""
    queue = partition.record.locks.get(body.lock)
    known = queue is not None and place_of(body.run_id, body.node, body.act) in queue
    if isinstance(body, LockWanted):
        if not known and queue is not None and len(queue) >= LOCK_QUEUE_MAX:
            refusal = LockGiven(body.run_id, body.node, body.act, body.lock, refused=True)
            partition.post(partition_of(body.run_id), refusal)
        elif not known:
            partition.emit(LockQueued(body.lock, body.run_id, body.node, body.act))
            if queue is None:
                _give(partition, body.lock)
    elif known:
        assert queue is not None
        held = next(iter(queue)) == place_of(body.run_id, body.node, body.act)
        partition.emit(LockLeft(body.lock, body.run_id, body.node, body.act))
        if held and body.lock in partition.record.locks:
            _give(partition, body.lock)


def _give(partition: Partition, lock: str) -> None:
    """Tell the first in the queue that it holds the lock."""
    run_id, node, act = next(iter(partition.record.locks[lock])).split("/")
    partition.post(partition_of(run_id), LockGiven(run_id, int(node), int(act), lock))


def place_of(run_id: str, node: int, act: int) -> str:
    """A place of a run as one text: what a queue is made of."""
    return f"{run_id}/{node}/{act}"
