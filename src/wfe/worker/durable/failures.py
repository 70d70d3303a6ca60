"""The errors of calls as exceptions again: ``except CardDeclined`` works in a durable function as people expect.

An exception made here is a `CallFailed` and, where the names in its record lead to a class of this process, of that
class as well; the class's own ``__init__`` is not called. Nothing is imported for it. Nothing else is lost: an error
that the function lets through is reported as it was recorded.

A class is found by its module and name. Where the function itself lay in a module of another name when the record was
made (dur.py, now dur_v1.py) and that module is not there, its classes are those of the function's module of today. No
other module is guessed for another: two classes of one bare name are two classes.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from wfe import errors
from wfe.errors import CallFailed
from wfe.model.policy import ErrorInfo
from wfe.wire.durable import Called


class Home(NamedTuple):
    """The module that a function lies in, and the files in which its recorded calls stood, without their suffix."""

    module: str = ""
    before: frozenset[str] = frozenset()


_NO_HOME = Home()


def home_of(module: str, calls: Iterable[Called]) -> Home:
    """Where the function of this module was when it made these calls."""
    files = {call.where.rpartition(":")[0] for call in calls}
    return Home(module, frozenset(file.removesuffix(".py") for file in files))


def exception_of(error: ErrorInfo, home: Home = _NO_HOME) -> CallFailed:
    """What the function sees raised."""
    kind = _class_for(error.type, error.types, home)
    made = kind.__new__(kind, error.message)
    made.args = (error.message,)
    made.error = error
    return made


class _Failed(CallFailed):
    def __str__(self) -> str:
        error = self.error
        assert isinstance(error, ErrorInfo)
        return error.message or error.type


@lru_cache(maxsize=1_000)
def _class_for(type_name: str, names: tuple[str, ...], home: Home) -> type[CallFailed]:
    for name in names or (type_name,):
        found = _find(name, home)
        if found is None:
            continue
        try:
            return type(type_name, (_Failed, found), {"__module__": found.__module__})
        except TypeError:  # its layout does not go together with ours
            continue
    return type(type_name, (_Failed,), {"__module__": "wfe.errors"})


def _find(name: str, home: Home) -> type[Exception] | None:
    """The class of a bare or a module-qualified name."""
    if "." not in name:
        found: Any = getattr(errors, name, None) or getattr(builtins, name, None)
    else:
        found = _find_qualified(name.split("."), home)
    usable = isinstance(found, type) and issubclass(found, Exception) and found is not Exception
    return found if usable else None


def _find_qualified(parts: list[str], home: Home) -> Any:
    for cut in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:cut]) in sys.modules:
            return _inside(".".join(parts[:cut]), parts[cut:])
    for cut in range(len(parts) - 1, 0, -1):
        if parts[cut - 1] in home.before:
            return _inside(home.module, parts[cut:])
    return None


def _inside(module: str, path: list[str]) -> Any:
    found: Any = sys.modules.get(module)
    for part in path:
        found = getattr(found, part, None)
    return found
