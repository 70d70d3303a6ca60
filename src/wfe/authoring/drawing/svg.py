"""A definition as a self-contained SVG picture: no script, no font, nothing to fetch."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from wfe.authoring.drawing.layout import (
    DETAIL_CHARS,
    ENDS,
    GAP_Y,
    LABEL_HEIGHT,
    LINE_HEIGHT,
    PADDING,
    SMALL_CHAR_WIDTH,
    TITLE_CHAR_WIDTH,
    TITLE_CHARS,
    Placed,
    PlacedGroup,
    Point,
    Words,
    header_height,
    place_group,
    text_width,
)
from wfe.authoring.drawing.sketch import Box, shorten, sketch
from wfe.model.definition import Definition

_MARGIN = 24.0
_DOT = 7.0
_HINT_CHARS = 500
_ROUND = 7.0
_COLORS = {  # fill, border
    "task": ("#e8f0fe", "#4a78c8"),
    "workflow": ("#ede7f6", "#7e57c2"),
    "durable": ("#e8f0fe", "#7e57c2"),
    "start": ("#ede7f6", "#7e57c2"),
    "sleep": ("#fff8e1", "#c79a1e"),
    "signal": ("#fff3e0", "#d9822b"),
    "set": ("#e8f5e9", "#4c9a52"),
    "end": ("#e0f2f1", "#2a8c82"),
    "fail": ("#fdecea", "#c9453a"),
    "when": ("#fafafa", "#8a8f98"),
    "parallel": ("#f4f8ff", "#8fa8d0"),
    "branch": ("#ffffff", "#a9b4c4"),
    "catch": ("#fff7f6", "#d08a83"),
    "map": ("#f6fbf6", "#86b58a"),
    "loop": ("#f6fbf6", "#86b58a"),
    "race": ("#fffdf5", "#cdb26a"),
    "lock": ("#f7f5fb", "#9c8fc0"),
    "graph": ("#fafbfd", "#8a8f98"),
    "webhook": ("#fff3e0", "#d9822b"),
    "approval": ("#fff3e0", "#d9822b"),
    "http": ("#e8f0fe", "#4a78c8"),
    "custom": ("#e8f0fe", "#4a78c8"),
    "decision": ("#f1f3f5", "#6b7583"),
    "transform": ("#e8f5e9", "#4c9a52"),
    "state": ("#f3f7e9", "#8aa34c"),
    "assign": ("#f3f7e9", "#8aa34c"),
    "break_if": ("#f1f3f5", "#6b7583"),
    "emit": ("#e0f2f1", "#2a8c82"),
    "compensate_with": ("#fdf3f2", "#b9716a"),
    "compensate": ("#fdf3f2", "#b9716a"),
}
_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2630}"
    ".t{font-size:12px;font-weight:600}.d{font-size:11px;fill:#56606e}.b{stroke-width:1.3}"
    ".a{fill:none;stroke:#6b7583;stroke-width:1.4}"
    ".w{font-size:11px;fill:#39424e}"
)


def to_svg(definition: Definition) -> str:
    """The text of an SVG document."""
    root = sketch(definition)
    placed = place_group(root)
    title = text_width(shorten(definition.workflow, TITLE_CHARS), TITLE_CHAR_WIDTH)
    width = max(placed.width, title, 120.0) + 2 * _MARGIN
    top = _MARGIN + 22 + 2 * _DOT + GAP_Y
    height = top + placed.height + GAP_Y + 2 * _DOT + _MARGIN
    placed.x, placed.y = (width - placed.width) / 2, top
    name = escape(shorten(definition.workflow, TITLE_CHARS))
    middle = width / 2
    begin, finish = (middle, top - GAP_Y), (middle, top + placed.height + GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{name}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#6b7583"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text class="t" x="{middle:.1f}" y="{_MARGIN + 8:.1f}" text-anchor="middle" font-size="14">{name}</text>',
        f'<circle cx="{begin[0]:.1f}" cy="{begin[1] - _DOT:.1f}" r="{_DOT}" fill="#39424e"/>',
        f'<circle cx="{finish[0]:.1f}" cy="{finish[1] + _DOT:.1f}" r="{_DOT}" fill="#ffffff" stroke="#39424e" '
        'stroke-width="3"/>',
        *_group(placed, 0.0, 0.0),
    ]
    by_name = {item.box.name: item for item in placed.boxes}
    for box in root.first:
        item = by_name[box.name]
        parts.append(_arrow([begin, (placed.x + item.x + item.width / 2, placed.y + item.y)]))
    for box in root.last:
        if box.kind not in ENDS:
            way = [(placed.x + x, placed.y + y) for x, y in placed.exits[box.name]]
            parts.append(_arrow([*way, finish]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _group(group: PlacedGroup, x: float, y: float) -> Iterator[str]:
    x, y = x + group.x, y + group.y
    for item in group.boxes:
        yield from _box(item, x, y)
    for number, points in enumerate(group.arrows):
        moved = [(x + px, y + py) for px, py in points]
        yield _corners(moved) if number in group.back else _arrow(moved)
    for words in group.words:
        yield from _words(words, x, y)


def _box(item: Placed, x: float, y: float) -> Iterator[str]:
    box = item.box
    x, y = x + item.x, y + item.y
    fill, border = _COLORS[box.kind]
    radius = item.height / 2 if box.kind in ("sleep", "end") and not box.groups else 6
    hint = f"{box.title}: {box.kind} {box.detail}"
    dashed = ' stroke-dasharray="5 3"' if box.kind in ("branch", "parallel") else ""
    yield (
        f'<g class="n" data-node="{escape(box.title)}" data-kind="{box.kind}">'
        f"<title>{escape(shorten(hint, _HINT_CHARS))}</title>"
        f'<rect class="b" x="{x:.1f}" y="{y:.1f}" width="{item.width:.1f}" height="{item.height:.1f}" '
        f'rx="{radius:.1f}" fill="{fill}" stroke="{border}"{dashed}/>'
    )
    yield from _labels(box, x + item.width / 2, y, header_height(box))
    yield "</g>"
    for block in item.blocks:
        if block.group.label:
            yield from _frame(block, x, y, border)
        yield from _group(block, x, y)


def _labels(box: Box, middle: float, y: float, height: float) -> Iterator[str]:
    title, *further = box.lines
    first = y + height / 2 + (4 if not further else -3 - LINE_HEIGHT / 2 * (len(further) - 1))
    yield _text("t", middle, first, shorten(title, TITLE_CHARS))
    for number, line in enumerate(further, 1):
        yield _text("d", middle, first + LINE_HEIGHT * number, shorten(line, DETAIL_CHARS))


def _text(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'


def _frame(block: PlacedGroup, x: float, y: float, border: str) -> Iterator[str]:
    """The frame of a branch, with its condition on top."""
    left, top = x + block.x, y + block.y
    label = escape(shorten(block.group.label, DETAIL_CHARS))
    hint = escape(shorten(block.group.label, _HINT_CHARS))
    yield (
        f'<rect class="b" x="{left:.1f}" y="{top:.1f}" width="{block.width:.1f}" height="{block.height:.1f}" rx="5" '
        f'fill="#ffffff" stroke="{border}" stroke-dasharray="4 3"><title>{hint}</title></rect>'
        f'<text class="d" x="{left + block.width / 2:.1f}" y="{top + LABEL_HEIGHT - PADDING / 2:.1f}" '
        f'text-anchor="middle">{label}</text>'
    )


def _words(words: Words, x: float, y: float) -> Iterator[str]:
    """What stands at an arrow, on a ground that makes it legible."""
    width = text_width(words.text, SMALL_CHAR_WIDTH)
    x, y = x + words.x + (width / 2 if words.beside else 0), y + words.y
    yield (
        f'<rect x="{x - width / 2:.1f}" y="{y - 11:.1f}" width="{width:.1f}" height="15" rx="3" fill="#ffffff" '
        f'fill-opacity="0.9"/><text class="w" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(words.text)}</text>'
    )


def _corners(points: list[Point]) -> str:
    """A line with round corners: an arrow that leads back."""
    (x, y), *between, (end_x, end_y) = points
    path = f"M{x:.1f} {y:.1f}"
    for (px, py), (next_x, next_y) in pairwise([*between, (end_x, end_y)]):
        for near, far in (((x, y), False), ((next_x, next_y), True)):
            distance = max(abs(near[0] - px), abs(near[1] - py), 1.0)
            part = min(_ROUND, distance / 2) / distance
            bent = f"{px + (near[0] - px) * part:.1f} {py + (near[1] - py) * part:.1f}"
            path += f"Q{px:.1f} {py:.1f} {bent}" if far else f"L{bent}"
        x, y = px, py
    return f'<path class="a" d="{path}L{end_x:.1f} {end_y:.1f}" marker-end="url(#arrow)"/>'


def _arrow(points: list[Point]) -> str:
    """A smooth line through the points, from the bottom of one box to the top of another."""
    (x, y), rest = points[0], points[1:]
    path = f"M{x:.1f} {y:.1f}"
    for next_x, next_y in rest:
        bend = (y + next_y) / 2
        path += (
            f"L{next_x:.1f} {next_y:.1f}"
            if next_x == x
            else f"C{x:.1f} {bend:.1f} {next_x:.1f} {bend:.1f} {next_x:.1f} {next_y:.1f}"
        )
        x, y = next_x, next_y
    return f'<path class="a" d="{path}" marker-end="url(#arrow)"/>'
