"""The functions of the expression language as one table: names, numbers of arguments, and types where they are fixed.

Pure data. To add a function: a row here, its implementation in `functions.py` (`IMPLEMENTATIONS`; a test compares the
two), a line in docs/expressions.md. Those that are not plain functions live in the compiler: merge, is_none, now,
and the two that ask about the marking of a net.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

MANY = 1_000


class Signature(NamedTuple):
    """``function``/``method``: least and most arguments of each form, None: there is no such form.

    ``takes``: the JSON types of the arguments, the target first; "" where anything may fit (or time values do).
    ``gives``: the JSON type of the result; "" where it depends.
    """

    function: tuple[int, int] | None
    method: tuple[int, int] | None
    takes: tuple[str, ...] = ()
    gives: str = ""


_TEXT = "string"
_NUMBER = "integer number"
_LIST = "array"
_ANY_LIST_OR_NUMBER = "array integer number string"

SIGNATURES: dict[str, Signature] = {
    # CEL's standard functions
    "size": Signature((1, 1), (0, 0), ("string array object",), "integer"),
    "string": Signature((1, 1), None, (), "string"),
    "int": Signature((1, 1), None, ("integer number string",), "integer"),
    "uint": Signature((1, 1), None, ("integer number string",), "integer"),
    "double": Signature((1, 1), None, ("integer number string",), "number"),
    "bool": Signature((1, 1), None, ("boolean string",), "boolean"),
    "bytes": Signature((1, 1), None, (_TEXT,)),
    "dyn": Signature((1, 1), None),
    "type": Signature((1, 1), None, (), "string"),
    "timestamp": Signature((1, 1), None, ("string integer",)),
    "duration": Signature((1, 1), None, (_TEXT,)),
    "contains": Signature((2, 2), (1, 1), ("string array object",), "boolean"),
    "startsWith": Signature(None, (1, 1), (_TEXT, _TEXT), "boolean"),
    "endsWith": Signature(None, (1, 1), (_TEXT, _TEXT), "boolean"),
    "matches": Signature((2, 2), (1, 1), (_TEXT, _TEXT), "boolean"),
    "getFullYear": Signature(None, (0, 1), (), "integer"),
    "getMonth": Signature(None, (0, 1), (), "integer"),
    "getDate": Signature(None, (0, 1), (), "integer"),
    "getDayOfMonth": Signature(None, (0, 1), (), "integer"),
    "getDayOfWeek": Signature(None, (0, 1), (), "integer"),
    "getDayOfYear": Signature(None, (0, 1), (), "integer"),
    "getHours": Signature(None, (0, 1), (), "integer"),
    "getMinutes": Signature(None, (0, 1), (), "integer"),
    "getSeconds": Signature(None, (0, 1), (), "integer"),
    "getMilliseconds": Signature(None, (0, 1), (), "integer"),
    # as in CEL's extension libraries
    "lower": Signature(None, (0, 0), (_TEXT,), "string"),
    "upper": Signature(None, (0, 0), (_TEXT,), "string"),
    "lowerAscii": Signature(None, (0, 0), (_TEXT,), "string"),
    "upperAscii": Signature(None, (0, 0), (_TEXT,), "string"),
    "trim": Signature(None, (0, 0), (_TEXT,), "string"),
    "split": Signature(None, (1, 2), (_TEXT, _TEXT, "integer"), "array"),
    "join": Signature(None, (0, 1), (_LIST, _TEXT), "string"),
    "replace": Signature(None, (2, 3), (_TEXT, _TEXT, _TEXT, "integer"), "string"),
    "substring": Signature(None, (1, 2), (_TEXT, "integer", "integer"), "string"),
    "indexOf": Signature(None, (1, 1), ("string array",), "integer"),
    "first": Signature((1, 1), (0, 0), (_LIST,)),
    "last": Signature((1, 1), (0, 0), (_LIST,)),
    "flatten": Signature((1, 1), (0, 0), (_LIST,), "array"),
    "sum": Signature((1, 1), (0, 0), (_LIST,)),
    "min": Signature((1, MANY), (0, 0)),
    "max": Signature((1, MANY), (0, 0)),
    "abs": Signature((1, 1), None, (_NUMBER,)),
    "round": Signature((1, 2), None, (_NUMBER, "integer")),
    "floor": Signature((1, 1), None, (_NUMBER,), "integer"),
    "ceil": Signature((1, 1), None, (_NUMBER,), "integer"),
    # wfe's own
    "div": Signature((2, 2), None, (_NUMBER, _NUMBER), "number"),
    "format": Signature((1, MANY), None, (_TEXT,), "string"),
    "merge": Signature((1, MANY), None),
    "is_none": Signature((1, 1), None, (), "boolean"),
    "now": Signature((0, 0), None),
    "secret": Signature((1, 1), None, (_TEXT,)),
    "active": Signature((1, 1), None, (_TEXT,), "boolean"),
    "done": Signature((1, 1), None, (_TEXT,), "boolean"),
}
MARKING = frozenset({"active", "done"})
"""What ``enabled_while`` asks about the nodes of its net; the name of ``active("a")`` in a lookup is ``active(a)``."""
LITERAL_ONLY = {"secret": "the name of a secret", **dict.fromkeys(MARKING, "the id of a node")}
"""Functions whose one argument stands in the definition: what they name is known before any run."""


def check_call(name: str, count: int, *, method: bool) -> str | None:
    """What is wrong with a call of this name and number of arguments (without the target), or None."""
    signature = SIGNATURES.get(name)
    if signature is None:
        close = difflib.get_close_matches(name, [*SIGNATURES, "has", "all", "exists", "filter", "map"], 1)
        return f"unknown function {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    bounds = signature.method if method else signature.function
    if bounds is None:
        return f"{name} is called as x.{name}(...)" if not method else f"{name} is called as {name}(x)"
    least, most = bounds
    if least <= count <= most:
        return None
    wanted = str(least) if least == most else f"at least {least}" if most == MANY else f"{least} or {most}"
    return f"{name}() takes {wanted} argument{'' if wanted == '1' else 's'}, not {count}"
