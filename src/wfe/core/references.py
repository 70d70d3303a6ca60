"""Which names an expression of a definition needs. Pure.

A *site* is one expression or template of a definition with its place. A name is *guarded* where its absence is provided
for: inside ``merge(...)``, ``has(...)`` or ``is_none(...)``, in ``has(x) ? x : y`` and after ``has(x) &&``. Elsewhere
it is *required*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wfe.core.expressions import Expression, Template
from wfe.core.expressions import nodes as ast

Expected = Literal["any", "condition", "list", "items", "duration", "time", "text"]
"""What kind of value a site must give."""
NOW = "now()"
"""The name under which an expression asks for the time."""


@dataclass(frozen=True, slots=True)
class Uses:
    """Root names that an expression needs, and those it can do without."""

    required: frozenset[str] = frozenset()
    guarded: frozenset[str] = frozenset()

    def __or__(self, other: Uses) -> Uses:
        return Uses(self.required | other.required, self.guarded | other.guarded)

    @property
    def names(self) -> frozenset[str]:
        return self.required | self.guarded


@dataclass(frozen=True, slots=True)
class Site:
    """One expression or template; ``at_end``: it is evaluated when the node's body has ended, not when it opens.

    ``bound``: names that its place gives a meaning, such as the item of a transformation; they are not in ``uses``.
    """

    where: str
    what: Expression | Template
    uses: Uses
    expected: Expected = "any"
    at_end: bool = False
    bound: frozenset[str] = frozenset()

    @property
    def root(self) -> ast.Node | None:
        """The tree, when the site is a bare expression or a template that is nothing but one expression."""
        if isinstance(self.what, Expression):
            return self.what.ast
        return None


def uses(node: ast.Node, bound: frozenset[str] = frozenset()) -> Uses:
    """The names that a syntax tree needs, those that are bound around it excluded."""
    required: set[str] = set()
    guarded: set[str] = set()
    _collect(node, False, bound, frozenset(), required, guarded)
    return Uses(frozenset(required), frozenset(guarded - required))


def _collect(
    node: ast.Node,
    safe: bool,
    bound: frozenset[str],
    proven: frozenset[str],
    required: set[str],
    guarded: set[str],
) -> None:
    """``bound``: variables of comprehensions; ``proven``: names that an enclosing condition has tested with ``has``."""

    def visit(part: ast.Node, *, safe: bool = safe, proven: frozenset[str] = proven) -> None:
        _collect(part, safe, bound, proven, required, guarded)

    match node:
        case ast.Name(name):
            if name not in bound:
                (guarded if safe or name in proven else required).add(name)
        case ast.Has(path):
            visit(path, safe=True)
        case ast.Call("merge" | "is_none", arguments, None):
            for argument in arguments:
                visit(argument, safe=True)
        case ast.Conditional(condition, then, otherwise):
            visit(condition)
            visit(then, proven=proven | _tested(condition))
            visit(otherwise)
        case ast.Logic("&&", operands):
            tested = frozenset[str]().union(*(_tested(operand) for operand in operands))
            for operand in operands:
                visit(operand, proven=proven | tested)
        case ast.Comprehension(_, target, variable, body, condition):
            visit(target)
            inner = bound | {variable}
            for part in (body,) if condition is None else (condition, body):
                _collect(part, safe, inner, proven, required, guarded)
        case _:
            for part in ast.children(node):
                visit(part)


def _tested(condition: ast.Node) -> frozenset[str]:
    """Root names that exist whenever the condition holds."""
    match condition:
        case ast.Has(operand):
            path = ast.static_path(operand)
            return frozenset(path[:1]) if path else frozenset()
        case ast.Logic("&&", operands):
            return frozenset[str]().union(*(_tested(operand) for operand in operands))
        case _:
            return frozenset()
