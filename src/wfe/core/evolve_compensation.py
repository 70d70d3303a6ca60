"""How events of compensation (rule R9) are booked. Part of `evolve`, whose rules hold.

A handler's task has the place of the node that registered it; its frame may be gone by then, so nothing here needs one.
"""

from __future__ import annotations

from typing import Any

from wfe.core.places import Enabled, Evolve, clear_open, complete, disarm, forget, keep
from wfe.core.plan import Plan
from wfe.model import event_kinds as ev
from wfe.model.state import NULL, RUNNING, WAKE, Compensating, Registered, RunState
from wfe.model.tables import add, put


def _registered(run: RunState, plan: Plan, event: ev.CompensationRegistered, enabled: Enabled) -> None:
    run.compensations = add(run.compensations, Registered(event.act * plan.stride + event.node, keep(run, event.input)))
    complete(run, plan, event.act, event.node, NULL, enabled)


def _began(run: RunState, plan: Plan, event: ev.CompensationBegan, enabled: Enabled) -> None:
    """Everything open goes but the handler that a Compensate may have begun: each is called once."""
    compensating = run.compensating = run.compensating or Compensating()
    compensating.places = []
    compensating.todo = [*compensating.todo, *run.compensations]
    compensating.status = event.status
    compensating.error = event.error
    run.status = RUNNING
    run.incident = ""
    key = compensating.current
    wake = key * 2 + WAKE
    if wake in run.expired:
        run.timers = put(run.timers, wake, event.time_ms)
    due_ms = run.timers.get(wake)
    tables: tuple[Any, ...] = (
        run.open, run.inputs, run.failures, run.losses, run.retrying, run.previous,
    )  # fmt: skip
    kept = [table.get(key) for table in tables]
    clear_open(run)
    run.compensations.clear()
    for table, value in zip(tables, kept, strict=True):
        if value is not None:  # so it is a table of the run's own
            table[key] = value
    if due_ms is not None:
        run.timers = put(run.timers, wake, due_ms)


def _compensate_opened(run: RunState, plan: Plan, event: ev.CompensateOpened, enabled: Enabled) -> None:
    compensating = run.compensating = run.compensating or Compensating()
    compensating.places.append(event.act * plan.stride + event.node)
    compensating.todo += run.compensations
    run.compensations.clear()


def _handler_opened(run: RunState, plan: Plan, event: ev.CompensationOpened, enabled: Enabled) -> None:
    compensating = run.compensating
    assert compensating is not None, "a handler runs only while compensating"
    handler = compensating.todo.pop()
    compensating.current = handler.key
    run.open[handler.key] = 1
    run.inputs = put(run.inputs, handler.key, handler.input)


def _handler_done(run: RunState, plan: Plan, event: ev.CompensationDone, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    compensating = run.compensating
    assert compensating is not None, "a handler ends only while compensating"
    compensating.current = -1
    if event.error is not None:
        compensating.failures.append(event.error)
    run.open.pop(key, None)
    run.retrying.pop(key, None)
    disarm(run, key)
    forget(run, key)
    if not (compensating.status or compensating.places):
        run.compensating = None  # the Compensate that wanted it was withdrawn meanwhile
        enabled.append(~(plan.stride - 1))


def _ended(run: RunState, plan: Plan, event: ev.CompensationEnded, enabled: Enabled) -> None:
    assert run.compensating is not None, "compensation ends once"
    places = run.compensating.places
    run.compensating = None
    if not places:
        enabled.append(~(plan.stride - 1))  # all that waited for it were withdrawn, and the run may have done the rest
    for key in places:
        act, node = divmod(key, plan.stride)
        complete(run, plan, act, node, NULL, enabled)


EVOLVE: dict[type, Evolve] = {
    ev.CompensationRegistered: _registered,
    ev.CompensationBegan: _began,
    ev.CompensateOpened: _compensate_opened,
    ev.CompensationOpened: _handler_opened,
    ev.CompensationDone: _handler_done,
    ev.CompensationEnded: _ended,
}
