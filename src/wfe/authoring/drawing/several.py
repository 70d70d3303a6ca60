"""The drawings of several definitions as one text: YAML and DOT files may hold many, SVG pictures are stacked."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIZE = re.compile(r'<svg [^>]*?width="(\d+)" height="(\d+)"')
_GAP = 16


def several(drawings: Sequence[str], form: str) -> str:
    """One text of these drawings, each in this format (svg dot mermaid yaml); a single one stays as it is."""
    if len(drawings) == 1:
        return drawings[0]
    if form == "svg":
        return _stacked(drawings)
    return ("---\n" if form == "yaml" else "\n").join(drawings)


def _stacked(pictures: Sequence[str]) -> str:
    parts: list[str] = []
    width = top = 0
    for picture in pictures:
        size = _SIZE.match(picture)
        assert size is not None, "to_svg opens with the picture's size"
        parts.append(picture.replace("<svg ", f'<svg y="{top}" ', 1))
        width, top = max(width, int(size[1])), top + int(size[2]) + _GAP
    height = top - _GAP
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img"'
    return "\n".join([f'{opening} viewBox="0 0 {width} {height}">', *parts, "</svg>"]) + "\n"
