"""Plots as SVG text: bars and lines, without scripts, fonts or links, for reports and pages. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 46
TICK_GAP = 46
"""Labels of an axis are at least so far apart."""
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")
_STYLE = 'font-family="sans-serif" font-size="12" fill="#333"'


class Series(NamedTuple):
    """A line: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


class Mark(NamedTuple):
    """A dashed line across the plot: at a place of the x axis, or of the y axis."""

    name: str
    value: float
    across: bool = False
    """At a height, from left to right."""


class Bar(NamedTuple):
    """A bar. ``note``: text behind it, instead of its value."""

    name: str
    value: float
    note: str = ""
    colour: str = COLOURS[0]


def bars(title: str, rows: Sequence[Bar], *, unit: str = "", logarithmic: bool = False) -> str:
    """Horizontal bars, one per row; ``logarithmic`` when values differ by powers of ten."""
    height = TOP + 30 * len(rows) + 14
    left = 150
    room = WIDTH - left - 150
    top = max((row.value for row in rows), default=0.0)

    def length(value: float) -> float:
        if not value or not top:
            return 0.0
        if not logarithmic:
            return room * value / top
        low = min(row.value for row in rows if row.value > 0) / 3
        return room * math.log(value / low) / math.log(top / low)

    parts = [_open(height), _text(WIDTH / 2, 22, title, "middle", "15")]
    for place, row in enumerate(rows):
        y = TOP + 30 * place
        parts.append(_text(left - 8, y + 16, row.name, "end"))
        parts.append(
            f'<rect x="{left}" y="{y}" width="{length(row.value):.1f}" height="22" fill="{escape(row.colour)}"/>'
        )
        parts.append(_text(left + length(row.value) + 6, y + 16, row.note or f"{number(row.value)} {unit}".strip()))
    if logarithmic:
        parts.append(_text(WIDTH - 8, height - 4, "logarithmic", "end", "10"))
    return "".join([*parts, "</svg>"])


def lines(
    title: str,
    series: Sequence[Series],
    *,
    x: str = "",
    y: str = "",
    logarithmic_x: bool = False,
    marks: Sequence[Mark] = (),
) -> str:
    """Lines over one axis each way; the y axis begins at 0. Marks that lie outside are left out."""
    points = [point for line in series for point in line.points]
    if not points:
        return "".join([_open(HEIGHT), _text(WIDTH / 2, HEIGHT / 2, f"{title}: nothing to show", "middle"), "</svg>"])
    scale = math.log10 if logarithmic_x else float
    low, high = min(scale(point[0]) for point in points), max(scale(point[0]) for point in points)
    top = _round_up(max(point[1] for point in points))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        along = (scale(point[0]) - low) / (high - low) if high > low else 0.5
        return LEFT + width * along, TOP + height * (1 - point[1] / top)

    parts = [_open(HEIGHT), _text(WIDTH / 2, 22, title, "middle", "15")]
    for step in range(5):
        at = TOP + height * (1 - step / 4)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, at + 4, number(top * step / 4), "end"))
    ticks = sorted({point[0] for point in points}) if logarithmic_x else _round_ticks(low, high)
    ends = -math.inf
    for value in _ticks(ticks):
        at = place((value, 0))[0]
        if at - ends < TICK_GAP:
            continue
        ends = at
        parts.append(_text(at, HEIGHT - BOTTOM + 16, number(value), "middle"))
    parts.append(_text(WIDTH / 2, HEIGHT - 8, x, "middle"))
    parts.append(_text(LEFT - 56, TOP - 10, y))
    for mark in marks:
        value = mark.value if mark.across else scale(mark.value) if mark.value > 0 or not logarithmic_x else -math.inf
        if mark.across and 0 <= value <= top:
            at = place((points[0][0], value))[1]
            parts.append(_dashed(LEFT, WIDTH - RIGHT, at, at))
            parts.append(_text(WIDTH - RIGHT - 4, at - 5, mark.name, "end"))
        elif not mark.across and low <= value <= high:
            at = place((mark.value, 0))[0]
            parts.append(_dashed(at, at, TOP, HEIGHT - BOTTOM))
            left = at > WIDTH / 2
            parts.append(_text(at + (-5 if left else 5), TOP + 60, mark.name, "end" if left else "start"))
    for index, line in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in map(place, line.points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in map(place, line.points)
        )
        if len(series) > 1:
            parts.append(f'<rect x="{LEFT + 10}" y="{TOP + 4 + 18 * index}" width="12" height="12" fill="{colour}"/>')
            parts.append(_text(LEFT + 28, TOP + 14 + 18 * index, line.name))
    return "".join([*parts, "</svg>"])


def number(value: float) -> str:
    """A number for people: three digits, or thousands apart."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ticks(values: list[float]) -> list[float]:
    """At most seven of the values, the first and the last among them."""
    if len(values) <= 7:
        return values
    return [values[round(place * (len(values) - 1) / 6)] for place in range(7)]


def _round_ticks(low: float, high: float) -> list[float]:
    """Values between that read well, at most seven."""
    if high <= low:
        return [low]
    step = _round_up((high - low) / 6)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step) + 1)]


def _round_up(value: float) -> float:
    """The next number that reads well on an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value)


def _dashed(x1: float, x2: float, y1: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="#666" stroke-dasharray="5 4" '
        'stroke-width="1.5"/>'
    )


def _open(height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img"><rect width="100%" height="100%" fill="#fff"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: str = "12") -> str:
    style = _STYLE.replace('"12"', f'"{size}"')
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(text)}</text>'
