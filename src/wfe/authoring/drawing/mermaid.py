"""A definition as a Mermaid flowchart: what GitHub and many editors show in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from wfe.authoring.drawing.sketch import Box, Group, shorten, sketch
from wfe.model.definition import Definition

_SHAPES = {
    "task": ("[", "]"),
    "workflow": ("[[", "]]"),
    "durable": ("[[", "]]"),
    "start": ("[[", "]]"),
    "sleep": ("([", "])"),
    "signal": (">", "]"),
    "set": ("[/", "/]"),
    "end": ("((", "))"),
    "fail": ("{{", "}}"),
    "webhook": (">", "]"),
    "approval": (">", "]"),
    "http": ("[", "]"),
    "custom": ("[", "]"),
    "decision": ("{", "}"),
    "transform": ("[/", "/]"),
    "state": ("[(", ")]"),
    "assign": ("[(", ")]"),
    "break_if": ("{", "}"),
    "emit": (">", "]"),
    "compensate_with": ("[\\", "\\]"),
    "compensate": ("[\\", "\\]"),
}


def to_mermaid(definition: Definition) -> str:
    """The text of a flowchart."""
    root = sketch(definition)
    lines = ["flowchart TD", f'  begin(("{escape(shorten(definition.workflow))}"))', "  finish(((end)))"]
    lines += _group(root, "  ")
    lines += [f"  begin --> {box.name}" for box in root.first]
    lines += [f"  {box.name} --> finish" for box in root.last if box.kind not in ("end", "fail")]
    if not root.boxes:
        lines.append("  begin --> finish")
    return "\n".join(lines) + "\n"


def _group(group: Group, indent: str) -> Iterator[str]:
    for box in group.boxes:
        yield from _box(box, indent)
    for source, target in group.arrows:
        words = group.words.get((source, target), "")
        said = f'|"{escape(shorten(words))}"| ' if words else ""
        yield f"{indent}{source} --> {said}{target}"


def _box(box: Box, indent: str) -> Iterator[str]:
    if not box.groups:
        opening, closing = _SHAPES[box.kind]
        yield f'{indent}{box.name}{opening}"{_label(box)}"{closing}'
        return
    yield f'{indent}subgraph {box.name}["{_label(box)}"]'
    if len(box.groups) == 1 and not box.groups[0].label:
        yield from _group(box.groups[0], indent + "  ")
    else:
        for group in box.groups:
            yield f'{indent}  subgraph {group.name}["{escape(shorten(group.label))}"]'
            yield from _group(group, indent + "    ")
            yield f"{indent}  end"
    yield f"{indent}end"


def _label(box: Box) -> str:
    title, *further = (escape(shorten(line)) for line in box.lines)
    return "<br/>".join((f"<b>{title}</b>", *further))


def escape(text: str) -> str:
    """Text that Mermaid shows as it is: everything with a meaning becomes an entity code."""
    return "".join(char if char.isalnum() or char in " _.,:=()+-*/?!@%'·…×" else f"#{ord(char)};" for char in text)
