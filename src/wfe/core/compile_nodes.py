"""What each kind of node gives its `PlanNode`: its operation, its compiled expressions, the task that runs it.

Knows nodes one by one; how they stand to each other (scopes, blocks, sources of names) is `compile`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET, Raw
from msgspec.msgpack import encode

from wfe.core.expressions import Expression, Template, compile_expression, compile_template
from wfe.core.plan import Op, PlanNode
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
    DurableCall,
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
    walk,
)
from wfe.model.durable import TASK_PREFIX
from wfe.model.needs import needs_of

Compiled = Expression | Template
OPS: Mapping[type, Op] = {
    Task: Op.TASK,
    When: Op.WHEN,
    Parallel: Op.BLOCK,
    Block: Op.BLOCK,
    Catch: Op.CATCH,
    Map: Op.MAP,
    Sleep: Op.SLEEP,
    WaitSignal: Op.SIGNAL,
    SubWorkflow: Op.WORKFLOW,
    StartWorkflow: Op.START,
    Set: Op.SET,
    End: Op.END,
    Fail: Op.FAIL,
    Decision: Op.DECISION,
    Transform: Op.TRANSFORM,
    Loop: Op.LOOP,
    BreakIf: Op.BREAK_IF,
    State: Op.STATE,
    Assign: Op.ASSIGN,
    Race: Op.RACE,
    Lock: Op.LOCK,
    Approval: Op.APPROVAL,
    CompensateWith: Op.COMPENSATE_WITH,
    Compensate: Op.COMPENSATE,
    Emit: Op.EMIT,
    Http: Op.TASK,
    Custom: Op.TASK,
    Graph: Op.GRAPH,
    DurableCall: Op.DURABLE,
}
HTTP_TASK = "wfe.http"
"""The engine's own task that makes HTTP calls; its one argument is ``request``."""
COUNTS = ("done", "failed", "active", "total")
"""What ``complete_when`` of a map sees besides the names around it."""


def node_names(node: Node) -> set[str]:
    """The names around it that a node itself mentions, children's excluded."""
    names: set[str] = set()
    for field, part in _compiled(node):
        names |= part.names - _bound(node, field)
    if isinstance(node, Assign):
        names.add(node.state)
    return names


def tree_names(node: Node) -> set[str]:
    """Every name that a node or a node inside it mentions; outputs of map bodies included."""
    names: set[str] = set()
    for inner in walk((node,)):
        names |= node_names(inner)
        if isinstance(inner, Map) and inner.output is not UNSET:
            names |= compile_template(inner.output).names
    return names


def arguments_of(node: Node) -> dict[str, object] | None:
    """The arguments of the task that a worker runs for this node, as templates; None when there is no such task."""
    match node:
        case Task() | Custom() | CompensateWith() | DurableCall():
            return dict(node.with_)
        case Http():
            return {"request": _request(node)}
        case _:
            return None


def fill(plan_node: PlanNode) -> None:
    """Everything of a plan node that depends on its node alone, but for a task's input."""
    node = plan_node.node
    parts = dict(_compiled(node))
    plan_node.condition = _expression(parts.pop("if_", None))
    plan_node.guarded = plan_node.guarded or plan_node.condition is not None
    match node:
        case Task() | CompensateWith():
            plan_node.task, plan_node.task_version = node.task, node.task_version
            plan_node.needs = needs_of(node.labels, node.resources)
            if isinstance(node, Task):
                plan_node.redeliver, plan_node.heartbeat_ms = node.redeliver, node.heartbeat_ms or 0
        case Map():
            plan_node.watched = node.complete_after is not None or node.complete_when is not None
        case Http():
            plan_node.task = HTTP_TASK
        case Custom():
            plan_node.task = node.custom
        case DurableCall():
            plan_node.task, plan_node.task_version = TASK_PREFIX + node.function, node.version
        case Decision():
            plan_node.cases = tuple(
                (name, None if cond is None else compile_expression(cond)) for name, cond in node.cases.items()
            )
        case _:
            pass
    if isinstance(node, (Task, CompensateWith, Http, Custom)):
        plan_node.retry = node.retry
    if isinstance(node, (Task, CompensateWith, Http, Custom, SubWorkflow)):
        plan_node.timeout_ms = node.timeout_ms or 0
    plan_node.expression = _expression(parts.pop("expression", None))
    plan_node.template = _template(parts.pop("template", None))
    plan_node.parts = parts


