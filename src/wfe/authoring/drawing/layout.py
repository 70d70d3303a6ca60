"""Places boxes for SVG: in layers within a block (Sugiyama's method at its simplest), blocks within their node. Pure.

Lengths are in px. A block's boxes get layers by the longest way from its start; an arrow that skips layers takes a lane
through each of them, so that it never crosses a box; within a layer boxes are ordered by the mean place of what they
follow. An arrow that closes a circle leaves below its box and comes back from above, by a lane on the right of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from wfe.authoring.drawing.sketch import Box, Group, shorten

CHAR_WIDTH = 6.6
SMALL_CHAR_WIDTH = 6.0
TITLE_CHAR_WIDTH = 8.0
BOX_HEIGHT_PLAIN = 34.0
LINE_HEIGHT, LINE_FIRST = 15.0, 12.0
"""A further line of text in a box; the first of them also uses what room there is."""
PADDING = 14.0
LABEL_HEIGHT = 24.0
GAP_X, GAP_Y = 26.0, 34.0
LANE_WIDTH = 14.0
WIDTH_MIN = 84.0
TITLE_CHARS, DETAIL_CHARS = 40, 46
WORDS_CHARS = 34
ENDS = ("end", "fail")
"""Kinds of node that nothing comes after."""
WORDS_HEIGHT = 20.0
"""More room between layers where arrows have words."""
BACK_DROP, BACK_OFFSET = 10.0, 14.0
"""How far below and above boxes an arrow that goes back runs, and how far beside their middle it leaves and arrives."""

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
class Words:
    """What is written at an arrow: in the middle of ``x``, or right of it (``beside``)."""

    text: str
    x: float
    y: float
    beside: bool = False


@dataclass(slots=True)
class PlacedGroup:
    """A block with its boxes and arrows placed; ``arrows`` are the points that each passes, those of ``back`` with
    corners."""

    group: Group
    width: float
    height: float
    boxes: list[Placed]
    arrows: list[list[Point]]
    words: list[Words] = field(default_factory=list)
    back: frozenset[int] = frozenset()
    exits: dict[str, list[Point]] = field(default_factory=dict)
    """The way down from each of the last boxes."""
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
    """The room for the lines of a box."""
    further = len(box.lines) - 1
    return BOX_HEIGHT_PLAIN + (LINE_FIRST + LINE_HEIGHT * (further - 1) if further else 0)


def place_box(box: Box) -> Placed:
    """A box with everything inside it."""
    title = text_width(shorten(box.title, TITLE_CHARS), CHAR_WIDTH) * 1.08
    further = [text_width(shorten(line, DETAIL_CHARS), SMALL_CHAR_WIDTH) for line in box.lines[1:]]
    width = max(title, *further, WIDTH_MIN) + 2 * PADDING
    if not box.groups:
        return Placed(box, width, header_height(box))
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
    for words in block.words:
        words.x, words.y = words.x + dx, words.y + dy


def place_group(group: Group) -> PlacedGroup:
    """A block: its boxes in layers, its arrows through them."""
    back = group.back()
    ahead = [arrow for arrow in group.arrows if arrow not in back]
    placed = {box.name: place_box(box) for box in group.boxes}
    layer_of = _layers(group, ahead)
    rows: list[list[_Slot]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    slots = {name: _Slot(item, item.width, item.height) for name, item in placed.items()}
    for name, slot in slots.items():
        rows[layer_of[name]].append(slot)
    chains = {arrow: _chain(*arrow, layer_of, slots, rows) for arrow in ahead}
    ways_out = {
        box.name: _way_out(slots[box.name], layer_of[box.name], rows) for box in group.last if box.kind not in ENDS
    }
    tells = _told(group, chains)
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
    y = BACK_DROP if any(layer_of[target] == 0 for _, target in back) else 0.0
    for layer, (row, height) in enumerate(zip(rows, heights, strict=True)):
        tops.append(y)
        x = (width - _row_width(row)) / 2
        for slot in row:
            slot.x = x
            x += slot.width + GAP_X
            if slot.placed is not None:
                slot.placed.x = slot.x + (slot.width - slot.placed.width) / 2
                slot.placed.y = y + (height - slot.height) / 2
        y += height + GAP_Y + (WORDS_HEIGHT if any(layer_of[source] == layer for source, _ in tells) else 0)
    points = {arrow: _points(chain, layer_of[arrow[0]], tops, heights) for arrow, chain in chains.items()}
    made = PlacedGroup(group, width, max(y - GAP_Y, 0.0), list(placed.values()), [])
    made.words = [_words_at(points[arrow], text, share) for arrow, (text, share) in tells.items()]
    made.exits = {name: _points(way, layer_of[name], tops, heights) for name, way in ways_out.items()}
    bounds = {name: (tops[layer], tops[layer] + heights[layer]) for name, layer in layer_of.items()}
    _lead_back(made, [arrow for arrow in group.arrows if arrow in back], placed, points, bounds)
    made.arrows = [points[arrow] for arrow in group.arrows]
    made.back = frozenset(number for number, arrow in enumerate(group.arrows) if arrow in back)
    return made


def _told(group: Group, chains: dict[tuple[str, str], list[_Slot]]) -> dict[tuple[str, str], tuple[str, float]]:
    """The words of arrows, and how far along their way they stand: near the end that is theirs alone. Makes room."""
    leaving = Counter(source for source, _ in chains)
    found: dict[tuple[str, str], tuple[str, float]] = {}
    for arrow, chain in chains.items():
        words = group.words.get(arrow)
        if words:
            alone = leaving[arrow[0]] == 1
            slot = chain[0] if alone else chain[1]
            text = shorten(words, WORDS_CHARS)
            slot.width = max(slot.width, text_width(text, SMALL_CHAR_WIDTH) + 8)
            found[arrow] = (text, 0.3 if alone else 0.68)
    return found


def _words_at(points: list[Point], text: str, share: float) -> Words:
    """Words on the first stretch of an arrow, which is a curve as `svg` draws it."""
    (x, y), (next_x, next_y) = points[0], points[1]
    smooth = share * share * (3 - 2 * share)
    middle = (y + next_y) / 2
    rest = 1 - share
    at = rest**3 * y + 3 * rest * share * middle + share**3 * next_y
    return Words(text, x + (next_x - x) * smooth, at + 4)


def _lead_back(
    made: PlacedGroup,
    back: list[tuple[str, str]],
    placed: dict[str, Placed],
    points: dict[tuple[str, str], list[Point]],
    bounds: dict[str, tuple[float, float]],
) -> None:
    """Arrows that close circles, each by a lane of its own on the right; the block becomes as wide as they need.

    ``bounds``: top and bottom of each box's layer.
    """
    for number, arrow in enumerate(back):
        source, target = placed[arrow[0]], placed[arrow[1]]
        lane = made.width + LANE_WIDTH
        start, end = source.x + source.width / 2 + BACK_OFFSET, target.x + target.width / 2 + BACK_OFFSET
        drop = BACK_DROP + 3 * (number % 3)
        below, above = bounds[arrow[0]][1] + drop, bounds[arrow[1]][0] - drop
        way = [(start, below), (lane, below), (lane, above), (end, above)]
        points[arrow] = [(start, source.y + source.height), *way, (end, target.y)]
        made.width, made.height = lane + LANE_WIDTH / 2, max(made.height, below + 2)
        text = shorten(made.group.words.get(arrow, ""), WORDS_CHARS)
        if text:
            made.words.append(Words(text, lane + 6, (below + above) / 2 + 4, beside=True))
            made.width = lane + 6 + text_width(text, SMALL_CHAR_WIDTH)


def _layers(group: Group, arrows: list[tuple[str, str]]) -> dict[str, int]:
    """Each box's layer: one more than the deepest it follows."""
    waits = {box.name: 0 for box in group.boxes}
    followers: dict[str, list[str]] = {box.name: [] for box in group.boxes}
    for source, target in arrows:
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


def _way_out(slot: _Slot, layer: int, rows: list[list[_Slot]]) -> list[_Slot]:
    """A lane past the layers below a box that nothing in its block waits for."""
    chain = [slot]
    for row in rows[layer + 1 :]:
        lane = _Slot(None, LANE_WIDTH, 0.0, before=[chain[-1]])
        row.append(lane)
        chain.append(lane)
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
