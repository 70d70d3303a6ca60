"""Places boxes for SVG: in layers within a block (Sugiyama's method at its simplest), blocks within their node. Pure.

Lengths are in px. A block's boxes get layers by the longest way from its start; an arrow that skips layers takes a lane
through each of them, so that it never crosses a box; within a layer boxes are ordered by the mean place of what they
follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from wfe.authoring.drawing.sketch import Box, Group, shorten

CHAR_WIDTH = 6.6
SMALL_CHAR_WIDTH = 6.0
BOX_HEIGHT, BOX_HEIGHT_PLAIN = 46.0, 34.0
PADDING = 14.0
HEADER_HEIGHT, HEADER_HEIGHT_PLAIN = 46.0, 34.0
LABEL_HEIGHT = 24.0
GAP_X, GAP_Y = 26.0, 34.0
LANE_WIDTH = 14.0
WIDTH_MIN = 84.0
TITLE_CHARS, DETAIL_CHARS = 40, 46

Point = tuple[float, float]


@dataclass(slots=True)
class Placed:
    """A box with its place relative to the block it is in; ``blocks`` are relative to the box."""

    box: Box
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    blocks: list[PlacedGroup] = field(default_factory=list)


@dataclass(slots=True)
class PlacedGroup:
    """A block with its boxes and arrows placed; ``arrows`` are the points that each passes."""

    group: Group
    width: float
    height: float
    boxes: list[Placed]
    arrows: list[list[Point]]
    x: float = 0.0
    y: float = 0.0


@dataclass(slots=True)
class _Slot:
    """What takes room in a layer: a box, or a lane for an arrow that passes (``placed`` None)."""

    placed: Placed | None
    width: float
    height: float
    x: float = 0.0
    before: list[_Slot] = field(default_factory=list)

    @property
    def center(self) -> float:
        return self.x + self.width / 2


def text_width(text: str, char_width: float) -> float:
    """An estimate that errs on the wide side; CJK and the like count twice."""
    return sum(char_width * (1.8 if ord(char) > 0x2E7F else 1.0) for char in text)


def header_height(box: Box) -> float:
    """The room for the lines on top of a box with blocks inside."""
    return HEADER_HEIGHT if box.caption else HEADER_HEIGHT_PLAIN


def place_box(box: Box) -> Placed:
    """A box with everything inside it."""
    title = text_width(shorten(box.title, TITLE_CHARS), CHAR_WIDTH) * 1.08
    detail = shorten(box.caption, DETAIL_CHARS)
    width = max(title, text_width(detail, SMALL_CHAR_WIDTH), WIDTH_MIN) + 2 * PADDING
    if not box.groups:
        return Placed(box, width, BOX_HEIGHT if detail else BOX_HEIGHT_PLAIN)
    blocks = [place_group(group) for group in box.groups]
    header = header_height(box)
    framed = len(blocks) > 1 or bool(box.groups[0].label)
    x = PADDING
    for block in blocks:
        if framed:  # a branch has a frame and its condition on top
            label = text_width(shorten(block.group.label, DETAIL_CHARS), SMALL_CHAR_WIDTH) + 2 * PADDING
            widened = max(block.width + 2 * PADDING, label)
            shift = (widened - block.width) / 2
            _shift(block, shift, LABEL_HEIGHT + PADDING / 2)
            block.width, block.height = widened, block.height + LABEL_HEIGHT + 1.5 * PADDING
        block.x, block.y = x, header
        x += block.width + (PADDING if framed else 0)
    inner = x + (0 if framed else PADDING)
    height = header + max(block.height for block in blocks) + PADDING
    if inner < width:
        for block in blocks:
            block.x += (width - inner) / 2
    return Placed(box, max(width, inner), height, blocks=blocks)


def _shift(block: PlacedGroup, dx: float, dy: float) -> None:
    for placed in block.boxes:
        placed.x += dx
        placed.y += dy
    block.arrows = [[(x + dx, y + dy) for x, y in points] for points in block.arrows]


def place_group(group: Group) -> PlacedGroup:
    """A block: its boxes in layers, its arrows through them."""
    placed = {box.name: place_box(box) for box in group.boxes}
    layer_of = _layers(group)
    rows: list[list[_Slot]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    slots = {name: _Slot(item, item.width, item.height) for name, item in placed.items()}
    for name, slot in slots.items():
        rows[layer_of[name]].append(slot)
    chains = [_chain(source, target, layer_of, slots, rows) for source, target in group.arrows]
    for above, row in pairwise(rows):
        # What a slot follows is in the row above: its distance from the middle there.
        found = {id(slot): index - (len(above) - 1) / 2 for index, slot in enumerate(above)}
        own = {id(slot): float(index) for index, slot in enumerate(row)}
        means = {
            id(slot): _mean([found[id(before)] for before in slot.before if id(before) in found], own[id(slot)])
            for slot in row
        }
        row.sort(key=lambda slot: means[id(slot)])
    heights = [max((slot.height for slot in row), default=0.0) for row in rows]
    width = max((_row_width(row) for row in rows), default=0.0)
    tops: list[float] = []
    y = 0.0
    for row, height in zip(rows, heights, strict=True):
        tops.append(y)
        x = (width - _row_width(row)) / 2
        for slot in row:
            slot.x = x
            x += slot.width + GAP_X
            if slot.placed is not None:
                slot.placed.x, slot.placed.y = slot.x, y + (height - slot.height) / 2
        y += height + GAP_Y
    arrows = [
        _points(chain, layer_of[source], tops, heights) for chain, (source, _) in zip(chains, group.arrows, strict=True)
    ]
    return PlacedGroup(group, width, max(y - GAP_Y, 0.0), list(placed.values()), arrows)


def _layers(group: Group) -> dict[str, int]:
    """Each box's layer: one more than the deepest it follows. Arrows of a circle are ignored."""
    waits = {box.name: 0 for box in group.boxes}
    followers: dict[str, list[str]] = {box.name: [] for box in group.boxes}
    for source, target in group.arrows:
        waits[target] += 1
        followers[source].append(target)
    found = {name: 0 for name, count in waits.items() if count == 0}
    ready = list(found)
    for name in ready:
        for follower in followers[name]:
            found[follower] = max(found.get(follower, 0), found[name] + 1)
            waits[follower] -= 1
            if waits[follower] == 0:
                ready.append(follower)
    placed = set(ready)
    in_circle = [name for name in waits if name not in placed]
    for name in in_circle:
        found[name] = 1 + max(found.values(), default=-1)
    return found


