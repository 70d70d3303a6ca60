"""A definition as boxes and arrows: what every picture of it shows. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from wfe.core.compile import block_predecessors
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Block,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.durations import format_duration

LABEL_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Box:
    """A node. ``title`` is its id; ``detail`` says what it does; ``groups`` are the blocks inside it."""

    name: str
    kind: str
    title: str
    detail: str
    groups: tuple[Group, ...] = ()

    @property
    def caption(self) -> str:
        """The second line: what it does, after its kind where the id does not tell it."""
        told = self.kind == "task" or self.title.partition("_")[0] == self.kind
        return self.detail if told else f"{self.kind} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class Group:
    """A block: boxes, and arrows as pairs of names. ``label``: the condition of a branch, else empty."""

    name: str
    label: str
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[str, str], ...]

    @property
    def first(self) -> tuple[Box, ...]:
        """The boxes that start with the block."""
        targets = {target for _, target in self.arrows}
        return tuple(box for box in self.boxes if box.name not in targets)

    @property
    def last(self) -> tuple[Box, ...]:
        """The boxes that nothing in the block waits for."""
        sources = {source for source, _ in self.arrows}
        return tuple(box for box in self.boxes if box.name not in sources)


def sketch(definition: Definition) -> Group:
    """The definition's boxes and arrows. Names are ``n0``, ``n1``...: safe in every format."""
    return _Sketcher().group(definition.nodes, definition.workflow, concurrent=False)


class _Sketcher:
    def __init__(self) -> None:
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count - 1}"

    def group(self, nodes: tuple[Node, ...], label: str, *, concurrent: bool) -> Group:
        name = self._name()
        boxes = {node.id: self.box(node) for node in nodes}
        arrows = [
            (boxes[before].name, boxes[id_].name)
            for id_, predecessors in _predecessors(nodes, concurrent).items()
            for before in predecessors
            if before in boxes
        ]
        return Group(name, label, tuple(boxes.values()), tuple(arrows))

    def box(self, node: Node) -> Box:
        name = self._name()
        groups: tuple[Group, ...] = ()
        match node:
            case When():
                groups = tuple(self.group(b.do, b.cond or "otherwise", concurrent=False) for b in node.branches)
            case Parallel():
                groups = (self.group(node.do, "", concurrent=True),)
            case Block() | Catch() | Map():
                groups = (self.group(node.do, "", concurrent=False),)
            case _:
                pass
        kind, detail = _describe(node)
        if node.if_ is not None:
            detail = f"{detail} · if {node.if_}" if detail else f"if {node.if_}"
        return Box(name, kind, node.id, detail, groups)


def _predecessors(nodes: tuple[Node, ...], concurrent: bool) -> dict[str, tuple[str, ...]]:
    try:
        return block_predecessors(nodes, concurrent)
    except ExpressionError:  # a definition that is not valid is still worth a picture
        return {node.id: node.after or () for node in nodes}


def _describe(node: Node) -> tuple[str, str]:  # noqa: PLR0911 - one line per kind
    """The kind of a node and what it does, in a few words."""
    match node:
        case Task():
            return "task", _task(node)
        case When():
            return "when", ""
        case Parallel():
            return "parallel", ""
        case Block():
            return "branch", ""
        case Catch():
            return "catch", ", ".join(node.errors)
        case Map():
            return "map", f"{node.as_} in {node.items}"
        case Sleep():
            if node.duration_ms is not None:
                return "sleep", format_duration(node.duration_ms)
            return "sleep", node.duration or f"until {node.until}"
        case WaitSignal():
            limit = "" if node.timeout_ms is None else f" · {format_duration(node.timeout_ms)}"
            return "signal", node.signal + limit
        case SubWorkflow() | StartWorkflow():
            kind = "workflow" if isinstance(node, SubWorkflow) else "start"
            return kind, node.workflow if node.version is None else f"{node.workflow}@{node.version}"
        case Set():
            return "set", _value(node.value)
        case End():
            return "end", _value(node.value)
        case Fail():
            return "fail", f"{node.error}: {_value(node.message)}" if node.message else node.error
        case _:
            return type(node).__name__.lower(), ""


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


def shorten(text: str, limit: int = LABEL_CHARS_MAX) -> str:
    """One line of at most ``limit`` characters, without characters that cannot be shown."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
