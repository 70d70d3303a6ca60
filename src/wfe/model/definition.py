"""A definition: a workflow as data, in the shape of its YAML form. Immutable once registered, addressed by its hash.

Nodes form a tree of blocks; within a block they run in the order of the lines unless ``after`` says otherwise
(``after=()`` means: at the block's start), and within `Parallel` only data and ``after`` order them. A node's
*position* is its index in the depth-first order of the tree (a block before its children): events and snapshots name
nodes by it.

Values: ``with_`` and friends are JSON values in which a string may hold ``${expression}``; a string that is nothing
else keeps the expression's type; ``$${`` is a literal ``${``. Conditions, items and keys are bare expressions (the CEL
profile of docs/expressions.md). Names in expressions: the workflow's parameters, node ids (= their value), ``run``, and
inside a map body the name of the item. Durations are integer milliseconds.

What orders nodes beyond blocks (edges with ports and weights, joins that are not "all", splits, boundary events) is in
`model.net`; a block that uses any of it is a *net*, which plays the general token game.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from wfe.model.net import Boundary, Edge, Escalation, Join, Trigger
from wfe.model.nodes import (
    Approval,
    Assign,
    BreakIf,
    Compensate,
    CompensateWith,
    Custom,
    Decision,
    DurableCall,
    Emit,
    End,
    Fail,
    Http,
    NodeBase,
    Reduce,
    Schema,
    Set,
    Sleep,
    StartWorkflow,
    State,
    SubWorkflow,
    Task,
    Template,
    Transform,
    WaitSignal,
)

__all__ = [
    "Approval",
    "Assign",
    "Block",
    "Boundary",
    "Branch",
    "BreakIf",
    "Catch",
    "Compensate",
    "CompensateWith",
    "Custom",
    "Decision",
    "Definition",
    "DurableCall",
    "Edge",
    "Emit",
    "End",
    "Escalation",
    "Fail",
    "Graph",
    "Http",
    "Join",
    "Lock",
    "Loop",
    "Map",
    "Node",
    "NodeBase",
    "Parallel",
    "Race",
    "Reduce",
    "Schema",
    "Set",
    "Sleep",
    "StartWorkflow",
    "State",
    "SubWorkflow",
    "Task",
    "Template",
    "Transform",
    "Trigger",
    "WaitSignal",
    "When",
    "children",
    "walk",
]


class When(NodeBase, frozen=True, kw_only=True, tag="when"):
    """An exclusive choice: the first branch whose condition holds is done. ``cond`` None: always (otherwise)."""

    branches: tuple[Branch, ...]


class Branch(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One arm of a `When`."""

    cond: str | None
    do: tuple[Node, ...]


class Parallel(NodeBase, frozen=True, kw_only=True, tag="parallel"):
    """Its nodes are ordered by data and ``after`` only. The first failure cancels the others; ends when all have."""

    do: tuple[Node, ...]


class Block(NodeBase, frozen=True, kw_only=True, tag="block"):
    """Several nodes as one, in order: a ``with wf.branch():`` inside `Parallel`."""

    do: tuple[Node, ...]


class Catch(NodeBase, frozen=True, kw_only=True, tag="catch"):
    """Nodes whose failure, if it is of one of these types, ends the block instead of the run.

    Its value is ``{failed, type, message, node, attempts}``; ``failed`` is false when nothing was caught.
    """

    errors: tuple[str, ...]
    do: tuple[Node, ...]


class Map(NodeBase, frozen=True, kw_only=True, tag="map"):
    """One activation of the body per item, at most ``max_parallel`` at once; the value is the results in item order.

    ``output`` gives an item's result (None: the value of the body's last node). With ``tolerate_count`` or
    ``tolerate_percent`` the value is ``{values, indexes, errors}`` and more failures than that are a fault.

    ``items`` may also give a whole number: that many items, 0 and up. ``grow``: the name of a signal that brings
    further items (a list), or closes the map (null); until then it stays open. The map leaves early, with the results
    that there are by then in item order, when ``complete_after`` items have ended or the expression ``complete_when``
    (over ``done failed active total``, counts) holds; the ``rest`` is cancelled or goes on unheard.
    ``complete_after=0``: nobody waits for the items (no synchronisation).
    """

    items: str
    as_: str = "item"
    do: tuple[Node, ...]
    output: Template | UnsetType = UNSET
    max_parallel: int = 100
    tolerate_count: int | None = None
    tolerate_percent: float | None = None
    grow: str | None = None
    complete_after: int | None = None
    complete_when: str | None = None
    rest: Literal["cancel", "continue"] = "cancel"


