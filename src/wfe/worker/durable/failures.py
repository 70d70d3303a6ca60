"""The errors of calls as exceptions again: ``except CardDeclined`` works in a durable function as people expect.

An exception made here is a `CallFailed` and, where the names in its record lead to a class of this process, of that
class as well; the class's own ``__init__`` is not called. Nothing is imported for it. Nothing else is lost: an error
that the function lets through is reported as it was recorded.
"""

from __future__ import annotations

import builtins
import sys
from functools import lru_cache
from typing import Any

from wfe import errors
from wfe.errors import CallFailed
from wfe.model.policy import ErrorInfo


def exception_of(error: ErrorInfo) -> CallFailed:
    """What the function sees raised."""
    kind = _class_for(error.type, error.types)
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
def _class_for(type_name: str, names: tuple[str, ...]) -> type[CallFailed]:
    for name in names or (type_name,):
        found = _find(name)
        if found is None:
            continue
        try:
            return type(type_name, (_Failed, found), {"__module__": found.__module__})
        except TypeError:  # its layout does not go together with ours
            continue
    return type(type_name, (_Failed,), {"__module__": "wfe.errors"})


def _find(name: str) -> type[Exception] | None:
    """The class of a bare or a module-qualified name."""
    if "." not in name:
        found: Any = getattr(errors, name, None) or getattr(builtins, name, None)
    else:
        found = _find_qualified(name)
    usable = isinstance(found, type) and issubclass(found, Exception) and found is not Exception
    return found if usable else None


def _find_qualified(name: str) -> Any:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:cut]))
        if module is not None:
            found: Any = module
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found
    return None
