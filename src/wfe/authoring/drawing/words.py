"""What a node does in a few words, for its box in a picture. Pure."""

from __future__ import annotations

import json
from typing import Any

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
)
from wfe.model.durations import format_duration
from wfe.model.net import Edge, Join


def describe(node: Node) -> tuple[str, str]:
    """The kind of a node, by its name in YAML, and what it does."""
    kind = _KINDS[type(node)]
    if isinstance(node, WaitSignal) and node.webhook:
        kind = "webhook"
    return kind, _wait(node) or _block(node) or _step(node)


def rules(node: Node) -> str:
    """What it needs to begin in a net, when it ends, and what follows from that; empty for most."""
    parts = [] if node.join is None else [_join(node.join)]
    if isinstance(node, Map):
        parts += _leaving(node)
    if node.split != "and":
        parts.append(f"split {node.split}")
    if node.enabled_while is not None:
        parts.append(f"only while {node.enabled_while}")
    if node.cancels:
        parts.append(f"cancels {', '.join(node.cancels)}")
    return " · ".join(parts)


def _join(join: Join) -> str:
    match join.mode:
        case "xor":
            return "join each"
        case "thread":
            return f"join {join.n} threads"
        case "n":
            rest = "" if join.rest == "drain" else f", {join.rest} the rest"
            return ("join any" if join.n == 1 else f"join {join.n}") + rest
        case _:
            return f"join {join.mode}"


def edge_words(edge: Edge, source: Node | None) -> str:
    """When an edge is taken: its port, its condition, how many tokens it carries; empty for most."""
    parts = []
    if edge.port != "ok":
        event = next((event for event in source.boundary if event.port == edge.port), None) if source else None
        named = f"{edge.port} {', '.join(edge.errors)}".rstrip()
        if event is not None and event.after_ms is not None:
            named += f" after {format_duration(event.after_ms)}"
        elif event is not None and event.signal != edge.port:
            named += f" by {event.signal}"
        parts.append(named)
    if edge.when is not None:
        parts.append(edge.when)
    if edge.default:
        parts.append("else")
    if edge.weight != 1:
        parts.append(f"×{edge.weight}")
    return " · ".join(parts)


_KINDS: dict[type[Node], str] = {
    Task: "task",
    When: "when",
    Parallel: "parallel",
    Block: "branch",
    Catch: "catch",
    Map: "map",
    Loop: "loop",
    Race: "race",
    Lock: "lock",
    Graph: "graph",
    Sleep: "sleep",
    WaitSignal: "signal",
    Approval: "approval",
    SubWorkflow: "workflow",
    StartWorkflow: "start",
    Http: "http",
    Custom: "custom",
    DurableCall: "durable",
    Set: "set",
    Decision: "decision",
    Transform: "transform",
    State: "state",
    Assign: "assign",
    Emit: "emit",
    BreakIf: "break_if",
    CompensateWith: "compensate_with",
    Compensate: "compensate",
    End: "end",
    Fail: "fail",
}


def _block(node: Node) -> str:
    match node:
        case Catch():
            return ", ".join(node.errors)
        case Map():
            return f"{node.as_} in {node.items}"
        case Loop():
            return _loop(node)
        case Lock():
            return ", ".join(node.names)
        case _:
            return ""


def _wait(node: Node) -> str:
    match node:
        case Sleep():
            if node.duration_ms is not None:
                return format_duration(node.duration_ms)
            return node.duration or f"until {node.until}"
        case WaitSignal():
            return node.signal + _limit(node.timeout_ms)
        case Approval():
            asked = "" if node.to is None else f" · {_value(node.to)}"
            return node.approval + asked + _limit(node.timeout_ms)
        case _:
            return ""


def _step(node: Node) -> str:  # noqa: PLR0911 - one line per kind
    match node:
        case Task():
            return _task(node)
        case SubWorkflow() | StartWorkflow():
            return node.workflow if node.version is None else f"{node.workflow}@{node.version}"
        case Http():
            return f"{node.method} {_value(node.url)}"
        case Custom():
            return node.custom
        case DurableCall():
            return node.function
        case Set() | End() | State():
            return _value(node.value)
        case Assign():
            return f"{node.state}: {', '.join(node.fields)}" if node.fields else node.state
        case Decision():
            return " · ".join(node.cases)
        case Transform():
            return node.items
        case Emit():
            return _value(node.emit)
        case BreakIf():
            return node.cond
        case CompensateWith():
            return node.task
        case Fail():
            return f"{node.error}: {_value(node.message)}" if node.message else node.error
        case _:
            return ""


def _limit(duration_ms: int | None) -> str:
    return "" if duration_ms is None else f" · {format_duration(duration_ms)}"


def _loop(node: Loop) -> str:
    if node.items is not None:
        return f"{node.as_} in {node.items}"
    tests = (("while", node.while_), ("until", node.until))
    return " · ".join(f"{word} {test}" for word, test in tests if test is not None)


def _leaving(node: Map) -> list[str]:
    """Whether a map may have more items than it begins with, and when it does not wait for all."""
    parts = [] if node.grow is None else [f"grows by {node.grow}"]
    if node.complete_after is not None:
        parts.append(f"until {node.complete_after} ended")
    if node.complete_when is not None:
        parts.append(f"until {node.complete_when}")
    return parts


def _task(node: Task) -> str:
    parts = [] if node.task == node.id and node.task_version == 1 else [node.task]
    if node.task_version != 1:
        parts[0] += f"@{node.task_version}"
    if node.retry is not None:
        attempts = node.retry.max_attempts
        parts.append("retried" if attempts is None else f"{attempts} attempts")
    if node.timeout_ms is not None:
        parts.append(format_duration(node.timeout_ms))
    return " · ".join(parts)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
