"""What each kind of node does when it opens and when it closes.

To add a node type:

1. a Struct in `model.definition` (and in its ``Node`` union), 2. a number in `core.plan.Op` and a line in
`core.compile_nodes.OPS` (and its expressions there, if it evaluates any), 3. a handler in a module of this package,
registered in `OPEN` (and in `CLOSE`, if something must happen when what is inside it has ended, `WAKE` and `EXPIRE`, if
it has timers, `TAKE`, if it waits for signals), 4. its form in `authoring` (Python and YAML) and
its checks in `core.validate`, 5. its generator in ``tests/strategies.py``. Tests of completeness fail until every
place has it.

A handler takes (turn, act, node); it emits events and leaves what they enable to `core.advance`. It raises nothing:
what goes wrong is a fault (`core.faults.raise_fault`).
"""

from __future__ import annotations

from collections.abc import Callable

from wfe.core.durable import turns as durable
from wfe.core.durable.calls import end_sleep as end_durable_sleep
from wfe.core.durable.calls import take_signal as take_durable_signal
from wfe.core.nodes.approvals import escalate_approval, expire_approval, open_approval, take_decision
from wfe.core.nodes.blocks import close_block, open_block, open_end, open_fail, open_set, open_when
from wfe.core.nodes.compensations import open_compensate, open_compensate_with
from wfe.core.nodes.data import open_assign, open_decision, open_emit, open_transform
from wfe.core.nodes.locks import close_lock, open_lock
from wfe.core.nodes.loops import close_loop, open_break, open_loop, resume_loop
from wfe.core.nodes.maps import close_map, grow_map, open_map
from wfe.core.nodes.races import close_race, open_race
from wfe.core.nodes.tasks import open_task
from wfe.core.nodes.waits import end_sleep, expire_wait, open_signal, open_sleep, take_signal
from wfe.core.nodes.workflows import expire_workflow, open_start, open_workflow
from wfe.core.plan import Op, PlanNode
from wfe.core.turn import Turn

Handler = Callable[[Turn, int, PlanNode], None]

OPEN: dict[Op, Handler] = {
    Op.TASK: open_task,
    Op.WHEN: open_when,
    Op.BLOCK: open_block,
    Op.CATCH: open_block,
    Op.MAP: open_map,
    Op.SLEEP: open_sleep,
    Op.SIGNAL: open_signal,
    Op.WORKFLOW: open_workflow,
    Op.START: open_start,
    Op.SET: open_set,
    Op.END: open_end,
    Op.FAIL: open_fail,
    Op.DECISION: open_decision,
    Op.TRANSFORM: open_transform,
    Op.LOOP: open_loop,
    Op.BREAK_IF: open_break,
    Op.STATE: open_set,
    Op.ASSIGN: open_assign,
    Op.RACE: open_race,
    Op.LOCK: open_lock,
    Op.APPROVAL: open_approval,
    Op.COMPENSATE_WITH: open_compensate_with,
    Op.COMPENSATE: open_compensate,
    Op.EMIT: open_emit,
    Op.GRAPH: open_block,
    Op.DURABLE: durable.open_function,
}
CLOSE: dict[Op, Handler] = {
    Op.WHEN: close_block,
    Op.BLOCK: close_block,
    Op.CATCH: close_block,
    Op.MAP: close_map,
    Op.LOOP: close_loop,
    Op.RACE: close_race,
    Op.LOCK: close_lock,
    Op.GRAPH: close_block,
}
WAKE: dict[Op, Handler] = {
    Op.SLEEP: end_sleep,
    Op.LOOP: resume_loop,
    Op.APPROVAL: escalate_approval,
    Op.DURABLE: end_durable_sleep,
}
"""Its time has come."""
EXPIRE: dict[Op, Handler] = {
    Op.SIGNAL: expire_wait,
    Op.APPROVAL: expire_approval,
    Op.WORKFLOW: expire_workflow,
    Op.DURABLE: durable.expire,
}
"""It took too long."""
TAKE: dict[Op, Handler] = {
    Op.SIGNAL: take_signal,
    Op.APPROVAL: take_decision,
    Op.MAP: grow_map,
    Op.DURABLE: take_durable_signal,
}
"""A signal that it waits for is there."""
