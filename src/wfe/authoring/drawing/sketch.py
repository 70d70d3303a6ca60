"""A definition as boxes and arrows: what every picture of it shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wfe.authoring.drawing.words import describe, edge_words, rules
from wfe.core.compile import block_predecessors
from wfe.errors import ExpressionError
from wfe.model.definition import Definition, Graph, Node, Parallel, Race, When, children

LABEL_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Box:
    """A node. ``title`` is its id; ``detail`` says what it does; ``groups`` are the blocks inside it; ``rules`` what it
    needs to begin in a net, and what its end brings about."""

    name: str
    kind: str
    title: str
    detail: str
    groups: tuple[Group, ...] = ()
    rules: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands in the box."""
        return tuple(line for line in (self.title, self.caption, self.rules) if line)

    @property
    def caption(self) -> str:
        """The second line: what it does, after its kind where the id does not tell it."""
        told = self.kind == "task" or self.title.partition("_")[0] == self.kind
        return self.detail if told else f"{self.kind} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class Group:
    """A block: boxes, and arrows as pairs of names. ``label``: the condition of a branch, else empty.

    ``words``: what is written at arrows that are not always taken. ``entry``: where a net begins, if that is named.
    """

    name: str
    label: str
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[str, str], ...]
    words: Mapping[tuple[str, str], str] = field(default_factory=dict)
    entry: tuple[str, ...] = ()

    @property
    def first(self) -> tuple[Box, ...]:
        """The boxes that start with the block."""
        targets = {target for _, target in self.arrows}
        return tuple(box for box in self.boxes if (box.name in self.entry or box.name not in targets))

    @property
    def last(self) -> tuple[Box, ...]:
        """The boxes that nothing in the block waits for."""
        sources = {source for source, _ in self.arrows}
        return tuple(box for box in self.boxes if box.name not in sources)

    def back(self) -> frozenset[tuple[str, str]]:
        """Arrows that close a circle: those that lead back to a box on the way from the start to them."""
        targets: dict[str, list[str]] = {box.name: [] for box in self.boxes}
        for source, target in self.arrows:
            targets[source].append(target)
        found: set[tuple[str, str]] = set()
        done: set[str] = set()
        for start in [*(box.name for box in self.first), *targets]:
            way: dict[str, Iterator[str]] = {} if start in done else {start: iter(targets[start])}
            while way:
                name, ahead = next(reversed(way.items()))
                further = next(ahead, None)
                if further is None:
                    done.add(name)
                    del way[name]
                elif further in way:
                    found.add((name, further))
                elif further not in done:
                    way[further] = iter(targets[further])
        return frozenset(found)


def sketch(definition: Definition) -> Group:
    """The definition's boxes and arrows. Names are ``n0``, ``n1``...: safe in every format."""
    nodes = definition.nodes
    if len(nodes) == 1 and isinstance(nodes[0], Graph) and nodes[0].if_ is None:
        return _Sketcher().group(nodes[0].do, definition.workflow, holder=nodes[0])  # all of it is one net
    return _Sketcher().group(nodes, definition.workflow)


class _Sketcher:
    def __init__(self) -> None:
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count - 1}"

    def group(self, nodes: tuple[Node, ...], label: str, *, holder: Node | None = None) -> Group:
        name = self._name()
        regions = holder.regions if isinstance(holder, Graph) else {}
        boxes = {node.id: self.box(node, [name for name, ids in regions.items() if node.id in ids]) for node in nodes}
        arrows: dict[tuple[str, str], list[str]] = {}
        for source, target, words in _arrows(nodes, holder):
            if source in boxes and target in boxes:
                arrows.setdefault((boxes[source].name, boxes[target].name), []).append(words)
        said = {arrow: " | ".join(word or "ok" for word in words) for arrow, words in arrows.items() if any(words)}
        entry = holder.entry if isinstance(holder, Graph) else ()
        starts = tuple(boxes[id_].name for id_ in entry if id_ in boxes)
        return Group(name, label, tuple(boxes.values()), tuple(arrows), said, starts)

    def box(self, node: Node, regions: list[str]) -> Box:
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
        ruled = [rules(node), *(f"in {region}" for region in regions)]
        return Box(name, kind, node.id, detail, groups, " · ".join(part for part in ruled if part))


def _arrows(nodes: tuple[Node, ...], holder: Node | None) -> list[tuple[str, str, str]]:
    """(id, id, words): what leads to what in the block of ``holder`` (None: the root), and when."""
    if isinstance(holder, Graph):
        by_id = {node.id: node for node in nodes}
        return [(edge.src, edge.dst, edge_words(edge, by_id.get(edge.src))) for edge in holder.edges]
    if isinstance(holder, Race):
        return []
    try:
        before = block_predecessors(nodes, isinstance(holder, Parallel))
    except ExpressionError:  # a definition that is not valid is still worth a picture
        before = {node.id: node.after or () for node in nodes}
    return [(source, target, "") for target, sources in before.items() for source in sources]


def shorten(text: str, limit: int = LABEL_CHARS_MAX) -> str:
    """One line of at most ``limit`` characters, without characters that cannot be shown."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
