"""What each kind of node means, told once more than in `core` and independently of it: the auditor's side.

A function takes (interpreter, node, place, values by name) and says what became of the node; it enters the node's value
under its id. It raises `Violation` when the history contradicts. `WALKS` must have every kind that `kinds` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.msgpack import decode

from wfe.model.definition import (
    Approval,
    Assign,
    Block,
    BreakIf,
    Catch,
    Compensate,
    CompensateWith,
    Custom,
    Decision,
    Emit,
    End,
    Fail,
    Graph,
    Http,
    Lock,
    Loop,
    Map,
    Node,
    Parallel,
    Race,
    Set,
    Sleep,
    StartWorkflow,
    State,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
    When,
)
from wfe.sim import walks_control as control
from wfe.sim import walks_nets as nets
from wfe.sim import walks_outside as outside
from wfe.sim.expressions import holds, template
from wfe.sim.facts import Walked
from wfe.sim.leaves import ended, told
from wfe.sim.tasks import HTTP, argument, given

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfe.sim.expressions import Env
    from wfe.sim.interpreter import Interpreter
    from wfe.sim.ledger_kinds import Place

    Walk = Callable[[Interpreter, Any, Place, Env], Walked]

CALL_FAULTS = ("UnknownWorkflow", "TimedOut", "InvalidInput")
"""Faults of a call that are not its child's."""


# ---- blocks ---------------------------------------------------------------------------------------------------------


def when(at: Interpreter, node: When, place: Place, env: Env) -> Walked:
    chosen = next((i for i, b in enumerate(node.branches) if b.cond is None or holds(b.cond, env)), -1)
    arm = at.facts.arms.get(place)
    if arm is None:
        return Walked(stuck=True)
    if arm != chosen:
        raise at.book.fail(f"{node.id} takes arm {arm}, {chosen} follows")
    return Walked() if chosen < 0 else at.sequence(node.branches[chosen].do, place[1], env)


def parallel(at: Interpreter, node: Parallel, place: Place, env: Env) -> Walked:
    return at.together(node.do, place[1], env)


def block(at: Interpreter, node: Block, place: Place, env: Env) -> Walked:
    return at.sequence(node.do, place[1], env)


def catch(at: Interpreter, node: Catch, place: Place, env: Env) -> Walked:
    inner = at.sequence(node.do, place[1], env)
    caught = at.facts.caught.get(place)
    if caught is None:
        if inner.done and place not in at.facts.nodes:
            return Walked(stuck=True)  # it ended while the run was paused, and was never resumed
        if inner.done:
            env[node.id] = {"failed": False, "type": "", "message": "", "node": "", "attempts": 0}
            at.expect(node, place, env)
        leaving = [kind for kind in inner.faults if "Exception" not in node.errors and kind not in node.errors]
        return Walked(inner.stuck or leaving != inner.faults, leaving, inner.ends, inner.breaks, inner.may_break)
    if caught.type not in inner.faults:
        raise at.book.fail(f"{node.id} takes {caught.type}, its faults are {inner.faults}")
    if "Exception" not in node.errors and caught.type not in node.errors:
        raise at.book.fail(f"{node.id} takes {caught.type}, it wants {node.errors}")
    # Message and attempts depend on chance; what is caught is the history's, its type was checked.
    env[node.id] = told(caught)
    return Walked()


# ---- leaves ---------------------------------------------------------------------------------------------------------


def end(at: Interpreter, node: End, place: Place, env: Env) -> Walked:
    return Walked(ends=[template(node.value, env)])


def fail(at: Interpreter, node: Fail, place: Place, env: Env) -> Walked:
    return Walked(faults=[node.error])


def task(at: Interpreter, node: Task | Http | Custom, place: Place, env: Env) -> Walked:
    """What a worker runs: a task, an HTTP call, a task of a plugin."""
    facts = at.facts
    name, wanted = work(node)
    made = template(wanted, env)
    for data in facts.executed.get(place, ()):
        if argument(name, decode(data)) != made:
            raise at.book.fail(f"an attempt of {node.id} got {decode(data)!r}, {made!r} follows")
    if place in facts.tasks:
        expected = given(name, made)
        if facts.tasks[place] != expected:
            raise at.book.fail(f"{node.id} gave {facts.tasks[place]!r}, not {expected!r}")
        env[node.id] = expected
        return Walked()
    if place not in facts.faults:
        return Walked(stuck=True)
    if facts.faults[place] == "expression":
        raise at.book.fail(f"{node.id} fails with an expression, though it has the value {made!r}")
    return Walked(faults=[facts.faults[place]])


def work(node: Task | Http | Custom) -> tuple[str, Any]:
    """The name of the task, and the template of what its result depends on."""
    if isinstance(node, Http):
        assert isinstance(node.body, dict)
        return HTTP, node.body["x"]
    return (node.task if isinstance(node, Task) else node.custom), node.with_["x"]


def set_(at: Interpreter, node: Set, place: Place, env: Env) -> Walked:
    made = template(node.value, env)
    if (walked := ended(at, node, place, may_fail=False)) is not None:
        return walked
    env[node.id] = made
    at.expect(node, place, env)
    return Walked()


def sleep(at: Interpreter, node: Sleep, place: Place, env: Env) -> Walked:
    if (walked := ended(at, node, place, may_fail=False)) is not None:
        return walked
    at.expect(node, place, env)
    return Walked()


def workflow(at: Interpreter, node: SubWorkflow, place: Place, env: Env) -> Walked:
    """The parent's node ends as its child did, no earlier."""
    child = at.runs.get(at.facts.children.get(place, ""))
    walked = ended(at, node, place, may_fail=True)
    if walked is None:
        if child is None or child.status != "completed" or child.output is None:
            raise at.book.fail(f"{node.id} has ended, its child is {child and child.status}")
        env[node.id] = decode(child.output)
        at.expect(node, place, env)
        return Walked()
    for kind in walked.faults:
        if kind == "RunCancelled" and child is not None and child.status == "cancelled":
            continue
        if kind not in CALL_FAULTS and (child is None or child.error is None or child.error.type != kind):
            raise at.book.fail(f"{node.id} fails with {kind}, its child with {child and child.error}")
    return walked


def start(at: Interpreter, node: StartWorkflow, place: Place, env: Env) -> Walked:
    """Its value is the id of a run of that workflow, which is durable."""
    if (walked := ended(at, node, place, may_fail=True)) is not None:
        return walked
    run_id = at.facts.nodes[place]
    run = at.runs.get(run_id)
    if run is None or run.started.workflow != node.workflow:
        raise at.book.fail(f"{node.id} has started {run_id!r}, which is {run and run.started}")
    if node.key is None and run_id != at.facts.children.get(place):
        raise at.book.fail(f"{node.id} has started {run_id}, it asked for {at.facts.children.get(place)}")
    env[node.id] = run_id
    return Walked()


WALKS: dict[type[Node], Walk] = {
    When: when,
    Parallel: parallel,
    Block: block,
    Catch: catch,
    Map: outside.map_,
    Loop: control.loop,
    Race: control.race,
    Lock: control.lock,
    End: end,
    Fail: fail,
    Task: task,
    Http: task,
    Custom: task,
    Set: set_,
    State: control.state,
    Assign: control.assign,
    Decision: control.decision,
    Transform: control.transform,
    Emit: control.emit,
    BreakIf: control.break_if,
    Sleep: sleep,
    WaitSignal: outside.signal,
    Approval: outside.approval,
    CompensateWith: outside.compensate_with,
    Compensate: outside.compensate,
    SubWorkflow: workflow,
    StartWorkflow: start,
    Graph: nets.graph,
}
