"""Which expressions a node holds, where, and which names they need. Pure.

A *site* is one expression or template of a definition with its place. A name is *guarded* where its absence is provided
for: inside ``merge(...)``, ``has(...)`` or ``is_none(...)``, in ``has(x) ? x : y`` and after ``has(x) &&``. Elsewhere
it is *required*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET

from wfe.core.expressions import Expression, Template, compile_expression, compile_template
from wfe.core.expressions import nodes as ast
from wfe.core.findings import Findings
from wfe.errors import ExpressionError
from wfe.model.definition import (
    End,
    Fail,
    Map,
    Node,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)

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
    """One expression or template; ``at_end``: it is evaluated when the node's body has ended, not when it opens."""

    where: str
    what: Expression | Template
    uses: Uses
    expected: Expected = "any"
    at_end: bool = False

    @property
    def root(self) -> ast.Node | None:
        """The tree, when the site is a bare expression or a template that is nothing but one expression."""
        if isinstance(self.what, Expression):
            return self.what.ast
        return None


def uses(node: ast.Node) -> Uses:
    """The names that a syntax tree needs."""
    required: set[str] = set()
    guarded: set[str] = set()
    _collect(node, False, frozenset(), frozenset(), required, guarded)
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


class SiteReader:
    """Compiles the expressions of a definition; those that cannot be compiled become findings."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def expression(
        self, node: str | None, where: str, text: str, expected: Expected = "any", *, at_end: bool = False
    ) -> Iterator[Site]:
        """The site of a bare expression, or none and a finding."""
        try:
            compiled = compile_expression(text)
        except ExpressionError as error:
            self._refuse(node, where, error)
        else:
            yield Site(where, compiled, uses(compiled.ast), expected, at_end)

    def template(
        self, node: str | None, where: str, value: Any, expected: Expected = "any", *, at_end: bool = False
    ) -> Iterator[Site]:
        """The sites of a template: one for each member of an object, so that findings point at it."""
        if isinstance(value, dict) and value:
            for name, member in value.items():
                yield from self.template(node, f"{where}.{name}", member, "any", at_end=at_end)
            return
        try:
            compiled = compile_template(value)
        except ExpressionError as error:
            self._refuse(node, where, error)
            return
        found = Uses()
        for expression in compiled.expressions:
            found |= uses(expression.ast)
        yield Site(where, compiled, found, expected, at_end)

    def node(self, node: Node, where: str) -> Iterator[Site]:
        """Every site of a node, those of the nodes inside it excluded."""
        if node.if_ is not None:
            yield from self.expression(node.id, f"{where}.if", node.if_, "condition")
        match node:
            case Task() | SubWorkflow():
                yield from self.template(node.id, f"{where}.with", node.with_)
            case StartWorkflow():
                yield from self.template(node.id, f"{where}.with", node.with_)
                yield from self.template(node.id, f"{where}.key", node.key)
            case When():
                for index, branch in enumerate(node.branches):
                    if branch.cond is not None:
                        place = f"{where}.branches[{index}].cond"
                        yield from self.expression(node.id, place, branch.cond, "condition")
            case Map():
                yield from self.expression(node.id, f"{where}.items", node.items, "items")
                if node.output is not UNSET:
                    yield from self.template(node.id, f"{where}.output", node.output, at_end=True)
            case Sleep():
                if node.duration is not None:
                    yield from self.expression(node.id, f"{where}.duration", node.duration, "duration")
                if node.until is not None:
                    yield from self.expression(node.id, f"{where}.until", node.until, "time")
            case WaitSignal() if node.default is not UNSET:
                yield from self.template(node.id, f"{where}.default", node.default)
            case Set() | End():
                yield from self.template(node.id, f"{where}.value", node.value)
            case Fail():
                yield from self.template(node.id, f"{where}.message", node.message, "text")
            case _:
                pass

    def _refuse(self, node: str | None, where: str, error: ExpressionError) -> None:
        self._findings.error(node, where, str(error))
