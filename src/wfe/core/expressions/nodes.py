"""The syntax tree of an expression: frozen classes, compared by content, never by ``position`` (offset in the text).

Pure data. Whoever walks a tree matches on these classes; `children` gives the direct parts of any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as OneOf
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | bytes | None
Prefix: TypeAlias = OneOf["!", "-"]
Connective: TypeAlias = OneOf["&&", "||"]
Macro: TypeAlias = OneOf["all", "exists", "exists_one", "filter", "map"]


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A constant. Equality is strict: 1, 1.0 and true are three literals."""

    value: Scalar
    position: int = 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Literal)
            and type(self.value) is type(other.value)
            and repr(self.value) == repr(other.value)
        )

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True, slots=True)
class Name:
    """A root name, or the variable of an enclosing comprehension."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """``target.name``"""

    target: Node
    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """``target[key]``"""

    target: Node
    key: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``; a method call when there is a ``target``."""

    function: str
    arguments: tuple[Node, ...]
    target: Node | None = None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Has:
    """``has(a.b)``: whether a path exists. The operand is a Name, Field or Index."""

    operand: Name | Field | Index
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``!x`` or ``-x``"""

    operator: Prefix
    operand: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, comparison and ``in``: two operands, left associative."""

    operator: str
    left: Node
    right: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Logic:
    """A whole chain of ``&&`` or of ``||`` (two operands or more), so that long chains stay flat."""

    operator: Connective
    operands: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """``condition ? then : otherwise``"""

    condition: Node
    then: Node
    otherwise: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ListExpr:
    """``[a, b]``"""

    items: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class MapExpr:
    """``{"a": x}``"""

    entries: tuple[tuple[Node, Node], ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comprehension:
    """``target.all(variable, body)`` and its kin; ``condition`` is the second of the three arguments of ``map``."""

    macro: Macro
    target: Node
    variable: str
    body: Node
    condition: Node | None = None
    position: int = field(default=0, compare=False)


Node: TypeAlias = (
    Literal
    | Name
    | Field
    | Index
    | Call
    | Has
    | Unary
    | Binary
    | Logic
    | Conditional
    | ListExpr
    | MapExpr
    | Comprehension
)


def children(node: Node) -> tuple[Node, ...]:
    """The direct parts of a node, from left to right."""
    match node:
        case Literal() | Name():
            return ()
        case Field(target) | Unary(_, target) | Has(target):
            return (target,)
        case Index(target, key):
            return (target, key)
        case Call(_, arguments, target):
            return arguments if target is None else (target, *arguments)
        case Binary(_, left, right):
            return (left, right)
        case Logic(_, parts) | ListExpr(parts):
            return parts
        case Conditional(condition, then, otherwise):
            return (condition, then, otherwise)
        case MapExpr(entries):
            return tuple(part for entry in entries for part in entry)
        case Comprehension(_, target, _, body, condition):
            return (target, body) if condition is None else (target, condition, body)


def static_path(node: Node) -> tuple[str, ...] | None:
    """``("order", "total")`` for ``order.total`` or ``order["total"]``; None for all but names and fixed fields."""
    fields: list[str] = []
    while True:
        match node:
            case Name(name):
                return (name, *reversed(fields))
            case Field(target, name):
                fields.append(name)
                node = target
            case Index(target, Literal(str(name))):
                fields.append(name)
                node = target
            case _:
                return None
