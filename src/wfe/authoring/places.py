"""Where in the author's source something happens: file and line of the caller outside this room.

Reads frames only; used when an error is raised and when a node is drawn, never while a run executes.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType
from typing import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ROOM = os.path.dirname(os.path.abspath(__file__)) + os.sep
_DRAWING = _ROOM + "tracing.py"
_LIBRARIES = tuple(
    os.path.join(os.path.abspath(path), "")
    for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
)


class Place(NamedTuple):
    """A line of the author's source, 1-based."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def caller(drawn: Place | None = None) -> Place:
    """The innermost frame that the author wrote: outside this room, and preferably outside libraries.

    A dataclass's generated ``__init__`` or ``json.dumps`` may stand between his line and ours; the search ends where
    the drawing began, so that the program that asked for the drawing is never blamed: ``drawn``, the workflow, is.
    """
    nearest: Place | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file == _DRAWING and (nearest or drawn) is not None:
            break
        if not file.startswith(_ROOM):
            place = Place(file, frame.f_lineno)
            nearest = nearest or place
            if not _is_library(frame):
                return place
        frame = frame.f_back
    return nearest or drawn or Place("<unknown>", 0)


def is_author_file(file: str) -> bool:
    """Whether a file is the author's: not of wfe, nor of a library."""
    return not file.startswith((_PACKAGE, "<")) and not file.startswith(_LIBRARIES)


def _is_library(frame: FrameType) -> bool:
    code = frame.f_code
    if code.co_filename.startswith("<"):
        return code.co_name.startswith("__")
    return code.co_filename.startswith(_LIBRARIES)