class Loop(NodeBase, frozen=True, kw_only=True, tag="loop"):
    """Repeats its nodes, each iteration in a frame of its own: values inside are seen in their iteration only.

    ``while_`` is tested before each iteration, ``until`` (which sees the iteration's values) after it; ``items``: once
    per item, in order. `BreakIf` inside ends it. After ``max_iterations`` further ones are a fault ``LoopLimit``;
    None: without a bound. ``index``: the name of the iteration's number, from 0.
    """

    do: tuple[Node, ...]
    while_: str | None = None
    until: str | None = None
    items: str | None = None
    as_: str = "item"
    index: str = ""
    max_iterations: int | None = 10_000


class Race(NodeBase, frozen=True, kw_only=True, tag="race"):
    """Its nodes start together; when the first ends, the others are withdrawn in the same transition.

    Its value is ``{winner: id}``. A failure of one is a failure of the race.
    """

    do: tuple[Node, ...]


class Lock(NodeBase, frozen=True, kw_only=True, tag="lock"):
    """Its nodes run while the locks are held: all or none are taken, first come first served.

    A name in the definition's ``locks`` is a lock of this run, with that capacity. Any other (one name only) is shared
    by all runs of the namespace, one holder at a time, apart by ``key`` if there is one.
    """

    names: tuple[str, ...]
    do: tuple[Node, ...]
    key: Template | None = None


class Graph(NodeBase, frozen=True, kw_only=True, tag="graph"):
    """A net: nodes ordered by ``edges`` alone. A node may fire many times, and several times at once.

    Its value of a node is that of the firing that ended last. ``entry``: where tokens are put at the start (empty: on
    every node that no edge leads to). ``regions``: names for sets of nodes, for ``cancels``.
    """

    do: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    entry: tuple[str, ...] = ()
    regions: dict[str, tuple[str, ...]] = {}


Node: TypeAlias = (
    Task
    | When
    | Parallel
    | Block
    | Catch
    | Map
    | Sleep
    | WaitSignal
    | SubWorkflow
    | StartWorkflow
    | Set
    | End
    | Fail
    | Decision
    | Transform
    | Loop
    | BreakIf
    | State
    | Assign
    | Race
    | Lock
    | Approval
    | CompensateWith
    | Compensate
    | Emit
    | Http
    | Custom
    | DurableCall
    | Graph
)


class Definition(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A workflow as data.

    ``params``: name -> JSON Schema, in order. One parameter: the run's input is its value; several: an object by
    name; none: null. ``version`` None: the server counts up when the graph differs. ``locks``: names of the run's own
    locks and how many may hold each at once. ``retention_ms``: how long a run is kept once it has ended.
    """

    workflow: str
    version: int | None = None
    params: dict[str, Schema] = {}
    types: dict[str, Schema] = {}
    nodes: tuple[Node, ...] = ()
    output: Template = None
    returns: Schema | None = None
    timeout_ms: int | None = None
    tags: dict[str, Template] = {}
    description: str = ""
    locks: dict[str, int] = {}
    triggers: tuple[Trigger, ...] = ()
    retention_ms: int | None = None


def children(node: Node) -> tuple[tuple[Node, ...], ...]:
    """The blocks directly inside a node: one tuple of nodes per arm."""
    if isinstance(node, When):
        return tuple(branch.do for branch in node.branches)
    if isinstance(node, (Parallel, Block, Catch, Map, Loop, Race, Lock, Graph)):
        return (node.do,)
    return ()


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Every node in depth-first order, a block before its children: the order that gives nodes their positions."""
    for node in nodes:
        yield node
        for block in children(node):
            yield from walk(block)