def fixed_input(template: Template) -> Raw | None:
    """A constant's encoded value."""
    return Raw(encode(template.evaluate(_no_names))) if template.constant else None


def _compiled(node: Node) -> Iterator[tuple[str, Compiled]]:
    """Every expression and template that a node evaluates, by the name of its part of the plan node."""
    for field, text in _expressions(node):
        if text is not None:
            yield field, compile_expression(text)
    for field, value in _templates(node):
        if value is not UNSET:
            yield field, compile_template(value)


def _expressions(node: Node) -> Iterator[tuple[str, str | None]]:
    yield "if_", node.if_
    match node:
        case When():
            yield from ((f"branch.{number}", branch.cond) for number, branch in enumerate(node.branches))
        case Decision():
            yield from ((f"case.{name}", cond) for name, cond in node.cases.items())
        case Map():
            yield from (("expression", node.items), ("complete_when", node.complete_when))
        case Sleep():
            yield "expression", node.duration if node.duration is not None else node.until
        case Loop():
            yield from (("while_", node.while_), ("until", node.until), ("items", node.items))
        case BreakIf():
            yield "expression", node.cond
        case Transform():
            yield from (("expression", node.items), ("filter", node.filter), ("map", node.map))
            if node.reduce is not None:
                yield "reduce", node.reduce.value
        case _:
            pass


def _templates(node: Node) -> Iterator[tuple[str, object]]:
    match node:
        case Task() | SubWorkflow() | CompensateWith() | Custom() | Http() | DurableCall():
            yield "template", arguments_of(node) if not isinstance(node, SubWorkflow) else node.with_
        case StartWorkflow():
            yield "template", {"with": node.with_, "key": node.key}
        case WaitSignal():
            yield from (("template", node.default), ("correlate", UNSET if node.correlate is None else node.correlate))
        case Set() | End() | State():
            yield "template", node.value
        case Fail():
            yield "template", node.message
        case Assign():
            yield "template", node.fields if node.value is UNSET else node.value
        case Emit():
            yield "template", {"emit": node.emit, "data": node.data}
        case Approval():
            yield "template", node.to
            yield from ((f"escalate.{level}", asked.to) for level, asked in enumerate(node.escalate))
        case Lock():
            yield "template", node.key
        case Transform():
            yield "enrich", node.enrich or UNSET
            if node.reduce is not None:
                yield "initial", node.reduce.initial
        case _:
            pass


def _bound(node: Node, field: str) -> set[str]:
    """Names that a part of a node binds itself."""
    match node:
        case Transform() if field in ("filter", "map", "enrich", "reduce"):
            return {node.as_, node.reduce.total} if node.reduce is not None and field == "reduce" else {node.as_}
        case Map() if field == "complete_when":
            return set(COUNTS)
        case _:
            return set()


def _request(node: Http) -> dict[str, object]:
    request: dict[str, object] = {
        "method": node.method,
        "url": node.url,
        "headers": node.headers,
        "query": node.query,
        "timeout_ms": node.timeout_ms,
        "retry_status": list(node.retry_status),
        "accept": list(node.accept),
        "response_bytes_max": node.response_bytes_max,
        "allow_private": node.allow_private,
    }
    if node.body is not UNSET:
        request["body"] = node.body
    if node.auth is not None:
        request["auth"] = node.auth
    return request


def _expression(part: Compiled | None) -> Expression | None:
    assert part is None or isinstance(part, Expression)
    return part


def _template(part: Compiled | None) -> Template | None:
    assert part is None or isinstance(part, Template)
    return part


def _no_names(name: str) -> object:
    raise AssertionError(f"a constant template named {name!r}")
