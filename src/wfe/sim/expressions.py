"""Expressions and templates of the forms that `kinds` makes, evaluated without `core`: the auditor's side.

Pure. Values by name are an `Env`; that of a `State` is in a `Cell`, which iterations of a loop share.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

Env = dict[str, Any]
_NAME = re.compile(r"\$\{(\w+)\}")
_NEXT = re.compile(r"\$\{(\w+) \+ 1\}")
_CONDITION = re.compile(r"(\w+) (<|>|==) (\d)")
_SUM = re.compile(r"(\w+) \+ (\w+)")
_COMPARE = {"<": operator.lt, ">": operator.gt, "==": operator.eq}


class Broken(Exception):
    """The value of an expression is a fault."""


@dataclass(slots=True)
class Cell:
    """The present value of a state."""

    value: Any


def look(name: str, env: Env) -> Any:
    """A name's value now."""
    value = env[name]
    return value.value if isinstance(value, Cell) else value


def template(value: Any, env: Env) -> Any:
    """A template's value; `Broken` when it has none."""
    if isinstance(value, str):
        if match := _NAME.fullmatch(value):
            return look(match[1], env)
        if match := _NEXT.fullmatch(value):
            return _number(look(match[1], env)) + 1
        return _NAME.sub(lambda match: str(look(match[1], env)), value)
    if isinstance(value, list):
        return [template(item, env) for item in value]
    if isinstance(value, dict):
        return {name: template(item, env) for name, item in value.items()}
    return value


def holds(condition: str, env: Env) -> bool:
    """Whether a condition is true."""
    match = _CONDITION.fullmatch(condition)
    assert match is not None, f"the generator made {condition!r}"
    left = look(match[1], env)
    if match[2] != "==":
        left = _number(left)
    return bool(_COMPARE[match[2]](left, int(match[3])))


def total(text: str, env: Env) -> Any:
    """A sum of two names, or of a name and a number."""
    match = _SUM.fullmatch(text)
    assert match is not None, f"the generator made {text!r}"
    right = int(match[2]) if match[2].isdigit() else _number(look(match[2], env))
    return _number(look(match[1], env)) + right


def items(text: str, env: Env) -> list[Any]:
    """What a map, a loop or a transformation goes over: a list of numbers and ``n``, or as many as ``n`` says."""
    if text == "n":
        return list(range(look("n", env)))
    return [env["n"] if item == "n" else int(item) for item in re.findall(r"\w+", text)]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Broken
    return value
