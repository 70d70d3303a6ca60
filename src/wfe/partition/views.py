"""A run as people see it: what it is, what it waits for, and its history in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from wfe.core.nets.stuck import waiting_joins
from wfe.core.plan import Plan
from wfe.model.blob import described, expand
from wfe.model.definition import Approval
from wfe.model.event import EventChunk, RunEvent
from wfe.model.event_durable import CallEnded
from wfe.model.state import DEADLINE, ENDED, PAUSED, RUN_DEADLINE, RUNNING, RunState
from wfe.partition import durable
from wfe.partition.entry import Entry, Lease
from wfe.wire.approvals import OpenApproval
from wfe.wire.messages import NULL, HistoryEvent, RunOutcome, RunView, Waiting
from wfe.wire.runs import WAITING_MAX

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_UNSHOWN = frozenset({"node", "act", "attempt", "snapshot"})
"""Fields of an event that a history has in a place of its own; and a whole state, which may be larger than a frame."""


def run_view(run: RunState, plan: Plan | None, leases: dict[int, Lease], *, payloads: bool = True) -> RunView:
    """A run as `wfe get` shows it; without payloads as `wfe list` does."""
    return RunView(
        id=run.id,
        workflow=run.workflow,
        version=run.version,
        status=shown_status(run, leases),
        key=run.key,
        input=expand(run.input, run.blobs) if payloads else NULL,
        output=expand(run.output, run.blobs) if payloads else NULL,
        error=run.error,
        waiting_for=waiting_for(run, plan, leases) if plan is not None and payloads else [],
        started_at=run.started_ms,
        ended_at=run.ended_ms,
        tags=run.tags,
        priority=run.priority,
        parent=run.parent,
        events=run.seq,
        definition=run.definition,
        namespace=run.namespace,
        trace=run.trace,
    )


def shown_status(run: RunState, leases: dict[int, Lease]) -> str:
    """``pending``: nothing of it has begun; ``waiting``: no task is open, only time or the outside can move it."""
    if run.status != RUNNING:
        return run.status
    if run.open:
        untouched = not leases and run.seq <= 2
        return "pending" if untouched else RUNNING
    waits = (
        run.waits
        or run.children
        or run.retrying
        or not all(run.locks.values())
        or any(t != RUN_DEADLINE for t in run.timers)
    )
    return "waiting" if waits else RUNNING


def outcome(run: RunState) -> RunOutcome:
    """The end of a run, for whoever awaits it."""
    return RunOutcome(run.id, run.status, expand(run.output, run.blobs), run.error)


def waiting_for(run: RunState, plan: Plan, leases: dict[int, Lease]) -> list[Waiting]:
    """What holds a run up, each thing once, at most a hundred entries."""
    if run.status in ENDED:
        return []
    found: list[Waiting] = []
    if run.status == PAUSED:
        if run.incident:  # nothing else would help: whatever is open is not given out before the resume
            return [Waiting("incident", detail=run.incident)]
        found.append(Waiting("paused"))
    for parts in (_cancellation, _compensation, _tasks, _messages, _approvals, _locks, _joins, _children, _timers):
        for wait in parts(run, plan, leases):
            found.append(wait)
            if len(found) >= WAITING_MAX:
                return found
    return found


def _place(run: RunState, plan: Plan, key: int) -> str:
    if run.durable is not None:
        return durable.place_words(run, plan, key)
    act, index = divmod(key, plan.stride)
    return _at(_node_id(plan, index), act)


def _at(node_id: str, act: int) -> str:
    return f"{node_id}[{act}]" if act else node_id


def _cancellation(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    """A durable function that was told of its cancellation, and until when it may clean up."""
    if run.durable is not None and run.durable.cancelled:
        due_ms = run.timers.get(DEADLINE, 0)
        yield Waiting("cancellation", plan.nodes[0].id, "the function cleans up", due_ms=due_ms)


def _compensation(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    """What the run ends with afterwards, and how many handlers come after the open one."""
    compensating = run.compensating
    if compensating is not None:
        before = f"before the run is {compensating.status}" if compensating.status else "before the run goes on"
        yield Waiting("compensation", detail=f"{len(compensating.todo)} more after the open one, {before}")


def _tasks(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    for key, attempt in run.open.items():
        lease = leases.get(key)
        name = plan.nodes[key % plan.stride].task
        if run.durable is not None:
            name = durable.task_words(run, plan, key) + durable.where_words(run, plan, key)
        if lease is None:
            if run.status == PAUSED:  # no worker is what it lacks
                continue
            yield Waiting("worker", _place(run, plan, key), name, attempt=attempt)
        else:
            detail = f"{name} on {lease.worker}"
            yield Waiting("task", _place(run, plan, key), detail, since_ms=lease.dispatched_ms, attempt=attempt)


def _messages(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    """Signals, also those that bring a map further items; an approval has words of its own."""
    for key, channel in run.waits.items():
        if key not in run.approvals:
            kind = "items" if key in run.groups else "signal"
            detail = channel.replace("\x1f", " ")
            if run.durable is not None:
                detail += durable.where_words(run, plan, key)
            yield Waiting(kind, _place(run, plan, key), detail, due_ms=run.timers.get(key * 2 + DEADLINE, 0))


def _approvals(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    for approval in open_approvals(run, plan):
        to = _decode(approval.to)
        who = "" if to is None else f" by {to}"
        where = _at(approval.node, approval.activation)
        yield Waiting("approval", where, f"{approval.name}{who}", due_ms=approval.due_ms)


def _locks(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    for key, held in run.locks.items():
        if not held:
            yield Waiting("lock", _place(run, plan, key), _lock_words(run, plan, key))


def _joins(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    for key, marking in run.nets.items():
        for id_, what in waiting_joins(plan, marking):
            yield Waiting("join", _at(id_, key // plan.stride), what)


def _children(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    for key, child in run.children.items():
        yield Waiting("run", _place(run, plan, key), child, due_ms=run.timers.get(key * 2 + DEADLINE, 0))


def _timers(run: RunState, plan: Plan, leases: dict[int, Lease]) -> Iterator[Waiting]:
    """Those that wake something: a deadline belongs to what it limits, and an approval only asks somebody else."""
    for timer, due_ms in run.timers.items():
        key = timer // 2
        if timer == RUN_DEADLINE or timer % 2 == DEADLINE or key in run.approvals:
            continue
        loop = run.loops.get(key)
        if loop is not None:
            yield Waiting("loop", _place(run, plan, key), f"turn after iteration {loop.iteration}", due_ms=due_ms)
        else:
            kind = "retry" if key in run.retrying else "timer"
            yield Waiting(kind, _place(run, plan, key), due_ms=due_ms, attempt=run.retrying.get(key, 0))


def open_approvals(run: RunState, plan: Plan) -> list[OpenApproval]:
    """Who is asked to decide what in this run."""
    found = []
    for key, asked in run.approvals.items():
        if run.durable is not None:
            found.append(durable.asked_approval(run, plan, key, asked))
            continue
        act, index = divmod(key, plan.stride)
        node = plan.nodes[index].node
        assert isinstance(node, Approval)
        form = NULL if node.form is None else Raw(_encode(node.form))
        due_ms = run.timers.get(key * 2 + DEADLINE, 0)
        found.append(
            OpenApproval(
                run.id, run.workflow, node.id, act, node.approval, asked.to, due_ms, asked.level, run.key, form
            )
        )
    return found


def _lock_words(run: RunState, plan: Plan, key: int) -> str:
    """Which locks a block waits for: a shared one by its name and key."""
    shared = run.shared_locks.get(key)
    if shared is not None:
        return " ".join(part for part in shared.split("\x1f")[1:] if part)
    return " ".join(getattr(plan.nodes[key % plan.stride].node, "names", ()))


def history_events(plan: Plan, first_seq: int, chunk: EventChunk) -> list[HistoryEvent]:
    """The events of a chunk in words."""
    return [history_event(plan, first_seq + i, chunk.time_ms, event) for i, event in enumerate(chunk.events)]


def history_event(plan: Plan, seq: int, time_ms: int, event: RunEvent) -> HistoryEvent:
    """One event: its type, its place, and its other fields by name."""
    kind = type(event)
    fields: dict[str, Any] = {}
    for name in _shown_fields(kind):
        value = getattr(event, name)
        if type(value) is Raw:
            value = described(value)
        elif name in _IN_WORDS:
            value = _IN_WORDS[name](plan, value)
        fields[name] = value
    named = ""
    if isinstance(event, CallEnded):
        fields["status"], named = durable.end_words(event), event.name
    node = getattr(event, "node", None)
    return HistoryEvent(
        seq,
        time_ms,
        kind.__name__,
        named or (_node_id(plan, node) if node is not None else ""),
        getattr(event, "act", 0),
        getattr(event, "attempt", 0),
        Raw(_encode(fields)),
    )


@cache  # as many as there are types of events
def _shown_fields(kind: type[RunEvent]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name not in _UNSHOWN)


def _timer_words(plan: Plan, timer: int) -> str:
    return "run" if timer == RUN_DEADLINE else _node_id(plan, timer // 2 % plan.stride)


def _ids(plan: Plan, indices: Iterable[int]) -> list[str]:
    return [plan.nodes[index].id for index in indices]


_IN_WORDS: dict[str, Callable[[Plan, Any], Any]] = {
    "nodes": _ids,
    "members": _ids,
    "member": lambda plan, index: plan.nodes[index].id,
    "timer": _timer_words,
    "calls": lambda plan, calls: durable.made_words(calls),
}
"""Fields that a history shows otherwise than the event has them."""


def _node_id(plan: Plan, index: int) -> str:
    """Empty for the frame itself: a net that is all of a run, of an item or of an iteration."""
    return plan.nodes[index].id if index < len(plan.nodes) else ""


def entry_view(entry: Entry, *, payloads: bool = True) -> RunView:
    """`run_view` of a run in memory."""
    return run_view(entry.run, entry.plan, entry.leases, payloads=payloads)
