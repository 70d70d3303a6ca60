"""The blocks of a drawing: what values may not leave, the nodes so far, and nodes whose blocks may still get some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from wfe.authoring.places import Place
from wfe.model import definition as model

ScopeKind = Literal["root", "when", "otherwise", "catch", "parallel", "branch", "map", "loop", "race", "lock"]
LEAVABLE: frozenset[ScopeKind] = frozenset(("root", "parallel", "branch", "lock"))
"""Blocks whose values exist below them: a run surely goes through them, once."""


@dataclass(slots=True, eq=False)
class Scope:
    """A block of the drawing, as far as values are concerned: they may not leave some kinds of block (rule 5)."""

    kind: ScopeKind
    place: Place
    open: bool = True
    spot: Spot | None = None
    """Where the block stands in the one around it; None: it is the root."""
    serial: bool = False
    """A map whose items come one after the other."""
    owners: dict[str, str] = field(default_factory=dict)
    """Of a race that has ended: for each node in it the child that it belongs to."""

    def describe(self) -> str:
        """How messages name the block."""
        name = "the body of wf.map" if self.kind == "map" else f"the `with wf.{self.kind}(...)` block"
        return f"{name} at line {self.place.line}"


@dataclass(slots=True, eq=False)
class PendingWhen:
    """A choice whose arms are still being drawn: ``otherwise`` adds to the one right above it."""

    id: str
    branches: list[tuple[str | None, OpenBlock]] = field(default_factory=list)
    closed: bool = False

    @property
    def blocks(self) -> tuple[OpenBlock, ...]:
        """The arms."""
        return tuple(block for _, block in self.branches)

    def freeze(self, frozen: Callable[[OpenBlock], tuple[model.Node, ...]]) -> model.When:
        """The node."""
        return model.When(
            id=self.id, branches=tuple(model.Branch(condition, frozen(block)) for condition, block in self.branches)
        )


@dataclass(slots=True, eq=False)
class PendingBlock:
    """A node with one block, which may still get what `Canvas.keep` puts into it."""

    id: str
    block: OpenBlock
    make: Callable[[tuple[model.Node, ...]], model.Node]

    @property
    def blocks(self) -> tuple[OpenBlock, ...]:
        """The one block."""
        return (self.block,)

    def freeze(self, frozen: Callable[[OpenBlock], tuple[model.Node, ...]]) -> model.Node:
        """The node."""
        return self.make(frozen(self.block))


@dataclass(slots=True, eq=False)
class OpenBlock:
    """A block that nodes are being added to. ``kept``: nodes that belong before the node of this index."""

    scope: Scope
    nodes: list[model.Node | PendingWhen | PendingBlock] = field(default_factory=list)
    kept: list[tuple[int, model.Node]] = field(default_factory=list)
    computes: bool = False
    """Whether expressions were made in it, of which a later ``wf.merge`` may make nodes."""


class Spot(NamedTuple):
    """A place in a drawing: before which node of which block, and how deep that is."""

    depth: int
    before: int
    block: OpenBlock


@dataclass(slots=True, eq=False)
class Unentered:
    """A block that was made, and that no ``with`` has entered yet."""

    what: str
    place: Place


def drawn_in(block: OpenBlock) -> Iterator[model.Node]:
    """The nodes of a block that has ended and of those inside it, the blocks themselves excepted."""
    for entry in block.nodes:
        if isinstance(entry, PendingWhen | PendingBlock):
            for inner in entry.blocks:
                yield from drawn_in(inner)
        else:
            yield from model.walk((entry,))


def ids_of(entry: model.Node | PendingWhen | PendingBlock) -> Iterator[str]:
    """The id of a child of a block and of everything inside it."""
    if isinstance(entry, PendingWhen | PendingBlock):
        yield entry.id
        for block in entry.blocks:
            for inner in block.nodes:
                yield from ids_of(inner)
    else:
        for node in model.walk((entry,)):
            yield node.id
