"""Which values a node may count on, and what to say when it names another. Pure.

A value is *sure* when it exists whenever the node starts, *maybe* when the node that makes it has ended but may not
have made it (a branch that was not taken); that one may be named inside ``merge(...)``. Sets of nodes are bit masks by
position, so that thousands of nodes cost no more than big-integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wfe.core.findings import Findings, did_you_mean
from wfe.core.references import Uses
from wfe.model.definition import (
    Assign,
    Block,
    BreakIf,
    Catch,
    Compensate,
    CompensateWith,
    Definition,
    DurableCall,
    Emit,
    End,
    Fail,
    Graph,
    Lock,
    Loop,
    Map,
    Node,
    Parallel,
    Race,
    State,
    When,
    children,
)

VALUELESS = (
    *(When, Parallel, Block, Loop, Lock, Graph),
    *(End, Fail, Assign, BreakIf, CompensateWith, Compensate, Emit),
)
"""Nodes that exist for what they do only: naming them in an expression is a mistake."""
_NAMES: dict[type, str] = {
    Block: "branch",
    CompensateWith: "compensate_with",
    BreakIf: "break_if",
    DurableCall: "durable",
}


def kind_name(node: Node) -> str:
    """What the kind of a node is called in YAML."""
    return _NAMES.get(type(node), type(node).__name__.lower())


@dataclass(frozen=True, slots=True)
class Known:
    """Nodes whose values exist (``sure``), and those that have ended but whose values may not exist (``maybe``)."""

    sure: int = 0
    maybe: int = 0

    def __or__(self, other: Known) -> Known:
        return Known(self.sure | other.sure, self.maybe | other.maybe)

    def demoted(self) -> Known:
        """The same nodes, none of them surely with a value."""
        return Known(0, self.sure | self.maybe)

    def either(self, other: Known) -> Known:
        """What is known when one of the two is so, nobody knows which."""
        return Known(self.sure & other.sure, self.maybe | other.maybe | (self.sure ^ other.sure))

    def without(self, other: Known) -> Known:
        """What this adds to the other."""
        return Known(self.sure & ~other.sure, self.maybe & ~other.maybe)


@dataclass(slots=True)
class Outline:
    """The tree of a definition with unique ids: for each node its bit and the node around it."""

    definition: Definition
    bits: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    around: dict[str, str | None] = field(default_factory=dict)
    locals: dict[str, str] = field(default_factory=dict)
    """Name of an item or index -> id of the innermost map or loop around the place being checked that gives it."""

    def add(self, node: Node, around: str | None) -> None:
        """Takes in a node; a block before those inside it."""
        self.bits[node.id] = 1 << len(self.bits)
        self.nodes[node.id] = node
        self.around[node.id] = around

    def path(self, node: str | None) -> Iterator[str]:
        """The node and those around it, inside out."""
        while node is not None:
            yield node
            node = self.around[node]


def blocks_of(node: Node, where: str) -> list[tuple[tuple[Node, ...], str]]:
    """The blocks directly inside a node with their paths."""
    if isinstance(node, When):
        return [(branch.do, f"{where}.branches[{index}].do") for index, branch in enumerate(node.branches)]
    return [(block, f"{where}.do") for block in children(node)]


def local_names(node: Node) -> dict[str, str]:
    """The names that a map or loop gives inside it: name -> its key in YAML."""
    match node:
        case Map():
            return {node.as_: "as"}
        case Loop():
            item = {node.as_: "as"} if node.items is not None else {}
            return {**item, node.index: "index"} if node.index else item
        case _:
            return {}


class NameChecker:
    """Judges the names in expressions; findings go to ``findings``."""

    def __init__(self, outline: Outline, findings: Findings) -> None:
        self._outline = outline
        self._findings = findings

    def check(
        self, node: str | None, where: str, uses: Uses, known: Known, bound: frozenset[str] = frozenset()
    ) -> None:
        """The names that an expression at a node needs, where this is known. ``bound``: what it may name besides."""
        outline = self._outline
        for name in sorted(uses.names):
            if name in outline.definition.params or name == "run" or name in outline.locals:
                continue
            target = outline.nodes.get(name)
            if target is None:
                self._unknown(node, where, name, known, bound)
            elif isinstance(target, VALUELESS):
                hint = self._instead(target)
                self._findings.error(node, where, f"{name!r} is a {kind_name(target)} and has no value", hint)
            elif not outline.bits[name] & (known.sure | (known.maybe if name in uses.guarded else 0)):
                self.missing(node, where, name, known)

    def _instead(self, target: Node) -> str | None:
        match target:
            case Assign():
                return f"use {target.state!r}, the state that it changes"
            case Loop():
                return "keep what the loop makes in a state"
            case _:
                return None

    def _unknown(self, node: str | None, where: str, name: str, known: Known, bound: frozenset[str]) -> None:
        outline = self._outline
        for inner in outline.nodes.values():
            if name in local_names(inner):
                what = "item" if local_names(inner)[name] == "as" else "number of the iteration"
                message = f"{name!r} is the {what} of the {kind_name(inner)} {inner.id!r}, known only inside it"
                self._findings.error(node, where, message)
                return
        visible = [id_ for id_, bit in outline.bits.items() if bit & known.sure]
        candidates = [*sorted(bound), *outline.definition.params, *outline.locals, "run", *visible]
        self._findings.error(node, where, f"unknown name {name!r}", did_you_mean(name, candidates))

    def missing(self, node: str | None, where: str, name: str, known: Known) -> None:
        """A node's value that cannot be counted on here: say why and what to do."""
        outline = self._outline
        own = node is not None and name == node
        if own and not outline.bits[name] & known.maybe:
            self._findings.error(node, where, f"{name!r} uses its own value")
        elif outline.bits[name] & known.maybe:
            self._may_not_exist(node, where, name)
        else:
            self._unseen(node, where, name)

    def _may_not_exist(self, node: str | None, where: str, name: str) -> None:
        outline = self._outline
        message = f"{name!r} may not have a value here"
        block = self._why_optional(name)
        if name == node:
            message = f"{name!r} has no value of its own when it runs for the first time"
        elif block is not None:
            message = f"{name!r} is made inside the {kind_name(block)} {block.id!r} and may not exist here"
        hint = f"use merge({name}, ...) with what to take instead"
        if isinstance(outline.nodes[name], State):
            hint = "declare the state before the block"
        self._findings.error(node, where, message, hint)

    def _why_optional(self, name: str) -> Node | None:
        """The innermost block around that makes what is inside it optional."""
        outline = self._outline
        for id_ in outline.path(outline.around[name]):
            block = outline.nodes[id_]
            if isinstance(block, (When, Catch, Race, Graph)) or block.if_ is not None:
                return block
        return None

    def _unseen(self, node: str | None, where: str, name: str) -> None:
        outline = self._outline
        outer = set(outline.path(node))
        for id_ in outline.path(outline.around[name]):
            block = outline.nodes[id_]
            if isinstance(block, (Map, Loop)) and (id_ not in outer or id_ == node):
                self._made_often(node, where, name, block)
                return
        if name in outer:
            self._findings.error(node, where, f"{name!r} is the block that this is in: it has not ended yet")
            return
        choice = next((id_ for id_ in outline.path(outline.around[name]) if id_ in outer), None)
        if choice is not None and isinstance(outline.nodes[choice], When):
            message = f"{name!r} is made in another branch of the when {choice!r}: only one branch runs"
            self._findings.error(node, where, message)
            return
        if choice is not None and isinstance(outline.nodes[choice], Race):
            message = f"{name!r} is made by another child of the race {choice!r}: only one of them ends"
            self._findings.error(node, where, message)
            return
        message = f"{name!r} has not surely ended when this is evaluated"
        self._findings.error(node, where, message, f"move it behind {name!r}, or name that in after")

    def _made_often(self, node: str | None, where: str, name: str, block: Map | Loop) -> None:
        if isinstance(block, Map):
            message = f"{name!r} is made once for each item of the map {block.id!r} and is not known outside it"
            self._findings.error(node, where, message, f"use {block.id!r}, the list of its results")
        else:
            message = f"{name!r} is made in each iteration of the loop {block.id!r} and is not known outside it"
            hint = "declare a state before the loop, and assign to it inside"
            self._findings.error(node, where, message, hint)


def all_of(knowns: Iterable[Known]) -> Known:
    """What is known when all of these are so."""
    found = Known()
    for known in knowns:
        found |= known
    return found


def one_of(knowns: Iterable[Known]) -> Known:
    """What is known when one of these is so; nothing, if there are none."""
    found: Known | None = None
    for known in knowns:
        found = known if found is None else found.either(known)
    return found or Known()
