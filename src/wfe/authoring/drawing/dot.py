"""A definition as Graphviz DOT. Blocks are clusters; an arrow to a block ends at its border."""

from __future__ import annotations

from collections.abc import Iterator

from wfe.authoring.drawing.sketch import Box, Group, shorten, sketch
from wfe.model.definition import Definition

_SHAPES = {
    "task": "box",
    "workflow": "component",
    "durable": "component",
    "start": "cds",
    "sleep": "oval",
    "signal": "house",
    "set": "parallelogram",
    "end": "doublecircle",
    "fail": "octagon",
    "webhook": "house",
    "approval": "house",
    "http": "box",
    "custom": "box",
    "decision": "diamond",
    "transform": "parallelogram",
    "state": "cylinder",
    "assign": "cylinder",
    "break_if": "diamond",
    "emit": "cds",
    "compensate_with": "invhouse",
    "compensate": "invhouse",
}


def to_dot(definition: Definition) -> str:
    """The text of a directed graph."""
    root = sketch(definition)
    boxes = {box.name: box for box in _all_boxes(root)}
    lines = [
        f"digraph {_quote(definition.workflow)} {{",
        '  graph [compound=true, fontname="Helvetica", fontsize=11, rankdir=TB, style=rounded];',
        '  node [fontname="Helvetica", fontsize=11, shape=box];',
        '  edge [fontname="Helvetica", fontsize=10];',
        f"  begin [shape=circle, label={_quote(definition.workflow)}];",
        '  finish [shape=doublecircle, label="end"];',
        *_group(root, "  ", boxes),
    ]
    lines += [_arrow("begin", box.name, boxes, "  ") for box in root.first]
    lines += [_arrow(box.name, "finish", boxes, "  ") for box in root.last if box.kind not in ("end", "fail")]
    if not root.boxes:
        lines.append("  begin -> finish;")
    return "\n".join([*lines, "}"]) + "\n"


def _all_boxes(group: Group) -> Iterator[Box]:
    for box in group.boxes:
        yield box
        for inner in box.groups:
            yield from _all_boxes(inner)


def _group(group: Group, indent: str, boxes: dict[str, Box]) -> Iterator[str]:
    for box in group.boxes:
        yield from _box(box, indent, boxes)
    for source, target in group.arrows:
        yield _arrow(source, target, boxes, indent, group.words.get((source, target), ""))


def _box(box: Box, indent: str, boxes: dict[str, Box]) -> Iterator[str]:
    if not box.groups:
        yield f"{indent}{box.name} [shape={_SHAPES[box.kind]}, label={_quote(*box.lines)}];"
        return
    yield f"{indent}subgraph cluster_{box.name} {{"
    yield f"{indent}  label={_quote(*box.lines)};"
    for group in box.groups:
        if not group.label:
            yield from _group(group, indent + "  ", boxes)
            continue
        yield f"{indent}  subgraph cluster_{group.name} {{"
        yield f"{indent}    label={_quote(group.label)};"
        yield from _group(group, indent + "    ", boxes)
        yield f"{indent}  }}"
    yield f"{indent}}}"


def _arrow(source: str, target: str, boxes: dict[str, Box], indent: str, words: str = "") -> str:
    ends = [f"label={_quote(words)}"] if words else []
    if source in boxes and boxes[source].groups:
        ends.append(f"ltail=cluster_{source}")
        source = _inner(boxes[source], top=False)
    if target in boxes and boxes[target].groups:
        ends.append(f"lhead=cluster_{target}")
        target = _inner(boxes[target], top=True)
    return f"{indent}{source} -> {target}" + (f" [{', '.join(ends)}];" if ends else ";")


def _inner(box: Box, *, top: bool) -> str:
    """The node inside a cluster at which an arrow to or from the cluster is tied: clusters cannot be an arrow's end."""
    while box.groups and box.groups[0].boxes:
        group = max(box.groups, key=lambda group: len(group.boxes))
        box = (group.first or group.boxes)[0] if top else (group.last or group.boxes)[-1]
    return box.name


def _quote(*lines: str) -> str:
    return '"' + "\\n".join(shorten(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
