"""Imports of apps that fail, as the author is to read them: his file and line, what is wrong, and a way out.

Reads tracebacks only. Invariants: what is wrong in how wfe is used, and what Python says of a text, is one line; of any
other exception only the author's own frames are shown, never those of wfe or of the import system.
"""

from __future__ import annotations

import traceback

from wfe.authoring.places import is_author_file
from wfe.errors import AppError, GraphError, WfeError


def import_failure(spec: str, error: BaseException) -> BaseException:
    """The AppError for a failed import; what stops the program (Ctrl-C) goes on as it is."""
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return error
    file, line = _place(error)
    named = f"{type(error).__name__}: {error}"
    if isinstance(error, WfeError):
        message = error.message if isinstance(error, (AppError, GraphError)) else str(error)
    elif isinstance(error, SyntaxError):
        message = named  # its text ends with the file's name and the line, as Python's own does
    elif isinstance(error, ModuleNotFoundError):
        message = f"{named}; correct the name, or install what has it into the environment that wfe runs in"
    elif isinstance(error, ImportError):
        message = f"{named}; correct the name, or what that module defines"
    else:
        message = f"{named}\n{_own_traceback(error)}"
    if file is None or line is None:
        return AppError(f"{spec} cannot be imported: {message}")
    return AppError(message, file=file, line=line)


def _place(error: BaseException) -> tuple[str | None, int | None]:
    """The author's line: as the error names it, else where it passed his code last."""
    if isinstance(error, SyntaxError):
        return error.filename, error.lineno
    file, line = getattr(error, "file", None), getattr(error, "line", None)
    if isinstance(error, WfeError) and file and line:
        return file, line
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_author_file(frame.filename)]
    return (own[-1].filename, own[-1].lineno) if own else (None, None)


def _own_traceback(error: BaseException) -> str:
    shown = traceback.TracebackException.from_exception(error, compact=True)
    part: traceback.TracebackException | None = shown
    while part is not None:
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if is_author_file(f.filename)])
        part = part.__cause__ or part.__context__
    return "".join(shown.format()).rstrip()