def _chain(
    source: str, target: str, layer_of: dict[str, int], slots: dict[str, _Slot], rows: list[list[_Slot]]
) -> list[_Slot]:
    """The slots that an arrow passes, with a lane in each layer between its ends."""
    chain = [slots[source]]
    for layer in range(layer_of[source] + 1, layer_of[target]):
        lane = _Slot(None, LANE_WIDTH, 0.0)
        rows[layer].append(lane)
        chain.append(lane)
    chain.append(slots[target])
    for earlier, later in pairwise(chain):
        later.before.append(earlier)
    return chain


def _points(chain: list[_Slot], layer: int, tops: list[float], heights: list[float]) -> list[Point]:
    points: list[Point] = []
    for offset, slot in enumerate(chain):
        top = tops[min(layer + offset, len(tops) - 1)]
        if slot.placed is None:
            height = heights[layer + offset]
            points += [(slot.center, top), (slot.center, top + height)]
        elif offset == 0:
            points.append((slot.center, slot.placed.y + slot.height))
        else:
            points.append((slot.center, slot.placed.y))
    return points


def _mean(values: list[float], fallback: float) -> float:
    return sum(values) / len(values) if values else fallback


def _row_width(row: list[_Slot]) -> float:
    return sum(slot.width for slot in row) + GAP_X * max(len(row) - 1, 0)
