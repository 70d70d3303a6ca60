"""A definition as boxes and arrows: what every picture of it shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wfe.authoring.drawing.words import describe
from wfe.core.compile import block_predecessors
from wfe.errors import ExpressionError
from wfe.model.definition import Definition, Graph, Node, Parallel, Race, When, children

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
    return _Sketcher().group(definition.nodes, definition.workflow)


class _Sketcher:
    def __init__(self) -> None:
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count - 1}"

    def group(self, nodes: tuple[Node, ...], label: str, *, holder: Node | None = None) -> Group:
        name = self._name()
        boxes = {node.id: self.box(node) for node in nodes}
        arrows = dict.fromkeys(
            (boxes[source].name, boxes[target].name)
            for source, target in _arrows(nodes, holder)
            if source in boxes and target in boxes
        )
        return Group(name, label, tuple(boxes.values()), tuple(arrows))

    def box(self, node: Node) -> Box:
        name = self._name()
        groups: tuple[Group, ...] = ()
        match node:
            case When():
                groups = tuple(self.group(b.do, b.cond or "otherwise") for b in node.branches)
            case _:
                groups = tuple(self.group(do, "", holder=node) for do in children(node))
        kind, detail = describe(node)
        if node.if_ is not None:
            detail = f"{detail} · if {node.if_}" if detail else f"if {node.if_}"
        return Box(name, kind, node.id, detail, groups)


def _arrows(nodes: tuple[Node, ...], holder: Node | None) -> list[tuple[str, str]]:
    """Pairs of ids: what leads to what in the block of ``holder`` (None: the root)."""
    if isinstance(holder, Graph):
        return [(edge.src, edge.dst) for edge in holder.edges]
    if isinstance(holder, Race):
        return []
    try:
        before = block_predecessors(nodes, isinstance(holder, Parallel))
    except ExpressionError:  # a definition that is not valid is still worth a picture
        before = {node.id: node.after or () for node in nodes}
    return [(source, target) for target, sources in before.items() for source in sources]


def shorten(text: str, limit: int = LABEL_CHARS_MAX) -> str:
    """One line of at most ``limit`` characters, without characters that cannot be shown."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
