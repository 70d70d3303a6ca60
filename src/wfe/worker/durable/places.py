"""Where in the author's source a durable function stands: for records of calls, errors and logs. Reads frames only."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType

from wfe.errors import GraphError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_LIBRARIES = tuple(
    os.path.join(os.path.abspath(path), "")
    for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
)
_own: dict[str, bool] = {}
_texts: dict[tuple[str, int], str] = {}


def is_author_file(file: str) -> bool:
    """Whether a file is the author's: not of wfe, nor of a library. Remembered by name: it is asked at each call."""
    known = _own.get(file)
    if known is None:
        known = _own[file] = not file.startswith((_PACKAGE, "<")) and not file.startswith(_LIBRARIES)
    return known


def plays_author(file: str) -> None:
    """This file of wfe stands for an author's: the simulation's programs."""
    _own[file] = True


def author_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that the author wrote, from this one outwards; else the innermost outside wfe."""
    nearest: FrameType | None = None
    known = _own
    while frame is not None:
        file = frame.f_code.co_filename
        if known.get(file) or (file not in known and is_author_file(file)):
            return frame
        if nearest is None and not file.startswith(_PACKAGE):
            nearest = frame
        frame = frame.f_back
    return nearest


def here(origin: FrameType | None = None) -> str:
    """``app.py:12``: the author's line that is being executed. ``origin``: a frame that is probably his: Python makes
    each frame that is looked at."""
    if origin is not None and is_author_file(origin.f_code.co_filename):
        return text_of(origin.f_code.co_filename, origin.f_lineno)
    frame = author_frame(sys._getframe(2))
    return "?" if frame is None else text_of(frame.f_code.co_filename, frame.f_lineno)


def text_of(file: str, line: int) -> str:
    """``app.py:12``. Remembered, for it is asked at each call."""
    known = _texts.get((file, line))
    if known is None:
        known = _texts[file, line] = f"{os.path.basename(file)}:{line}"
    return known


def of_coroutine(coroutine: object) -> str:
    """``app.py:12``: the author's line at which a suspended coroutine awaits, in the innermost function of his."""
    found = "?"
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and is_author_file(frame.f_code.co_filename):
            found = text_of(frame.f_code.co_filename, frame.f_lineno)
        coroutine = getattr(coroutine, "cr_await", None)
    return found


def mistake(message: str) -> GraphError:
    """A GraphError at the author's line."""
    frame = author_frame(sys._getframe(1))
    if frame is None:
        return GraphError(message)
    return GraphError(message, file=frame.f_code.co_filename, line=frame.f_lineno)
