"""A definition compiled for execution: integer-indexed, immutable, never stored.

Node numbers are positions in the definition (`model.definition.walk`), so that events and snapshots of an old run
mean the same under every later compiler. A *scope* is what has instances of its own at run time: the root, and each
map body. A *block*
(when arm, parallel, branch, catch) has none: its nodes live in the frame of the scope, and the block node counts how
many of its last nodes are still to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from msgspec import Raw

from wfe.core.expressions import Expression, Template
from wfe.core.nets.shape import Net
from wfe.core.value_checks import ValueCheck
from wfe.model.definition import Definition, Node
from wfe.model.needs import Needs
from wfe.model.policy import RetryPolicy


class Op(IntEnum):
    """What a node is to the engine; `core.nodes` has a handler for each."""

    TASK = 0
    WHEN = 1
    BLOCK = 2
    CATCH = 3
    MAP = 4
    SLEEP = 5
    SIGNAL = 6
    WORKFLOW = 7
    START = 8
    SET = 9
    END = 10
    FAIL = 11
    DECISION = 12
    TRANSFORM = 13
    LOOP = 14
    BREAK_IF = 15
    STATE = 16
    ASSIGN = 17
    RACE = 18
    LOCK = 19
    APPROVAL = 20
    COMPENSATE_WITH = 21
    COMPENSATE = 22
    EMIT = 23
    GRAPH = 24
    DURABLE = 25


class ScopeKind(IntEnum):
    """What an instance of a scope is."""

    ROOT = 0
    ITEM = 1
    """Of a map."""
    ITERATION = 2
    """Of a loop."""
    FIRING = 3
    """Of a node of a net."""


class SourceKind(IntEnum):
    """Where a name in an expression gets its value."""

    PARAM = 0
    NODE = 1
    ITEM = 2
    RUN = 3
    NOW = 4
    INDEX = 5
    """The number of a loop's iteration."""


@dataclass(frozen=True, slots=True)
class Source:
    """``node``: the node's number (NODE); ``scope``: the scope that holds the value (NODE, ITEM)."""

    kind: SourceKind
    name: str
    node: int = -1
    scope: int = 0


@dataclass(frozen=True, slots=True)
class Input:
    """How a node's input is made.

    ``fixed``: a constant. Else ``pieces``: encoded text with the sources spliced in between, still encoded. Else
    ``template``: expressions, evaluated when the node opens; the outcome goes into the event.
    """

    fixed: Raw | None = None
    pieces: tuple[bytes | Source, ...] = ()
    template: Template | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """One block of nodes: those that start when it opens, and how many last nodes it has."""

    entry: tuple[int, ...]
    pending: int
    cond: Expression | None = None
    net: int = -1
    """Its number, if the nodes are a net (`core.nets`): then nothing is entered, and ``pending`` is 0."""


@dataclass(slots=True)
class PlanNode:
    """A node. ``stop``: one past the last node inside it. ``block``: the block around it, or the scope's own number."""

    index: int
    id: str
    op: Op
    node: Node
    scope: int
    block: int
    stop: int = 0
    successors: tuple[int, ...] = ()
    last: bool = True
    """Nothing in its block comes after it."""
    keep: bool = False
    """Some expression names its value."""
    condition: Expression | None = None
    input: Input = Input()
    arms: tuple[Arm, ...] = ()
    expression: Expression | None = None
    template: Template | None = None
    body: int = -1
    """MAP, LOOP: the scope of its body."""
    retry: RetryPolicy | None = None
    timeout_ms: int = 0
    task: str = ""
    """TASK, COMPENSATE_WITH: the name of the task that a worker runs."""
    task_version: int = 1
    guarded: bool = False
    """Whether it may begin is to be looked at first: it has a condition, or contends."""
    contends: bool = False
    """It is inside a race, in the same frame."""
    parts: Mapping[str, Expression | Template] = field(default_factory=dict)
    """Further expressions of a kind, by the name of their field."""
    cases: tuple[tuple[str, Expression | None], ...] = ()
    """DECISION."""
    target: Source | None = None
    """ASSIGN: the state."""
    returns: ValueCheck | None = None
    """What the value of a task or a sub-workflow must fit."""
    accepts: Mapping[str, ValueCheck] = field(default_factory=dict)
    """What the arguments of a task must fit, by name."""
    plain: bool = False
    """TASK: it opens without a look, since it is in a frame, is not guarded, and no expression makes its input."""
    redeliver: bool = True
    """TASK: it may be given out again after its worker was lost with it."""
    heartbeat_ms: int = 0
    watched: bool = False
    """MAP: it may end with any of its items, not only with the last."""
    needs: Needs | None = None
    """TASK, COMPENSATE_WITH: what the worker must have."""


@dataclass(slots=True)
class Scope:
    """A kind of frame. Nodes ``start`` to ``stop`` (exclusive) are in it or in scopes inside it.

    ``holder``: the node that its instances belong to: the map, the loop, or the block that is a net (the frame's own
    number, ``stride - 1``, when the net is all of the scope around it); -1 for the root.

    ``framed`` false: a map body of one task, which needs no frame: its state is one entry in the group.
    """

    index: int
    parent: int
    holder: int
    start: int
    stop: int
    framed: bool
    arm: Arm
    kind: ScopeKind = ScopeKind.ROOT
    remaining: list[int] = field(default_factory=list)
    names: Mapping[str, Source] = field(default_factory=dict)
    output: Template | None = None
    last_node: int = -1
    """Without an ``output``, an item's result is this node's value."""


@dataclass(slots=True)
class Plan:
    """``stride``: node count plus one, see `model.state`."""

    hash: str
    definition: Definition
    nodes: tuple[PlanNode, ...]
    scopes: tuple[Scope, ...]
    stride: int
    output: Template
    params: tuple[str, ...]
    by_id: Mapping[str, int]
    timeout_ms: int
    tags: Mapping[str, Template]
    nets: tuple[Net, ...] = ()
    durable: bool = False
    """It is one durable function."""
    returns: ValueCheck | None = None
    """What the run's result must fit."""
