"""Locks (patterns 17, 39, 40): all or none, first come first served, in a queue of the run's own.

A lock that all runs share lives in a partition of its own: it is asked for, given and released by mail, in order, so
that a release can never overtake the question before it.
"""

from __future__ import annotations

from collections import Counter

from wfe.core.faults import raise_fault, release_shared
from wfe.core.plan import PlanNode
from wfe.core.turn import Turn
from wfe.core.values import evaluate
from wfe.errors import ExpressionError
from wfe.limits import KEY_CHARS_MAX, LOCK_QUEUE_MAX
from wfe.model.definition import Lock
from wfe.model.event import NodeDone
from wfe.model.event_kinds import LockAsked, LockGranted
from wfe.model.ids import lock_address, lock_name
from wfe.model.mail import LockWanted


def open_lock(turn: Turn, act: int, node: PlanNode) -> None:
    """Ask for the locks; `grant_locks` gives those of the run, mail the shared one (`lock_given`)."""
    shared = shared_names(turn, node)
    if not shared:
        turn.emit(LockAsked(node.index, act))
        return
    run = turn.run
    try:
        key = evaluate(run, turn.plan, node.scope, act, node.template, turn.now_ms) if node.template else None
        if key is not None and (not isinstance(key, str) or len(key) > KEY_CHARS_MAX):
            raise ExpressionError(f"the key of a lock is text of at most {KEY_CHARS_MAX} characters, not {key!r:.100}")
    except ExpressionError as error:
        raise_fault(turn, act, node, "expression", str(error))
        return
    lock = lock_name(run.namespace, shared[0], key or "")
    turn.emit(LockAsked(node.index, act, lock))
    turn.mail.append((lock_address(lock, turn.partitions), LockWanted(lock, run.id, node.index, act)))


def shared_names(turn: Turn, node: PlanNode) -> list[str]:
    """The names of a block that are no locks of the run's own: one at most, by validation."""
    assert isinstance(node.node, Lock)
    own = turn.plan.definition.locks
    return [name for name in node.node.names if name not in own]


def grant_locks(turn: Turn) -> bool:
    """Give free locks to the blocks that have waited longest; nobody overtakes one that waits for the same name."""
    run, plan = turn.run, turn.plan
    if False not in run.locks.values():
        return False
    free = Counter(plan.definition.locks)
    waiting: list[tuple[int, list[str]]] = []
    for key, held in run.locks.items():
        if key not in run.shared_locks:
            names = _names(turn, key)
            if held:
                free.subtract(names)
            else:
                waiting.append((key, names))
    granted = False
    for key, names in waiting:
        if all(free[name] > 0 for name in names):
            act, index = divmod(key, plan.stride)
            turn.emit(LockGranted(index, act))
            granted = True
            free.subtract(names)
        else:
            for name in names:
                free[name] = 0  # whoever came later does not take it from under him
    return granted


def lock_given(turn: Turn, key: int, lock: str, *, refused: bool) -> bool:
    """The owner gave a shared lock, or refused it. False: nobody wants it here any more (the owner has been told)."""
    run = turn.run
    if run.shared_locks.get(key) != lock or run.locks.get(key, True):
        return False
    act, index = divmod(key, turn.plan.stride)
    if refused:
        name = turn.plan.nodes[index].id
        message = f"{LOCK_QUEUE_MAX} places wait for the lock of {name!r} already: start fewer at once, or use keys"
        raise_fault(turn, act, turn.plan.nodes[index], "LockQueueFull", message)
    else:
        turn.emit(LockGranted(index, act))
    return True


def close_lock(turn: Turn, act: int, node: PlanNode) -> None:
    """All nodes inside have ended: the locks are free again."""
    key = act * turn.plan.stride + node.index
    shared = turn.run.shared_locks.get(key)
    turn.emit(NodeDone(node.index, act))
    if shared is not None:
        release_shared(turn, key, shared)


def _names(turn: Turn, key: int) -> list[str]:
    lock = turn.plan.nodes[key % turn.plan.stride].node
    assert isinstance(lock, Lock)
    return sorted(set(lock.names))
