"""What each kind of node does when it opens and when it closes.

To add a node type:

1. a Struct in `model.definition` (and in its ``Node`` union), 2. a number in `core.plan.Op` and a line in
`core.compile._OPS` (and
`node_expressions`, if it evaluates any), 3. a handler in a module of this package, registered in `OPEN` (and
`CLOSE`, if something must happen when what is inside it has ended), 4. its form in `authoring` (Python and YAML) and
its checks in `core.validate`, 5. its generator in ``tests/strategies.py``. Tests of completeness fail until every
place has it.

A handler takes (turn, act, node); it emits events and leaves what they enable to `core.advance`. It raises nothing:
what goes wrong is a fault (`core.faults.raise_fault`).
"""

from __future__ import annotations

from collections.abc import Callable

from wfe.core.nodes.blocks import close_block, open_block, open_end, open_fail, open_set, open_when
from wfe.core.nodes.maps import close_map, open_map
from wfe.core.nodes.tasks import open_task
from wfe.core.nodes.waits import open_signal, open_sleep
from wfe.core.nodes.workflows import open_start, open_workflow
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
}
CLOSE: dict[Op, Handler] = {
    Op.WHEN: close_block,
    Op.BLOCK: close_block,
    Op.CATCH: close_block,
    Op.MAP: close_map,
}
