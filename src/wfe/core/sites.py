"""Which expressions and templates each kind of node holds, and where: the sites that validation judges. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from wfe.core.expressions import compile_expression, compile_template
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.signatures import MARKING
from wfe.core.findings import Findings
from wfe.core.references import Expected, Site, Uses, uses
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Approval,
    Assign,
    BreakIf,
    CompensateWith,
    Custom,
    Decision,
    DurableCall,
    Edge,
    Emit,
    End,
    Fail,
    Graph,
    Http,
    Lock,
    Loop,
    Map,
    Node,
    Set,
    Sleep,
    StartWorkflow,
    State,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
    When,
)

COUNTS = frozenset({"done", "failed", "active", "total"})
"""What ``complete_when`` of a map knows besides the names around it."""
TRIGGER_NAMES = frozenset({"body", "headers"})
_NOTHING: frozenset[str] = frozenset()


class SiteReader:
    """Compiles the expressions of a definition; those that cannot be compiled become findings."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def expression(
        self,
        node: str | None,
        where: str,
        text: str | None,
        expected: Expected = "any",
        *,
        at_end: bool = False,
        bound: frozenset[str] = _NOTHING,
        marking: bool = False,
    ) -> Iterator[Site]:
        """The site of a bare expression, or none and a finding. ``marking``: it may ask about that of its net."""
        if text is None:
            return
        try:
            compiled = compile_expression(text)
        except ExpressionError as error:
            self._findings.error(node, where, str(error))
            return
        for call in calls_of(compiled.ast, {"secret"} if marking else {"secret", *MARKING}):
            self._misplaced(node, where, call)
        yield Site(where, compiled, uses(compiled.ast, bound), expected, at_end, bound)

    def template(
        self,
        node: str | None,
        where: str,
        value: Any,
        expected: Expected = "any",
        *,
        at_end: bool = False,
        bound: frozenset[str] = _NOTHING,
        secrets: bool = False,
    ) -> Iterator[Site]:
        """The sites of a template: one for each member of an object, so that findings point at it. ``secrets``: it goes
        to a worker, which puts them in."""
        if isinstance(value, dict) and value:
            for name, member in value.items():
                yield from self.template(
                    node, f"{where}.{name}", member, "any", at_end=at_end, bound=bound, secrets=secrets
                )
            return
        try:
            compiled = compile_template(value)
        except ExpressionError as error:
            self._findings.error(node, where, str(error))
            return
        found = Uses()
        for expression in compiled.expressions:
            found |= uses(expression.ast, bound)
            for call in calls_of(expression.ast, MARKING):
                self._misplaced(node, where, call)
        self._secrets(node, where, value, allowed=secrets)
        yield Site(where, compiled, found, expected, at_end, bound)

    def node(self, node: Node, where: str) -> Iterator[Site]:
        """Every site of a node, those of the nodes inside it excluded."""
        yield from self.expression(node.id, f"{where}.if", node.if_, "condition")
        yield from self.expression(node.id, f"{where}.enabled_while", node.enabled_while, "condition", marking=True)
        yield from self._block(node, where)
        yield from self._wait(node, where)
        yield from self._work(node, where)
        yield from self._data(node, where)

    # ---- kinds ------------------------------------------------------------------------------------------------------

    def _block(self, node: Node, where: str) -> Iterator[Site]:
        match node:
            case When():
                for index, branch in enumerate(node.branches):
                    yield from self.expression(node.id, f"{where}.branches[{index}].cond", branch.cond, "condition")
            case Map():
                yield from self.expression(node.id, f"{where}.items", node.items, "items")
                yield from self.expression(
                    node.id, f"{where}.complete_when", node.complete_when, "condition", bound=COUNTS
                )
                if node.output is not UNSET:
                    yield from self.template(node.id, f"{where}.output", node.output, at_end=True)
            case Loop():
                yield from self.expression(node.id, f"{where}.loop.items", node.items, "list")
                yield from self.expression(node.id, f"{where}.loop.while", node.while_, "condition")
                yield from self.expression(node.id, f"{where}.loop.until", node.until, "condition", at_end=True)
            case Lock():
                yield from self.template(node.id, f"{where}.key", node.key)
            case _:
                pass

    def edges(self, node: Graph, where: str) -> Iterator[tuple[Edge, Site]]:
        """The conditions of a graph's edges, which are evaluated when the node that they leave has ended."""
        for index, edge in enumerate(node.edges):
            for site in self.expression(edge.src, f"{where}.edges[{index}].when", edge.when, "condition"):
                yield edge, site

    def _wait(self, node: Node, where: str) -> Iterator[Site]:
        match node:
            case Sleep():
                yield from self.expression(node.id, f"{where}.duration", node.duration, "duration")
                yield from self.expression(node.id, f"{where}.until", node.until, "time")
            case WaitSignal():
                if node.default is not UNSET:
                    yield from self.template(node.id, f"{where}.default", node.default)
                yield from self.template(node.id, f"{where}.correlate", node.correlate, "text")
            case Approval():
                yield from self.template(node.id, f"{where}.to", node.to)
                for index, level in enumerate(node.escalate):
                    yield from self.template(node.id, f"{where}.escalate[{index}].to", level.to)
            case _:
                pass

    def _work(self, node: Node, where: str) -> Iterator[Site]:
        """What leaves the engine: tasks, other runs, calls."""
        match node:
            case Task() | Custom() | CompensateWith() | DurableCall():
                yield from self.template(node.id, f"{where}.with", node.with_, secrets=True)
            case SubWorkflow():
                yield from self.template(node.id, f"{where}.with", node.with_)
            case StartWorkflow():
                yield from self.template(node.id, f"{where}.with", node.with_)
                yield from self.template(node.id, f"{where}.key", node.key)
            case Http():
                yield from self.template(node.id, f"{where}.url", node.url, "text")
                yield from self.template(node.id, f"{where}.headers", node.headers, secrets=True)
                yield from self.template(node.id, f"{where}.query", node.query, secrets=True)
                yield from self.template(node.id, f"{where}.auth", node.auth, secrets=True)
                if node.body is not UNSET:
                    yield from self.template(node.id, f"{where}.body", node.body, secrets=True)
            case _:
                pass

    def _data(self, node: Node, where: str) -> Iterator[Site]:
        match node:
            case Set() | End() | State():
                yield from self.template(node.id, f"{where}.value", node.value)
            case Fail():
                yield from self.template(node.id, f"{where}.message", node.message, "text")
            case Assign():
                yield from self.template(node.id, f"{where}.set", node.fields)
                if node.value is not UNSET:
                    yield from self.template(node.id, f"{where}.value", node.value)
            case Emit():
                yield from self.template(node.id, f"{where}.emit", node.emit, "text")
                yield from self.template(node.id, f"{where}.data", node.data)
            case BreakIf():
                yield from self.expression(node.id, f"{where}.cond", node.cond, "condition")
            case Decision():
                for name, cond in node.cases.items():
                    yield from self.expression(node.id, f"{where}.decision.{name}", cond, "condition")
            case Transform():
                yield from self._transform(node, where)
            case _:
                pass

    def _transform(self, node: Transform, where: str) -> Iterator[Site]:
        item = frozenset({node.as_})
        yield from self.expression(node.id, f"{where}.items", node.items, "list")
        yield from self.expression(node.id, f"{where}.filter", node.filter, "condition", bound=item)
        yield from self.template(node.id, f"{where}.enrich", node.enrich, bound=item)
        yield from self.expression(node.id, f"{where}.map", node.map, bound=item)
        if node.reduce is not None:
            bound = item | {node.reduce.total}
            yield from self.expression(node.id, f"{where}.reduce.value", node.reduce.value, bound=bound)
            yield from self.template(node.id, f"{where}.reduce.initial", node.reduce.initial)

    # ---- functions that only some places have -----------------------------------------------------------------------

    def _misplaced(self, node: str | None, where: str, call: ast.Call) -> None:
        if call.function == "secret":
            self._findings.error(node, where, "a secret can only be handed to a task, whole", _SECRET_HINT)
        else:
            message = f"{call.function}() asks about the marking of a net: only enabled_while can"
            self._findings.error(node, where, message, "use has(...), merge(...) or a state")

    def _secrets(self, node: str | None, where: str, value: Any, *, allowed: bool) -> None:
        """A secret must be all of a text, and the text must go to a worker."""
        if isinstance(value, (list, tuple)):
            for part in value:
                self._secrets(node, where, part, allowed=allowed)
        elif isinstance(value, dict):
            for part in value.values():
                self._secrets(node, where, part, allowed=allowed)
        elif isinstance(value, str) and "secret" in value:
            compiled = compile_template(value)
            for expression in compiled.expressions:
                for call in calls_of(expression.ast, {"secret"}):
                    whole = expression.ast is call and value == "${" + expression.text + "}"
                    if not (whole and allowed):
                        self._misplaced(node, where, call)


_SECRET_HINT = 'write "${secret(\\"NAME\\")}", and nothing else, as an argument of a task or a part of a request'


def calls_of(tree: ast.Node, functions: frozenset[str] | set[str]) -> Iterator[ast.Call]:
    """The calls of these functions in a syntax tree."""
    if isinstance(tree, ast.Call) and tree.target is None and tree.function in functions:
        yield tree
    for part in ast.children(tree):
        yield from calls_of(part, functions)
